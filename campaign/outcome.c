/* SPDX-License-Identifier: BSD-2-Clause */
#include "campaign/outcome.h"

#include <string.h>

const char *const outcome_words[OUTCOMES] = {"pass", "fail", "timeout", "skip", "invalid"};

int outcome_read(const char *word)
{
	for (int i = 0; i < OUTCOMES; i++)
		if (strcmp(outcome_words[i], word) == 0)
			return i;
	return -1;
}

static bool is_invalid_status(const struct outcome_facts *facts)
{
	if (facts->status == STATUS_UNTESTED || facts->status == STATUS_NOT_EXECUTABLE ||
	    facts->status == STATUS_NOT_FOUND)
		return true;
	return facts->invalid_status->count && spans_hold(facts->invalid_status, (uint64_t)facts->status);
}

enum case_outcome outcome_of(const struct outcome_facts *facts, struct text *reason)
{
	bool exited = !facts->timed_out && !facts->signal;

	if (facts->broken) {
		text_add_word(reason, facts->broken);
		return OUTCOME_INVALID;
	}
	if (facts->is_late || facts->is_lossy) {
		text_add(reason, "%s did not hold: the machine was too busy",
		    facts->is_late ? "max_lateness" : "strict");
		return OUTCOME_INVALID;
	}
	if (exited && is_invalid_status(facts)) {
		text_add(reason, "test exited with status %d%s", facts->status,
		    facts->status == STATUS_NOT_FOUND        ? ": no such command"
		    : facts->status == STATUS_NOT_EXECUTABLE ? ": the command cannot be executed"
		                                             : "");
		return OUTCOME_INVALID;
	}
	if (facts->is_fault && !facts->is_struck) {
		text_add_word(reason, "the fault never struck");
		return OUTCOME_INVALID;
	}
	if (exited && facts->status == STATUS_SKIP) {
		text_add(reason, "test exited with status %d", STATUS_SKIP);
		return OUTCOME_SKIP;
	}
	if (!facts->has_sessions) {
		text_add_word(reason, "no session was opened: nothing reached the proxy");
		return OUTCOME_INVALID;
	}
	if (facts->timed_out) {
		text_add_word(reason, "test ran out of time");
		return OUTCOME_TIMEOUT;
	}
	if (facts->signal) {
		text_add(reason, "test was killed by signal %d", facts->signal);
		return OUTCOME_FAIL;
	}
	if (facts->status) {
		text_add(reason, "test exited with status %d", facts->status);
		return OUTCOME_FAIL;
	}
	if (facts->unmet) {
		text_add(reason, "not as expected: %s", facts->unmet);
		return OUTCOME_INVALID;
	}
	return OUTCOME_PASS;
}
