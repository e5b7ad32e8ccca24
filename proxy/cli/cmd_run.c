/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run: reads the ini files, starts the workers, runs the event loop of the main thread until a signal or the
 * API stops it, then closes the capture and prints the summary.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fresh.h"
#include "base/memory.h"
#include "base/spare.h"
#include "proxy/cli/command.h"
#include "proxy/control/control.h"
#include "proxy/relay/limits.h"
#include "proxy/run/history.h"
#include "proxy/run/log.h"
#include "proxy/run/output.h"
#include "proxy/run/recording.h"
#include "proxy/relay/relay.h"
#include "proxy/cli/notify.h"
#include "proxy/cli/run.h"
#include "proxy/run/clock.h"
#include "proxy/run/endpoint.h"
#include "proxy/sandbox/sandbox.h"

#define FLUSH_TIMEOUT (250 * NS_MS) /* at the end, for the readers of standard error and output */

/* Reads the ini files. Returns NULL after logging their errors. */
static struct setup *read_setup(struct run *run)
{
	struct complaints *complaints = complaints_new();
	struct setup *setup = live_start(run->running.live, complaints);

	log_complaints(complaints);
	complaints_free(complaints);
	return setup;
}

/* ---- Start ---- */

static void log_libevent(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_error("libevent: %s", text);
}

static void leave_loop(void *user)
{
	event_base_loopbreak(user);
}

static int open_event_base(struct run *run)
{
	struct event_config *config = event_config_new();

	if (config)
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	run->base = config ? event_base_new_with_config(config) : NULL;
	if (config)
		event_config_free(config);
	run->running.on_stop = leave_loop;
	run->running.on_stop_user = run->base;
	return run->base ? 0 : -1;
}

static enum exit_status start_capture(struct run *run)
{
	struct running *running = &run->running;
	struct recording recording = {.setup = running->setup,
	    .path = run->capture_path,
	    .names = running->names,
	    .seed = running->seed,
	    .recorders = (unsigned)running->setup->proxy.workers,
	    .at = workers_wall(running->workers, clock_now())};
	enum exit_status status = recording_open(&recording, &running->capture);

	if (!running->capture)
		return status;
	workers_capture(running->workers, running->capture);
	capture_name(running->capture, run->capture_name, sizeof(run->capture_name));
	return EXIT_DONE;
}

/* Makes the lines of all listeners before it logs the first: after that line the run must not end for lack of
 * memory.
 */
static void log_ready(struct run *run)
{
	char address[ADDRESS_TEXT_SIZE];
	struct text lines = {0};

	for (size_t i = 0; i < run->listener_count; i++)
		text_add(&lines, "ready listen=%s upstream=%s seed=%" PRIu64 "\n",
		    address_text(&run->listeners[i], address, sizeof(address)),
		    run->running.setup->proxy.upstream, run->running.seed);
	for (const char *line = lines.at, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		log_notice("%.*s", (int)(end - line), line);
	}
	/* A few short lines fit into any pipe. Whoever reads it sees the end of the file if the run fails. */
	if (run->ready_fd >= 0) {
		if (write(run->ready_fd, lines.at, lines.size) < 0)
			log_error("--ready-fd: %s", strerror(errno));
		close(run->ready_fd);
	}
	text_free(&lines);
	notify("READY=1\nSTATUS=no session yet");
}

/* Reads --ready-fd. Returns -1 after logging an error. */
static int read_ready_fd(struct run *run, const char *text)
{
	struct error error;
	uint64_t fd;

	run->ready_fd = -1;
	if (!text)
		return 0;
	if (units_integer(text, &fd, &error) || fd < 3 || fd > INT_MAX || fcntl((int)fd, F_GETFD) < 0) {
		log_error("run: --ready-fd: `%s` is no open file descriptor above 2", text);
		return -1;
	}
	run->ready_fd = (int)fd;
	fcntl(run->ready_fd, F_SETFD, FD_CLOEXEC);
	fcntl(run->ready_fd, F_SETFL, O_NONBLOCK);
	return 0;
}

/* Without its helper nothing is intercepted any more. */
static void on_gateway_ended(evutil_socket_t fd, short what, void *user)
{
	struct run *run = user;

	(void)fd;
	(void)what;
	if (!gateway_has_ended(run->running.gateway))
		return;
	log_error("gateway: the helper process has ended: nothing is intercepted any more");
	event_del(run->gateway_ended);
	run->running.status = EXIT_FAILED;
	running_stop(&run->running);
}

static void on_gateway_dark(evutil_socket_t fd, short what, void *user)
{
	struct run *run = user;

	(void)fd;
	(void)what;
	gateway_dark_send(run->running.gateway);
}

/* The addresses as bound, with the ports that the kernel has chosen. */
static void note_listeners(struct run *run)
{
	run->listener_count = workers_listener_count(run->running.workers);
	run->listeners = memory_new(run->listener_count, sizeof(*run->listeners));
	for (size_t i = 0; i < run->listener_count; i++)
		run->listeners[i] = *workers_listener(run->running.workers, i);
	live_set_listeners(run->running.live, run->listeners, run->listener_count);
}

static void add_upstream(void *user, const struct live_target *target, const char *text)
{
	workers_add_upstream(user, target, text);
}

/* Begins interception, once the listeners' ports are known. */
static int start_gateway(struct run *run)
{
	struct running *running = &run->running;
	struct error error;
	int status;

	status = relay_check_answers(running->setup, &error)
	             ? -1
	             : gateway_up(
	                   running->gateway, running->setup, run->listeners, run->listener_count, &error);
	if (status) {
		log_error("%s", error.text);
		return EXIT_FAILED;
	}
	run->gateway_ended = event_new(
	    run->base, gateway_fd(running->gateway), EV_READ | EV_PERSIST, on_gateway_ended, run);
	run->gateway_dark = event_new(
	    run->base, gateway_dark_fd(running->gateway), EV_READ | EV_PERSIST, on_gateway_dark, run);
	if (run->gateway_ended && run->gateway_dark && event_add(run->gateway_ended, NULL) == 0 &&
	    event_add(run->gateway_dark, NULL) == 0)
		return EXIT_DONE;
	log_error("the event loop cannot be set up");
	return EXIT_FAILED;
}

static void grant_file(void *user, const char *path)
{
	sandbox_read_beside(user, path);
}

/* Allows creating and removing the control sockets. */
static void grant_control(struct sandbox *sandbox, const struct control_settings *control)
{
	struct endpoint endpoint;
	struct error error;

	for (size_t i = 0; i < control->listen.count; i++)
		if (endpoint_read(control->listen.all[i], &endpoint, &error) == 0 && endpoint.is_unix)
			sandbox_write_beside(sandbox, endpoint.path);
}

static void enter_sandbox(struct run *run)
{
	const struct setup *setup = run->running.setup;
	struct sandbox *sandbox = sandbox_new();

	live_visit_files(run->running.live, setup, grant_file, sandbox);
	sandbox_read(sandbox, setup_profile_dir());
	sandbox_read(sandbox, LIMITS_PORT_RANGE);
	sandbox_read_system(sandbox);
	sandbox_write_beside(sandbox, run->capture_path ? run->capture_path : setup->capture.file);
	sandbox_write_beside(sandbox, run->json_path);
	sandbox_write_beside(sandbox, run->junit_path);
	grant_control(sandbox, &setup->control);
	if (setup->proxy.is_original)
		sandbox_keep(sandbox, GATEWAY_CAPABILITIES);
	if (run->running.gateway)
		sandbox_signal(sandbox, gateway_helper(run->running.gateway));
	sandbox_enter(sandbox, SANDBOX_NETWORK);
}

static int start_run(struct run *run)
{
	struct workers_options options = {.names = run->running.names,
	    .summary = run->running.summary,
	    .feed = run->running.feed,
	    .seed = run->running.seed,
	    .gateway = run->running.gateway};
	struct error error;
	int status = run_check_outputs(run);

	if (status)
		return status;
	limits_raise();
	event_set_log_callback(log_libevent);
	event_set_mem_functions(spare_malloc, spare_realloc, spare_free);
	evthread_use_pthreads();
	if (open_event_base(run) || run_signals_open(run) || run_ticks_open(run)) {
		log_error("the event loop cannot be set up");
		return EXIT_FAILED;
	}
	run->running.workers = workers_new(&options, run->running.setup, &error);
	if (!run->running.workers) {
		log_error("%s", error.text);
		return EXIT_FAILED;
	}
	note_listeners(run);
	live_set_on_upstream(run->running.live, add_upstream, run->running.workers);
	if (run->running.gateway && (status = start_gateway(run)))
		return status;
	if (run->running.setup->control.listen.count)
		run->running.history = history_new();
	run->control = control_new(&run->running, run->base, &error);
	if (!run->control) {
		log_error("%s", error.text);
		return EXIT_FAILED;
	}
	/* The sandbox applies to threads started from here on. */
	if (run->is_sandboxed)
		enter_sandbox(run);
	log_start();
	if (run->json_path && strcmp(run->json_path, "-") == 0 &&
	    !(run->standard_output = output_open(STDOUT_FILENO)))
		return EXIT_FAILED;
	status = (int)start_capture(run);
	if (status)
		return status;
	if (workers_start(run->running.workers, &error)) {
		log_error("%s", error.text);
		workers_stop(run->running.workers);
		return EXIT_FAILED;
	}
	log_ready(run);
	return EXIT_DONE;
}

/* ---- End ---- */

static void close_capture(struct run *run)
{
	struct running *running = &run->running;
	struct capture_closing closing = {.at = running->stopped};
	struct summary_facts facts;
	struct summary_snapshot now;

	running_snapshot(running, true, &now);
	workers_closing(running->workers, &now, &closing);
	running_facts(running, &facts);
	recording_close(running->capture, &closing, &now, workers_cores(running->workers), &facts,
	    (enum exit_status)running->status);
	summary_snapshot_free(&now);
}

static void finish_run(struct run *run)
{
	struct run_summary result;
	struct error error;

	notify("STOPPING=1");
	run->running.stopped = workers_wall(run->running.workers, clock_now());
	log_status("");
	run_signals_close(run);
	run_ticks_close(run);
	if (run->running.capture)
		close_capture(run);
	running_summary(&run->running, true, &result);
	if (log_level() >= LOG_NORMAL) {
		summary_print(&result, true);
		if (run->running.capture) {
			struct text line = {0};

			run_announce_file(run);
			text_add(&line, "capture in %s\n", run->capture_name);
			log_lines(line.at, line.size, true);
			text_free(&line);
		}
	}
	summary_log_failures(&result);
	run->running.status = result.exit;
	run_json_write(run, &result, true);
	if (run->junit_path && run_summary_write_junit(&result, run->junit_path, &error)) {
		log_error("--junit: %s", error.text);
		run->running.status = EXIT_FAILED;
	}
	run_summary_fini(&result);
	if (output_close(run->standard_output, FLUSH_TIMEOUT)) {
		log_error("--json: standard output is not read: the summary was not written");
		run->running.status = EXIT_FAILED;
	}
	run->standard_output = NULL;
}

static void clean_up(struct run *run)
{
	control_free(run->control);
	if (run->gateway_ended)
		event_free(run->gateway_ended);
	if (run->gateway_dark)
		event_free(run->gateway_dark);
	if (gateway_free(run->running.gateway) && !run->running.status)
		run->running.status = EXIT_FAILED;
	workers_free(run->running.workers);
	capture_free(run->running.capture);
	if (run->base)
		event_base_free(run->base);
	libevent_global_shutdown();
	summary_free(run->running.summary);
	for (size_t i = 0; i < run->running.change_count; i++)
		free(run->running.changes[i].text);
	free(run->running.changes);
	feed_free(run->running.feed);
	history_free(run->running.history);
	output_close(run->standard_output, 0);
	setup_free(run->running.setup);
	live_free(run->running.live);
	free(run->listeners);
	names_free(run->running.names);
}

/* Returns `status`, for a run that ends before it has begun. */
static int end_early(struct running *running, int status)
{
	setup_free(running->setup);
	live_free(running->live);
	names_free(running->names);
	return status;
}

static int print_gateway(const struct setup *setup)
{
	if (!setup->gateway.given) {
		log_error("run: --print-gateway: there is no [gateway] section");
		return EXIT_USAGE;
	}
	gateway_print(setup);
	return EXIT_DONE;
}

static int run_relay(const struct command_line *line)
{
	struct run run = {.running = {.generation = 1}};
	struct running *running = &run.running;

	log_set_level(command_given(line, "quiet")     ? LOG_QUIET
	              : command_given(line, "verbose") ? LOG_VERBOSE
	                                               : LOG_NORMAL);
	run.source.ini.file = command_value(line, "config");
	run.source.ini.sets = (const char *const *)line->settings;
	run.source.ini.set_count = line->setting_count;
	run.capture_path = command_value(line, "write");
	run.json_path = command_value(line, "json");
	run.junit_path = command_value(line, "junit");
	run.is_sandboxed = !command_given(line, "no-sandbox");
	if (read_ready_fd(&run, command_value(line, "ready-fd")))
		return EXIT_USAGE;
	if (!run.source.ini.file && !run.source.ini.set_count) {
		log_error(
		    "run: pass an ini file with -c, or --listen and --upstream; see `deadzone help run`");
		return EXIT_USAGE;
	}
	running->names = names_new();
	running->live = live_new(&run.source, SETUP_RUN, running->names);
	running->setup = read_setup(&run);
	if (!running->setup)
		return end_early(running, EXIT_USAGE);
	if (command_given(line, "print-gateway"))
		return end_early(running, print_gateway(running->setup));
	/* The helper process is forked while there is no thread yet. */
	if (running->setup->gateway.given && !(running->gateway = gateway_new(running->setup)))
		return end_early(running, EXIT_FAILED);
	run.source.workers = (unsigned)running->setup->proxy.workers;
	running->summary = summary_new();
	running->feed = feed_new();
	running->seed = recording_seed(running->setup);
	run.wall_offset = clock_wall() - clock_now();
	running->status = start_run(&run);
	if (!running->status) {
		if (event_base_dispatch(run.base) < 0) {
			log_error("the event loop failed");
			running->status = EXIT_FAILED;
			workers_stop(running->workers);
		}
		finish_run(&run);
	} else {
		if (running->capture)
			capture_close(running->capture, NULL);
		run_signals_close(&run);
		run_ticks_close(&run);
	}
	clean_up(&run);
	return running->status;
}

static int run(const struct command_line *line)
{
	int status = run_relay(line);

	log_stop(FLUSH_TIMEOUT);
	return status;
}

static const struct option_row options[] = {
    {'c', "config", "FILE", false, "the ini file", NULL},
    {0, "listen", "ADDR:PORT", false, "where devices send to", "[proxy] listen"},
    {0, "upstream", "HOST:PORT", false, "the cloud", "[proxy] upstream"},
    COMMAND_LINK_OPTIONS,
    {'w', "write", "FILE", false, "capture file; - is standard output, for `| wireshark -k -i -`", NULL},
    {0, "set", "\"[SECTION] KEY = VALUE\"", true,
        "replace all values of that key (`+=` adds one); may be repeated", NULL},
    {0, "json", "FILE", false, "write the summary at the end, for machines; - is standard output", NULL},
    {0, "junit", "FILE", false, "write the outcome of every `expect` and other check, as JUnit XML", NULL},
    {0, "ready-fd", "N", false, "also write the ready lines to this file descriptor, then close it", NULL},
    {0, "print-gateway", NULL, false,
        "print the nft and ip commands that [gateway] stands for, and do nothing", NULL},
    COMMAND_SANDBOX_OPTION,
    {'q', "quiet", NULL, false, "print only errors and the ready line", NULL},
    {'v', "verbose", NULL, true, "also print every verdict", NULL},
};

const struct command command_run_row = {
    .name = "run",
    .words = "",
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "relay until SIGINT or SIGTERM",
    .more =
        "Without an ini file:\n"
        "deadzone run --listen 0.0.0.0:25684 --upstream cloud.example:5684 --latency 300ms --loss 5%\n\n"
        "Options such as --latency are short for --set \"[link default] latency = …\"; --set overrides\n"
        "them. --blackout 40s@75 is a rule named blackout: nothing passes for 40 s, beginning with the 75th\n"
        "datagram up.\n\n"
        "When all listeners are bound and all rules are armed, it writes one line for each listener:\n"
        "`deadzone: ready listen=ADDR:PORT upstream=HOST:PORT seed=N`.\n\n"
        "SIGINT or SIGTERM stops the run cleanly; a second one ends it at once. SIGHUP reads the ini files\n"
        "again. SIGUSR1 prints the summary so far and writes the --json file. SIGUSR2 starts a new capture\n"
        "file.",
};
