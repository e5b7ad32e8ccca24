/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case: the steps of one case. Each has one child, `command`; the proxy is a second one, which lives from
 * STEP_PROXY to STEP_STOP. A step ends when its child is over; begin_step starts the next. What breaks a case
 * ("prepare failed") is kept in `broken`, and the case goes on with the proxy's end and cleanup.
 */
#include "proxy/campaign/case_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/campaign/folder.h"
#include "proxy/run/clock.h"
#include "proxy/run/summary.h"

#define READY_TIMEOUT (60 * NS_S) /* from the start of the proxy; a look-up of a name may take long */
#define STOP_TIMEOUT (30 * NS_S)  /* of the proxy, which writes its summary and capture */
#define POLL_SOON (10 * NS_MS)    /* while something is awaited that no descriptor reports */

const struct case_task *case_task(const struct case_run *run)
{
	return &run->task;
}

bool case_was_interrupted(const struct case_run *run)
{
	return run->interrupted;
}

pid_t case_group(const struct case_run *run)
{
	return child_is_over(&run->command) ? run->left_group : run->command.pid;
}

/* ---- Commands ---- */

static int start_command(struct case_run *run, const char *command, ns_t timeout, bool keeps_group, ns_t now)
{
	const char *const words[] = {"/bin/sh", "-c", command, NULL};
	struct child_options options = {.words = words,
	    .environment = run->environment.all,
	    .folder = run->context->home,
	    .passed = -1,
	    .timeout = timeout,
	    .keeps_group = keeps_group};
	struct error error;
	int failed;

	options.output = case_open_log(run, "test.log", &error);
	failed = options.output < 0 || child_start(&run->command, &options, now, &error);
	if (options.output >= 0)
		close(options.output);
	if (failed)
		case_break(run, "%s", error.text);
	return failed ? -1 : 0;
}

/* ---- Steps ---- */

static void begin_step(struct case_run *run, enum step step, ns_t now);

/* Says how a command failed; returns false if it did not. */
static bool describe_failure(const struct child *child, const char *command, struct text *out)
{
	if (child->timed_out)
		text_add(out, "`%s` ran out of time", command);
	else if (child->signal)
		text_add(out, "`%s` was killed by signal %d", command, child->signal);
	else if (child->status)
		text_add(out, "`%s` failed with status %d", command, child->status);
	return child->timed_out || child->signal || child->status;
}

/* Starts the next command of the bench, or the case itself. */
static void begin_bench(struct case_run *run, ns_t now)
{
	const char *words[] = {"/bin/sh", "-c", NULL, NULL};
	struct child_options options = {.words = words,
	    .environment = run->bench_environment.all,
	    .folder = run->context->home,
	    .passed = -1,
	    .keeps_group = true};
	struct error error;
	int failed;

	if (run->bench_done == run->task.before_count) {
		begin_step(run, STEP_PREPARE, now);
		return;
	}
	words[2] = run->task.before[run->bench_done].command;
	options.timeout = run->task.before[run->bench_done].timeout;
	options.output = open(run->task.bench_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	failed = options.output < 0
	             ? error_set(&error, "`%s` cannot be written: %s", run->task.bench_log, strerror(errno))
	             : child_start(&run->command, &options, now, &error);
	if (options.output >= 0)
		close(options.output);
	if (failed) {
		text_add_word(&run->bench_failure, error.text);
		begin_step(run, STEP_OVER, now);
	}
}

static void end_bench(struct case_run *run, ns_t now)
{
	const char *command = run->task.before[run->bench_done].command;

	if (run->interrupted) {
		begin_step(run, STEP_OVER, now);
	} else if (describe_failure(&run->command, command, &run->bench_failure)) {
		text_add(&run->bench_failure, "; see %s", run->task.bench_log);
		begin_step(run, STEP_OVER, now);
	} else {
		run->bench_done++;
		begin_step(run, STEP_BENCH, now);
	}
}

static void begin_prepare(struct case_run *run, ns_t now)
{
	const struct campaign_settings *campaign = &run->context->plan->settings->campaign;

	if (!campaign->prepare)
		begin_step(run, STEP_PROXY, now);
	else if (start_command(run, campaign->prepare, campaign->prepare_timeout, true, now))
		begin_step(run, STEP_STOP, now);
}

/* Adds the lines of $DEADZONE_ENV to the environment. */
static void read_prepared_environment(struct case_run *run, char *lines)
{
	unsigned count = 0;

	for (char *line = strtok(lines, "\r\n"); line; line = strtok(NULL, "\r\n")) {
		if (++count > CASE_LINES_MAX) {
			case_break(run, "prepare wrote more than %d lines to $DEADZONE_ENV", CASE_LINES_MAX);
			return;
		}
		if (*line == '=' || !strchr(line, '=')) {
			case_break(
			    run, "prepare wrote `%.100s` to $DEADZONE_ENV; a line is NAME=VALUE", line);
			return;
		}
		case_put_variable(run, line);
	}
}

static void end_prepare(struct case_run *run, ns_t now)
{
	struct error error;
	struct text failure = {0};
	char *environment;

	run->left_group = run->command.pid;
	if (describe_failure(&run->command, run->context->plan->settings->campaign.prepare, &failure))
		case_break(run, "prepare: %s", failure.at);
	text_free(&failure);
	if (run->broken.size) {
		begin_step(run, STEP_STOP, now);
		return;
	}
	run->prepared = case_read_small(run, "prepared.set", &error);
	environment = case_read_small(run, "prepared.env", &error);
	if (!run->prepared || !environment)
		case_break(run, "%s", error.text);
	else
		read_prepared_environment(run, environment);
	free(environment);
	begin_step(run, run->broken.size || run->interrupted ? STEP_STOP : STEP_PROXY, now);
}

static void begin_test(struct case_run *run, ns_t now)
{
	const struct campaign_settings *campaign = &run->context->plan->settings->campaign;
	ns_t timeout = plan_timeout(run->context->plan, run->task.cell);

	if (start_command(run, campaign->test, timeout, false, now)) {
		begin_step(run, STEP_STOP, now);
		return;
	}
	run->test_began = now;
	run->test_ran = true;
}

static void end_test(struct case_run *run, ns_t now)
{
	run->timed_out = run->command.timed_out;
	run->status = run->command.status;
	run->signal = run->timed_out ? 0 : run->command.signal;
	begin_step(run, STEP_STOP, now);
}

static void begin_stop(struct case_run *run, ns_t now)
{
	if (!folder_exists(run->task.folder))
		case_break(run, "its folder, $DEADZONE_DIR, was removed");
	if (run->ready_fd >= 0) {
		close(run->ready_fd);
		run->ready_fd = -1;
	}
	if (child_is_over(&run->proxy)) {
		begin_step(run, STEP_CLEANUP, now);
		return;
	}
	kill(run->proxy.pid, SIGTERM);
	run->proxy.deadline = now + STOP_TIMEOUT;
}

static void end_stop(struct case_run *run, ns_t now)
{
	const struct child *proxy = &run->proxy;

	if (proxy->timed_out)
		case_break(run, "the proxy did not end within %d s", (int)(STOP_TIMEOUT / NS_S));
	else if (proxy->signal)
		case_break(run, "the proxy was killed by signal %d", proxy->signal);
	else if (proxy->status == EXIT_FAILED || proxy->status == EXIT_USAGE || proxy->status > EXIT_CHECK)
		case_break(run, "the proxy failed with status %d; see proxy.log", proxy->status);
	begin_step(run, STEP_CLEANUP, now);
}

static void begin_cleanup(struct case_run *run, ns_t now)
{
	const struct campaign_settings *campaign = &run->context->plan->settings->campaign;

	case_judge(run);
	case_set_variable(run, "OUTCOME", "%s", outcome_words[run->result.outcome]);
	if (!campaign->cleanup ||
	    start_command(run, campaign->cleanup, campaign->cleanup_timeout, false, now))
		begin_step(run, STEP_OVER, now);
}

/* Nothing that the case has started may outlive it. */
static void begin_over(struct case_run *run)
{
	struct text mark = {0};

	child_kill_group(run->left_group);
	run->left_group = 0;
	text_add(&mark, "DEADZONE_DIR=%s", run->task.folder);
	child_kill_orphans(mark.at);
	text_free(&mark);
	unlink(run->socket);
}

static void begin_step(struct case_run *run, enum step step, ns_t now)
{
	run->step = step;
	switch (step) {
	case STEP_BENCH: begin_bench(run, now); break;
	case STEP_PREPARE: begin_prepare(run, now); break;
	case STEP_PROXY:
		if (case_write_ini(run) || case_start_proxy(run, now))
			begin_step(run, STEP_STOP, now);
		break;
	case STEP_TEST: begin_test(run, now); break;
	case STEP_STOP: begin_stop(run, now); break;
	case STEP_CLEANUP: begin_cleanup(run, now); break;
	case STEP_OVER: begin_over(run); break;
	}
}

static void poll_proxy_start(struct case_run *run, ns_t now)
{
	if (run->ready_fd >= 0 && case_read_ready(run)) {
		if (run->ready.size) {
			case_handle_ready(run);
			begin_step(run, STEP_TEST, now);
			return;
		}
		case_break(run, "the proxy did not start; see proxy.log");
	}
	if (run->ready_fd >= 0 && now - run->test_began > READY_TIMEOUT)
		case_break(run, "the proxy was not ready after %d s", (int)(READY_TIMEOUT / NS_S));
	if (run->broken.size)
		begin_step(run, STEP_STOP, now);
}

static void poll_test(struct case_run *run, ns_t now)
{
	if (run->command.ended && !run->test_seconds) {
		run->test_seconds = now - run->test_began;
		run->test_ended_wall = clock_wall();
	}
	if (child_is_over(&run->proxy) && !child_is_over(&run->command) && !run->broken.size) {
		case_break(run, "the proxy ended during the test (status %d, signal %d); see proxy.log",
		    run->proxy.status, run->proxy.signal);
		child_stop(&run->command, now);
	}
	if (child_is_over(&run->command))
		end_test(run, now);
}

void case_poll(struct case_run *run, ns_t now)
{
	enum step before;

	do {
		before = run->step;
		child_poll(&run->command, now);
		child_poll(&run->proxy, now);
		switch (run->step) {
		case STEP_BENCH:
			if (child_is_over(&run->command))
				end_bench(run, now);
			break;
		case STEP_PREPARE:
			if (child_is_over(&run->command))
				end_prepare(run, now);
			break;
		case STEP_PROXY: poll_proxy_start(run, now); break;
		case STEP_TEST: poll_test(run, now); break;
		case STEP_STOP:
			if (child_is_over(&run->proxy))
				end_stop(run, now);
			break;
		case STEP_CLEANUP:
			if (child_is_over(&run->command))
				begin_step(run, STEP_OVER, now);
			break;
		case STEP_OVER: break;
		}
	} while (run->step != before);
}

bool case_is_over(const struct case_run *run)
{
	return run->step == STEP_OVER;
}

size_t case_fds(const struct case_run *run, struct pollfd *fds)
{
	const int all[CASE_FDS] = {run->command.fd, run->proxy.fd, run->ready_fd};
	size_t count = 0;

	for (size_t i = 0; i < CASE_FDS; i++)
		if (all[i] >= 0)
			fds[count++] = (struct pollfd){.fd = all[i], .events = POLLIN};
	return count;
}

ns_t case_due(const struct case_run *run)
{
	ns_t due = 0;
	const ns_t times[] = {child_due(&run->command), child_due(&run->proxy),
	    run->ready_fd >= 0 ? run->test_began + READY_TIMEOUT : 0};

	for (size_t i = 0; i < 3; i++)
		if (times[i] && (!due || times[i] < due))
			due = times[i];
	/* A due time in the past was handled already: the case waits for a group to end. */
	return due && due <= clock_now() ? clock_now() + POLL_SOON : due;
}

void case_interrupt(struct case_run *run, ns_t now)
{
	if (run->step >= STEP_STOP)
		return;
	run->interrupted = true;
	case_break(run, "interrupted");
	if (run->step != STEP_PROXY)
		child_stop(&run->command, now);
	case_poll(run, now);
}

void case_kill(struct case_run *run)
{
	run->interrupted = true;
	child_kill(&run->command);
	child_kill(&run->proxy);
	begin_over(run);
	run->step = STEP_OVER;
}

struct case_run *case_new(const struct case_context *context, const struct case_task *task, ns_t now)
{
	static unsigned number;
	struct case_run *run = memory_new(1, sizeof(*run));
	struct text path = {0};

	*run = (struct case_run){.context = context, .task = *task, .ready_fd = -1, .status = -1};
	run->command.fd = run->proxy.fd = -1;
	text_add(&path, "%s/%u.sock", context->sockets, ++number);
	run->socket = path.at;
	case_fill_environment(run);
	begin_step(run, STEP_BENCH, now);
	return run;
}

void case_free(struct case_run *run)
{
	if (!run)
		return;
	environment_free(&run->environment);
	environment_free(&run->bench_environment);
	free(run->prepared);
	free(run->socket);
	text_free(&run->ready);
	text_free(&run->broken);
	text_free(&run->bench_failure);
	result_fini(&run->result);
	json_decref(run->summary);
	free(run);
}

size_t case_bench_done(const struct case_run *run)
{
	return run->bench_done;
}

const char *case_bench_failure(const struct case_run *run)
{
	return run->bench_failure.size ? run->bench_failure.at : NULL;
}

void case_take_result(struct case_run *run, struct result *result, json_t **summary)
{
	if (!run->is_judged)
		case_judge(run);
	*result = run->result;
	*summary = run->summary;
	run->result = (struct result){0};
	run->summary = NULL;
}

/* ---- Commands without a case ---- */

int case_command(const struct case_context *context, const struct bench_section *bench,
    const struct case_command *command, const char *log, bool is_quiet, bool (*tick)(void *user), void *user,
    struct error *error)
{
	const char *const words[] = {"/bin/sh", "-c", command->command, NULL};
	struct case_run environment = {.context = context, .task = {.bench = bench}};
	struct child_options options = {.words = words,
	    .folder = context->home,
	    .passed = -1,
	    .timeout = command->timeout,
	    .keeps_group = true,
	    .is_quiet = is_quiet};
	struct text failure = {0};
	struct child child;
	int status = -1;

	case_fill_environment(&environment);
	options.environment = environment.environment.all;
	options.output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (options.output < 0) {
		error_set(error, "`%s` cannot be written: %s", log, strerror(errno));
	} else if (child_start(&child, &options, clock_now(), error) == 0) {
		while (!child_is_over(&child)) {
			struct pollfd fd = {.fd = child.fd, .events = POLLIN};

			poll(&fd, 1, (int)(POLL_SOON / NS_MS));
			child_poll(&child, clock_now());
			if (tick && !tick(user))
				child_kill(&child);
		}
		status = describe_failure(&child, command->command, &failure) ? -1 : 0;
		if (status)
			error_set(error, is_quiet ? "%s" : "%s; see %s", failure.at, log);
	}
	if (options.output >= 0)
		close(options.output);
	environment_free(&environment.environment);
	environment_free(&environment.bench_environment);
	text_free(&failure);
	return status;
}
