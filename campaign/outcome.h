/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outcome: what one case says about the device.
 *
 * `pass`, `fail` and `timeout` are judgements; `skip` is none; `invalid` says nothing about the device, and
 * the case counts as not run.
 */
#ifndef CAMPAIGN_OUTCOME_H
#define CAMPAIGN_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/keys.h"
#include "base/text.h"

enum case_outcome { OUTCOME_PASS, OUTCOME_FAIL, OUTCOME_TIMEOUT, OUTCOME_SKIP, OUTCOME_INVALID, OUTCOMES };

extern const char *const outcome_words[OUTCOMES];
/* Returns the outcome with this name, or -1. */
int outcome_read(const char *word);
/* Returns whether it is one that counts in the share of passes. */
static inline bool outcome_is_judged(enum case_outcome outcome)
{
	return outcome <= OUTCOME_TIMEOUT;
}

#define STATUS_SKIP 77
#define STATUS_UNTESTED 125 /* as for `git bisect run` */
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127

/* The facts of a case from which its outcome follows. */
struct outcome_facts {
	const char *broken; /* `prepare` or the proxy failed, in words; NULL: no */
	bool timed_out;
	int status, signal; /* of `test`; signal 0: it exited */
	const struct spans *invalid_status;
	bool is_late, is_lossy;   /* max_lateness or strict did not hold */
	bool has_sessions;        /* at least one was opened */
	bool is_fault, is_struck; /* the case has a fault, and it struck */
	const char *unmet;        /* the first `expect` that was not met, in words; NULL: none */
};

/* Returns the outcome, and adds the reason in words unless the case passed. */
enum case_outcome outcome_of(const struct outcome_facts *facts, struct text *reason);

#endif
