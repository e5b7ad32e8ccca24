/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each run is a case over a clean network with the rules to try (report/pins.h) in front; its folder is
 * removed afterwards. Which rules to try next is up to report/shrink.h.
 */
#include "proxy/campaign/shrink_case.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "proxy/campaign/child.h"
#include "proxy/campaign/claims.h"
#include "proxy/campaign/folder.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"
#include "report/pins.h"
#include "report/shrink.h"

#define PRINTED_MAX 100
#define UNDECIDED_MAX 2 /* runs of one set without an outcome that counts, before it is taken as passed */

struct shrinking {
	const struct store *store;
	const struct case_context *context;
	struct case_task task;
	struct analysis *analysis;
	struct pins pins;
	struct text head, id; /* `id`: of the folder in which its runs are made */
	char *path;           /* of pinned.ini */
	int signals;
	bool interrupted;
	unsigned runs;
	struct case_command *before;
	char *log; /* of the bench */
	struct claim claim;
	ns_t renewed;
};

static int write_pinned(struct shrinking *s, const bool *included)
{
	struct output_file file;
	struct text text = {0};
	struct error error;
	int failed = output_file_open(&file, s->path, &error);

	if (!failed) {
		pins_write(&s->pins, included, s->head.at, &text);
		fwrite(text.at, 1, text.size, file.out);
		failed = output_file_close(&file, s->path, &error);
		text_free(&text);
	}
	if (failed)
		log_error("campaign: %s", error.text);
	return failed;
}

/* Adds the commands that the bench needs before a case: setup, unless it is set up, and each axis's change.
 */
static void prepare_bench(struct shrinking *s)
{
	const struct settings *settings = s->context->plan->settings;
	const struct campaign_settings *campaign = &settings->campaign;
	char *ready = store_path(s->store, "benches/%s.ready", s->task.bench ? s->task.bench->name : "bench");
	struct error error;
	size_t count = 0;

	s->before = memory_new(settings->axis_count + 1, sizeof(*s->before));
	if (campaign->setup && access(ready, F_OK))
		s->before[count++] = (struct case_command){campaign->setup, campaign->setup_timeout};
	for (size_t a = 0; a < settings->axis_count; a++)
		if (settings->axes[a].change)
			s->before[count++] = (struct case_command){
			    settings->axes[a].change, campaign->setup_timeout};
	s->log = store_path(s->store, "benches/%s.log", s->task.bench ? s->task.bench->name : "bench");
	if (count && folder_make_above(s->log, &error))
		log_error("campaign: %s", error.text);
	s->task.before = s->before;
	s->task.before_count = count;
	s->task.bench_log = s->log;
	free(ready);
}

/* Takes the bench for itself. Returns false after logging who has it. */
static bool claim_bench(struct shrinking *s)
{
	struct text name = {0};
	struct error error;
	enum claim_result taken = CLAIM_TAKEN;

	if (s->task.bench) {
		text_add(&name, "bench/%s", s->task.bench->name);
		taken = claim_take(s->store, name.at, clock_now(), &s->claim, &error);
		text_free(&name);
	}
	if (taken == CLAIM_FAILED)
		log_error("campaign: %s", error.text);
	else if (taken != CLAIM_TAKEN)
		log_error("campaign: bench %s is in use by another campaign", s->task.bench->name);
	return taken == CLAIM_TAKEN;
}

/* Runs the case once, to its end. Returns its outcome; OUTCOME_INVALID also if it cannot be run. */
static enum case_outcome run_once(struct shrinking *s, const struct text *rules)
{
	struct case_task task = s->task;
	enum case_outcome outcome = OUTCOME_INVALID;
	struct error error;
	struct case_run *run;
	struct result result;
	json_t *summary;
	char *folder = store_begin(s->store, s->id.at, &error);

	if (!folder) {
		log_error("campaign: %s", error.text);
		s->interrupted = true;
		return OUTCOME_INVALID;
	}
	/* The bench is prepared once, before the first run. */
	if (s->runs++)
		task.before_count = 0;
	task.folder = folder;
	task.fault = rules->size ? rules->at : "";
	run = case_new(s->context, &task, clock_now());
	while (!case_is_over(run)) {
		struct pollfd fds[CASE_FDS + 1] = {{.fd = s->signals, .events = POLLIN}};
		size_t count = 1 + case_fds(run, fds + 1);
		ns_t due = case_due(run), now = clock_now();
		int wait = due ? (int)((due - now + NS_MS - 1) / NS_MS) : 1000;

		poll(fds, count, wait < 0 ? 0 : wait > 1000 ? 1000 : wait);
		if (fds[0].revents) {
			struct signalfd_siginfo info;

			if (read(s->signals, &info, sizeof(info)) > 0 && s->interrupted)
				case_kill(run);
			else
				case_interrupt(run, clock_now());
			s->interrupted = true;
		}
		case_poll(run, clock_now());
		if (clock_now() > s->renewed + CLAIM_RENEWAL) {
			s->renewed = clock_now();
			claim_renew(&s->claim);
		}
	}
	if (case_bench_failure(run)) {
		log_error("campaign: %s", case_bench_failure(run));
		s->interrupted = true;
	}
	case_take_result(run, &result, &summary);
	/* The rules may be such that they have nothing to strike. */
	outcome = result.outcome;
	if (outcome == OUTCOME_INVALID && result.reason)
		log_info("run %u is invalid: %s", s->runs, result.reason);
	json_decref(summary);
	result_fini(&result);
	case_free(run);
	store_discard(s->store, folder);
	return outcome;
}

/* Returns whether the case fails with these rules. */
static bool fails_with(struct shrinking *s, const bool *included)
{
	enum case_outcome outcome = OUTCOME_INVALID;
	struct text rules = {0};

	pins_write(&s->pins, included, "\n", &rules);
	for (int i = 0; i < UNDECIDED_MAX && !outcome_is_judged(outcome) && !s->interrupted; i++)
		outcome = run_once(s, &rules);
	text_free(&rules);
	return outcome == OUTCOME_FAIL || outcome == OUTCOME_TIMEOUT;
}

/* Returns an exit status: 0 if the case fails with all rules and passes with none. */
static int check_ends(struct shrinking *s)
{
	bool *none = memory_new(s->pins.count + 1, sizeof(*none));
	int status = EXIT_DONE;

	if (!fails_with(s, NULL)) {
		if (!s->interrupted)
			log_error("campaign: %s does not fail again with all of its %zu decisions",
			    s->task.id, s->pins.count);
		status = EXIT_FAILED;
	} else if (fails_with(s, none)) {
		log_error("campaign: %s fails without any of its decisions too: they are not the cause",
		    s->task.id);
		status = EXIT_FAILED;
	}
	free(none);
	return s->interrupted ? EXIT_FAILED : status;
}

static void print_pins(const struct shrinking *s, const bool *included)
{
	size_t printed = 0;

	for (size_t i = 0; i < s->pins.count; i++) {
		struct text text = {0};

		if (!included[i] || printed++ >= PRINTED_MAX)
			continue;
		pin_describe(s->analysis, &s->pins.all[i], &text);
		printf("%s\n", text.at);
		text_free(&text);
	}
	if (printed > PRINTED_MAX)
		printf("and %zu more\n", printed - PRINTED_MAX);
}

static int shrink_all(struct shrinking *s)
{
	struct shrink state;
	const bool *tried;
	int status = check_ends(s);

	if (status)
		return status;
	shrink_init(&state, s->pins.count);
	while (!s->interrupted && (tried = shrink_next(&state))) {
		size_t before = state.left;

		shrink_answer(&state, fails_with(s, tried) && !s->interrupted);
		if (state.left < before)
			log_info("run %u: %zu of %zu are left", s->runs, state.left, state.count);
	}
	status = write_pinned(s, state.in) || s->interrupted ? EXIT_FAILED : EXIT_DONE;
	log_notice("%zu of %zu decisions matter%s, after %u runs; they are in %s", state.left, state.count,
	    s->interrupted ? " so far" : "", s->runs, s->path);
	print_pins(s, state.in);
	shrink_fini(&state);
	return status;
}

int shrink_case(const struct store *store, const struct case_context *context, const struct case_task *task)
{
	struct shrinking s = {.store = store, .context = context, .task = *task};
	char *capture = store_path(store, "units/%s/run.pcapng", task->id);
	const char *paths[] = {capture};
	struct analysis_filter filter = {0};
	struct error error;
	struct inputs *inputs = inputs_open(paths, 1, &error);
	int status = EXIT_FAILED;

	s.analysis = inputs ? analysis_read(inputs, &filter, ANALYSIS_WHOLE, &error) : NULL;
	inputs_close(inputs);
	if (!s.analysis) {
		log_error("campaign: %s: its capture cannot be read: %s", task->id, error.text);
	} else if (claim_bench(&s)) {
		s.task.is_clean = true;
		prepare_bench(&s);
		text_add(&s.id, "%s.shrink-%d", task->id, (int)getpid());
		s.path = store_path(store, "units/%s/pinned.ini", task->id);
		text_add(&s.head, "; By `deadzone campaign --shrink`: the decisions of %s that matter\n",
		    task->id);
		child_adopt_orphans();
		s.signals = child_signals();
		pins_find(&s.pins, s.analysis, NS_MS);
		status = shrink_all(&s);
		child_kill_orphans(NULL);
		close(s.signals);
		pins_free(&s.pins);
	}
	analysis_free(s.analysis);
	claim_release(&s.claim, store);
	claims_forget();
	free(s.before);
	free(s.log);
	text_free(&s.head);
	text_free(&s.id);
	free(s.path);
	free(capture);
	return status;
}
