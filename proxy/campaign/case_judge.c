/* SPDX-License-Identifier: BSD-2-Clause */
/* case_judge: what the summary, the capture and the commands of a case have left, and what outcome follows.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "campaign/sweep.h"
#include "proxy/campaign/case_inside.h"
#include "proxy/campaign/measures.h"

/* Adds what `expect` and `expect_sessions` wanted, and notes whether the timing held. */
static void read_failures(const json_t *summary, struct outcome_facts *facts, struct result *result)
{
	const json_t *failure;
	size_t i;

	json_array_foreach(json_object_get(summary, "failed"), i, failure)
	{
		const char *rule = json_string_value(json_object_get(failure, "rule"));
		const char *check = json_string_value(json_object_get(failure, "check"));
		const char *want = json_string_value(json_object_get(failure, "want"));
		const json_t *got = json_object_get(failure, "got");
		struct text text = {0};

		if (check && strcmp(check, "max_lateness") == 0) {
			facts->is_late = true;
			continue;
		}
		if (check && strcmp(check, "strict") == 0) {
			facts->is_lossy = true;
			continue;
		}
		text_add(&text, rule ? "rule `%s` fired " : "%s is ", rule ? rule : check ? check : "?");
		if (json_is_integer(got))
			text_add(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(got));
		else
			text_add(&text, "%s", json_string_value(got) ? json_string_value(got) : "?");
		text_add(&text, rule ? " times, wanted %s" : ", wanted %s", want ? want : "?");
		result_unmet(result, text.at);
		text_free(&text);
	}
}

static double number_at(const json_t *root, const char *path)
{
	char key[64];

	while (root && *path) {
		size_t size = strcspn(path, "/");

		snprintf(key, sizeof(key), "%.*s", (int)size, path);
		root = json_object_get(root, key);
		path += size + (path[size] == '/');
	}
	return json_is_number(root) ? json_number_value(root) : NAN;
}

static void read_summary(const json_t *summary, struct outcome_facts *facts, struct result *result)
{
	double fired = number_at(summary, "rules/" SWEEP_RULE "/fired"), handshakes = 0;
	const json_t *session;
	size_t i;

	facts->has_sessions = number_at(summary, "totals/sessions") > 0;
	facts->is_struck = fired > 0;
	result->struck = fired > 0 ? (uint64_t)fired : 0;
	result->lateness_p99_us = number_at(summary, "lateness_us/p99");
	json_array_foreach(json_object_get(summary, "sessions"), i, session)
	    handshakes += json_number_value(json_object_get(session, "handshakes"));
	result_measure(result, "bytes_up", number_at(summary, "totals/up/bytes"));
	result_measure(result, "bytes_down", number_at(summary, "totals/down/bytes"));
	result_measure(result, "datagrams",
	    number_at(summary, "totals/up/received") + number_at(summary, "totals/down/received"));
	result_measure(result, "handshakes", handshakes);
	read_failures(summary, facts, result);
}

static bool is_built_in(const char *name)
{
	for (size_t i = 0; i < SETTINGS_BUILT_IN; i++)
		if (strcmp(settings_built_in[i], name) == 0)
			return true;
	return false;
}

/* Adds the lines "NAME NUMBER" of $DEADZONE_MEASURES. Lines that are none are skipped, as are the names of
 * measures that every case has. */
static void read_own_measures(struct case_run *run, struct result *result)
{
	struct error error;
	char *lines = case_read_small(run, "measures", &error);
	unsigned count = 0;

	if (!lines)
		case_break(run, "%s", error.text);
	for (char *line = lines ? strtok(lines, "\r\n") : NULL; line; line = strtok(NULL, "\r\n")) {
		char name[64], *end;
		size_t size = strcspn(line, " \t=");
		double value = strtod(line + size + strspn(line + size, " \t="), &end);

		if (!size || size >= sizeof(name) || end[strspn(end, " \t")] || !line[size] ||
		    !isfinite(value))
			continue;
		if (++count > CASE_LINES_MAX)
			break;
		snprintf(name, sizeof(name), "%.*s", (int)size, line);
		if (is_built_in(name))
			continue;
		result_measure(result, name, value);
	}
	free(lines);
}

void case_judge(struct case_run *run)
{
	const struct case_task *task = &run->task;
	struct result *result = &run->result;
	json_t **summary = &run->summary;
	char *path = case_file(run, "summary.json"), *capture = case_file(run, "run.pcapng");
	struct outcome_facts facts = {.timed_out = run->timed_out,
	    .status = run->status,
	    .signal = run->signal,
	    .invalid_status = &run->context->plan->settings->campaign.invalid_status,
	    .is_fault = task->fault && !task->is_clean};
	struct text reason = {0};

	run->is_judged = true;
	*result = (struct result){.id = memory_text(task->id, strlen(task->id)),
	    .seconds = (double)run->test_seconds / 1e9,
	    .status = run->timed_out ? -1 : run->status,
	    .signal = run->signal,
	    .seed = task->seed,
	    .bench = task->bench ? memory_text(task->bench->name, strlen(task->bench->name)) : NULL,
	    .figure = task->figure ? memory_text(task->figure, strlen(task->figure)) : NULL,
	    .lateness_p99_us = NAN};
	if (run->test_ran)
		result_measure(result, "seconds", result->seconds);
	*summary = json_load_file(path, 0, NULL);
	if (*summary)
		read_summary(*summary, &facts, result);
	else
		case_break(run, "the proxy left no summary; see proxy.log");
	if (*summary && facts.has_sessions && run->test_ran)
		measures_read(capture, run->test_ended_wall, task->places_of, result);
	read_own_measures(run, result);
	facts.unmet = result->unmet_count ? result->unmet[0] : NULL;
	facts.broken = run->broken.size ? run->broken.at : NULL;
	result->outcome = outcome_of(&facts, &reason);
	result->reason = reason.size ? memory_text(reason.at, reason.size) : NULL;
	text_free(&reason);
	free(path);
	free(capture);
}
