/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each step has one child, `command`; the proxy is a second one, which lives from STEP_PROXY to STEP_STOP. A
 * step ends when its child is over; `advance` starts the next. What breaks a case ("prepare failed") is kept
 * in `broken`, and the case goes on with the proxy's end and cleanup.
 */
#include "proxy/campaign/case.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "base/regular.h"
#include "campaign/sweep.h"
#include "proxy/campaign/child.h"
#include "proxy/campaign/folder.h"
#include "proxy/campaign/measures.h"
#include "proxy/run/clock.h"
#include "proxy/run/summary.h"

#define READY_TIMEOUT (60 * NS_S) /* from the start of the proxy; a look-up of a name may take long */
#define STOP_TIMEOUT (30 * NS_S)  /* of the proxy, which writes its summary and capture */
#define PREPARED_MAX ((size_t)1 << 20)
#define READY_MAX 65536
#define LINES_MAX 1000         /* of $DEADZONE_ENV and $DEADZONE_MEASURES */
#define POLL_SOON (10 * NS_MS) /* while something is awaited that no descriptor reports */

enum step { STEP_BENCH, STEP_PREPARE, STEP_PROXY, STEP_TEST, STEP_STOP, STEP_CLEANUP, STEP_OVER };

/* Variables, with a NULL at the end. */
struct environment {
	char **all;
	size_t count;
};

struct case_run {
	const struct case_context *context;
	struct case_task task;
	enum step step;
	struct child command, proxy;
	pid_t left_group; /* of `prepare`, whose background processes live until the end */
	int ready_fd;     /* -1: closed */
	struct text ready;
	char *socket; /* of the control API */
	struct text broken;
	struct environment environment, bench_environment; /* the latter for the commands of the bench */
	char *prepared;                                    /* contents of $DEADZONE_SET */
	ns_t test_began, test_seconds, test_ended_wall;
	bool test_ran, timed_out, interrupted;
	int status, signal;
	size_t bench_done; /* commands of the bench that have run */
	struct text bench_failure;
	bool is_judged;
	struct result result;
	json_t *summary;
};

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

static void break_case(struct case_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void break_case(struct case_run *run, const char *format, ...)
{
	va_list list;

	if (run->broken.size)
		return; /* the first reason counts */
	va_start(list, format);
	text_add_list(&run->broken, format, list);
	va_end(list);
}

/* ---- Environment ---- */

static void environment_put(struct case_run *run, const char *variable)
{
	size_t name = strcspn(variable, "=");

	for (size_t i = 0; i < run->environment.count; i++)
		if (strncmp(run->environment.all[i], variable, name + 1) == 0) {
			free(run->environment.all[i]);
			run->environment.all[i] = memory_text(variable, strlen(variable));
			return;
		}
	run->environment.all = memory_resize(
	    run->environment.all, run->environment.count + 2, sizeof(*run->environment.all));
	run->environment.all[run->environment.count++] = memory_text(variable, strlen(variable));
	run->environment.all[run->environment.count] = NULL;
}

static void environment_set(struct case_run *run, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void environment_set(struct case_run *run, const char *name, const char *format, ...)
{
	struct text text = {0};
	va_list list;

	text_add(&text, "DEADZONE_%s=", name);
	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	environment_put(run, text.at);
	text_free(&text);
}

/* Axis names may hold characters that names of variables cannot. */
static void set_axes(struct case_run *run)
{
	const struct settings *settings = run->context->plan->settings;

	for (size_t a = 0; run->task.cell && a < settings->axis_count; a++) {
		struct text name = {0};
		const struct axis_value *value = plan_value(run->context->plan, run->task.cell, a);

		text_add(&name, "AXIS_%s", settings->axes[a].name);
		for (char *c = name.at; *c; c++)
			*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : strchr(".-", *c) ? '_' : *c);
		environment_set(
		    run, name.at, "%s", settings->axes[a].is_include ? value->label : value->value);
		text_free(&name);
	}
}

static void environment_copy(struct environment *to, const struct environment *from)
{
	to->all = memory_new(from->count + 1, sizeof(*to->all));
	for (to->count = 0; to->count < from->count; to->count++)
		to->all[to->count] = memory_text(from->all[to->count], strlen(from->all[to->count]));
}

static void environment_free(struct environment *environment)
{
	for (size_t i = 0; i < environment->count; i++)
		free(environment->all[i]);
	free(environment->all);
}

static void fill_environment(struct case_run *run)
{
	const struct case_task *task = &run->task;

	for (char **variable = environ; *variable; variable++)
		environment_put(run, *variable);
	for (size_t i = 0; task->bench && i < task->bench->environment.count; i++)
		environment_put(run, task->bench->environment.all[i]);
	environment_set(run, "BENCH", "%s", task->bench ? task->bench->name : "");
	set_axes(run);
	/* A process that setup leaves running does not belong to the case, so it must not have its folder in
	 * its environment: the case would kill it at its end. */
	environment_copy(&run->bench_environment, &run->environment);
	if (!task->id)
		return;
	environment_set(run, "SEED", "%" PRIu64, task->seed);
	environment_set(run, "CASE", "%s", task->id);
	environment_set(run, "DIR", "%s", task->folder);
	environment_set(run, "SET", "%s/prepared.set", task->folder);
	environment_set(run, "ENV", "%s/prepared.env", task->folder);
	environment_set(run, "MEASURES", "%s/measures", task->folder);
	environment_set(run, "CONTROL", "unix:%s", run->socket);
}

/* ---- Files of the case ---- */

static char *file_of(const struct case_run *run, const char *name)
{
	struct text path = {0};

	text_add(&path, "%s/%s", run->task.folder, name);
	return path.at;
}

/* Returns the contents of a small file that a command may have written; "" if there is none. NULL: it cannot
 * be read, and *error says why. */
static char *read_small(const struct case_run *run, const char *name, struct error *error)
{
	char *path = file_of(run, name), *contents = NULL;
	struct text text = {0};
	bool is_missing = access(path, F_OK) && errno == ENOENT;
	int fd = is_missing ? -1 : regular_open(path, false, error);

	if (fd >= 0) {
		if (regular_read(fd, path, PREPARED_MAX, &text, error) == 0) {
			if (text.size && strlen(text.at) != text.size)
				error_set(error, "`%s` holds a NUL byte", path);
			else
				contents = memory_text(text.size ? text.at : "", text.size);
		}
		close(fd);
	} else if (is_missing) {
		contents = memory_text("", 0);
	}
	text_free(&text);
	free(path);
	return contents;
}

static int open_log(const struct case_run *run, const char *name, struct error *error)
{
	char *path = file_of(run, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	/* The test may have removed its folder; cleanup must run all the same. */
	if (fd < 0 && errno == ENOENT)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		error_set(error, "`%s` cannot be written: %s", path, strerror(errno));
	free(path);
	return fd;
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

	options.output = open_log(run, "test.log", &error);
	failed = options.output < 0 || child_start(&run->command, &options, now, &error);
	if (options.output >= 0)
		close(options.output);
	if (failed)
		break_case(run, "%s", error.text);
	return failed ? -1 : 0;
}

/* ---- The proxy ---- */

static const char *host_of(const struct case_run *run, const struct address *address, char *text, size_t cap)
{
	const char *advertise = run->context->plan->settings->campaign.advertise;

	if (address_is_any(address) && advertise)
		return advertise;
	return address_host_text(address, text, cap);
}

/* Sets the variables that the ready line of listener `index` determines. */
static void set_listener(struct case_run *run, size_t index, const char *written)
{
	char suffix[16] = "", name[32], host[ADDRESS_TEXT_SIZE];
	struct address address;
	struct error error;

	if (address_read(written, &address, &error))
		return;
	if (index)
		snprintf(suffix, sizeof(suffix), "_%zu", index + 1);
	snprintf(name, sizeof(name), "ADDRESS%s", suffix);
	environment_set(run, name, "%s", written);
	snprintf(name, sizeof(name), "HOST%s", suffix);
	environment_set(run, name, "%s", host_of(run, &address, host, sizeof(host)));
	snprintf(name, sizeof(name), "PORT%s", suffix);
	environment_set(run, name, "%u", address.port);
}

/* Handles "ready listen=ADDR:PORT upstream=…", a line for each listener. */
static void handle_ready(struct case_run *run)
{
	size_t index = 0;

	for (const char *line = run->ready.at; line && *line; line = strchr(line, '\n')) {
		const char *listen;
		char written[ADDRESS_TEXT_SIZE];

		line += *line == '\n';
		listen = strstr(line, "listen=");
		if (!listen)
			return;
		listen += strlen("listen=");
		snprintf(written, sizeof(written), "%.*s", (int)strcspn(listen, " \n"), listen);
		set_listener(run, index++, written);
	}
}

static int write_case(struct case_run *run)
{
	struct network_source source = run->context->network;
	struct complaints *complaints = complaints_new();
	struct names *names = names_new();
	struct text text = {0}, errors = {0};
	char *path = file_of(run, "case.ini");
	struct output_file file;
	struct setup *setup;
	struct error error;
	int failed = 0;

	source.cell = run->task.cell;
	source.bench = run->task.bench;
	source.extra = run->task.extra;
	source.prepared = run->prepared;
	source.is_clean = run->task.is_clean;
	setup = network_build(&source, names, complaints);
	complaints_errors(complaints, &errors);
	if (errors.size) {
		break_case(run, "the configuration is wrong: %.*s", (int)strcspn(errors.at, "\n"), errors.at);
		failed = -1;
	} else if (network_write(&source, setup, run->task.seed, run->task.fault, &text, &error) ||
	           output_file_open(&file, path, &error)) {
		break_case(run, "%s", error.text);
		failed = -1;
	} else {
		fwrite(text.at, 1, text.size, file.out);
		failed = output_file_close(&file, path, &error);
		if (failed)
			break_case(run, "%s", error.text);
	}
	setup_free(setup);
	names_free(names);
	complaints_free(complaints);
	text_free(&text);
	text_free(&errors);
	free(path);
	return failed;
}

static int start_proxy(struct case_run *run, ns_t now)
{
	char *ini = file_of(run, "case.ini"), *capture = file_of(run, "run.pcapng");
	char *summary = file_of(run, "summary.json");
	struct text control = {0};
	struct child_options options = {.environment = environ, .folder = run->context->home, .output = -1};
	struct error error;
	int pipes[2] = {-1, -1}, failed;

	text_add(&control, "[control] listen = unix:%s", run->socket);
	options.words = (const char *const[]){run->context->program, "run", "-c", ini, "-w", capture,
	    "--json", summary, "--ready-fd", "3", "--set", control.at, NULL};
	failed = pipe2(pipes, O_CLOEXEC);
	if (failed)
		error_set(&error, "no pipe can be made: %s", strerror(errno));
	options.passed = pipes[1];
	if (!failed) {
		options.output = open_log(run, "proxy.log", &error);
		failed = options.output < 0 || child_start(&run->proxy, &options, now, &error);
	}
	if (pipes[1] >= 0)
		close(pipes[1]);
	if (options.output >= 0)
		close(options.output);
	if (failed) {
		break_case(run, "%s", error.text);
		if (pipes[0] >= 0)
			close(pipes[0]);
	} else {
		fcntl(pipes[0], F_SETFL, O_NONBLOCK);
		run->ready_fd = pipes[0];
		run->test_began = now; /* until the test begins: the start of the proxy */
	}
	free(ini);
	free(capture);
	free(summary);
	text_free(&control);
	return failed ? -1 : 0;
}

/* Reads ready lines. Returns true once the proxy has closed the pipe: it is ready, or has failed. */
static bool read_ready(struct case_run *run)
{
	char block[4096];
	ssize_t got;

	while ((got = read(run->ready_fd, block, sizeof(block))) > 0)
		if (run->ready.size < READY_MAX)
			text_add_bytes(&run->ready, block, (size_t)got);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	close(run->ready_fd);
	run->ready_fd = -1;
	return true;
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
		if (++count > LINES_MAX) {
			break_case(run, "prepare wrote more than %d lines to $DEADZONE_ENV", LINES_MAX);
			return;
		}
		if (*line == '=' || !strchr(line, '=')) {
			break_case(
			    run, "prepare wrote `%.100s` to $DEADZONE_ENV; a line is NAME=VALUE", line);
			return;
		}
		environment_put(run, line);
	}
}

static void end_prepare(struct case_run *run, ns_t now)
{
	struct error error;
	struct text failure = {0};
	char *environment;

	run->left_group = run->command.pid;
	if (describe_failure(&run->command, run->context->plan->settings->campaign.prepare, &failure))
		break_case(run, "prepare: %s", failure.at);
	text_free(&failure);
	if (run->broken.size) {
		begin_step(run, STEP_STOP, now);
		return;
	}
	run->prepared = read_small(run, "prepared.set", &error);
	environment = read_small(run, "prepared.env", &error);
	if (!run->prepared || !environment)
		break_case(run, "%s", error.text);
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
		break_case(run, "its folder, $DEADZONE_DIR, was removed");
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
		break_case(run, "the proxy did not end within %d s", (int)(STOP_TIMEOUT / NS_S));
	else if (proxy->signal)
		break_case(run, "the proxy was killed by signal %d", proxy->signal);
	else if (proxy->status == EXIT_FAILED || proxy->status == EXIT_USAGE || proxy->status > EXIT_CHECK)
		break_case(run, "the proxy failed with status %d; see proxy.log", proxy->status);
	begin_step(run, STEP_CLEANUP, now);
}

static void judge(struct case_run *run);

static void begin_cleanup(struct case_run *run, ns_t now)
{
	const struct campaign_settings *campaign = &run->context->plan->settings->campaign;

	judge(run);
	environment_set(run, "OUTCOME", "%s", outcome_words[run->result.outcome]);
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
		if (write_case(run) || start_proxy(run, now))
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
	if (run->ready_fd >= 0 && read_ready(run)) {
		if (run->ready.size) {
			handle_ready(run);
			begin_step(run, STEP_TEST, now);
			return;
		}
		break_case(run, "the proxy did not start; see proxy.log");
	}
	if (run->ready_fd >= 0 && now - run->test_began > READY_TIMEOUT)
		break_case(run, "the proxy was not ready after %d s", (int)(READY_TIMEOUT / NS_S));
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
		break_case(run, "the proxy ended during the test (status %d, signal %d); see proxy.log",
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
	break_case(run, "interrupted");
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
	fill_environment(run);
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

/* ---- Judging ---- */

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
	char *lines = read_small(run, "measures", &error);
	unsigned count = 0;

	if (!lines)
		break_case(run, "%s", error.text);
	for (char *line = lines ? strtok(lines, "\r\n") : NULL; line; line = strtok(NULL, "\r\n")) {
		char name[64], *end;
		size_t size = strcspn(line, " \t=");
		double value = strtod(line + size + strspn(line + size, " \t="), &end);

		if (!size || size >= sizeof(name) || end[strspn(end, " \t")] || !line[size] ||
		    !isfinite(value))
			continue;
		if (++count > LINES_MAX)
			break;
		snprintf(name, sizeof(name), "%.*s", (int)size, line);
		if (is_built_in(name))
			continue;
		result_measure(result, name, value);
	}
	free(lines);
}

/* Reads what the proxy and the commands have left, and decides the outcome. */
static void judge(struct case_run *run)
{
	const struct case_task *task = &run->task;
	struct result *result = &run->result;
	json_t **summary = &run->summary;
	char *path = file_of(run, "summary.json"), *capture = file_of(run, "run.pcapng");
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
		break_case(run, "the proxy left no summary; see proxy.log");
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
		judge(run);
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

	fill_environment(&environment);
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
