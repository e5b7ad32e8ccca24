/* run: the relay, from the ini files to the summary. */
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fresh.h"
#include "base/memory.h"
#include "proxy/command.h"
#include "proxy/control.h"
#include "proxy/limits.h"
#include "proxy/history.h"
#include "proxy/log.h"
#include "proxy/output.h"
#include "proxy/relay.h"
#include "proxy/running.h"

#define STATUS_EVERY 1                    /* seconds: the live status, and a look at how the capture does */
#define STEP_LEAST (100 * NS_MS)          /* of the wall clock; NTP's slewing is at most 0.5 ms in a second */
#define JSON_QUEUE_MAX ((size_t)64 << 20) /* bytes that may wait on standard output before the end */
#define PATIENCE (250 * NS_MS)            /* at the end, with whoever reads standard error and output */

/* NULL after its errors were printed. */
static struct setup *setup_read(const struct running *running)
{
	struct complaints *complaints = complaints_new();
	struct setup *setup = live_load(running->live, complaints);

	log_complaints(complaints);
	complaints_free(complaints);
	return setup;
}

/* Standard output may be a pipe that nobody reads: it has a queue, as messages do. */
static int queue_json(struct running *running, json_t *json, bool at_end, struct error *error)
{
	struct text text = {0};
	bool queued;

	dump_json(json, DUMP_INDENTED, &text);
	json_decref(json);
	text_add_bytes(&text, "\n", 1);
	queued = output_put(running->standard_output, text.at, text.size, at_end ? SIZE_MAX : JSON_QUEUE_MAX);
	text_free(&text);
	return queued ? 0 : error_set(error, "standard output is not read: this summary is skipped");
}

static void write_json(struct running *running, const struct sheet *sheet, bool at_end)
{
	struct error error;
	int failed;

	if (!running->json_path)
		return;
	if (running->standard_output)
		failed = queue_json(running, sheet_json(sheet), at_end, &error);
	else
		failed = sheet_write(sheet_json(sheet), running->json_path, &error);
	if (!failed)
		return;
	log_error("--json: %s", error.text);
	if (at_end)
		running->status = EXIT_FAILED;
}

/* ---- Signals ---- */

/* The first SIGINT or SIGTERM asks the loop to stop, by this eventfd; a further one ends at once, also where
 * the loop waits for a disk or for whoever does not read standard error. */
static int stop_bell = -1;
static volatile sig_atomic_t stop_asked;

static void die_now(void)
{
	static const char text[] = "deadzone: stopped at once\n";
	struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&standard_error, 1, 0) != 1 || write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EXIT_FAILED); /* nobody reads it */
	_exit(EXIT_FAILED);
}

static void stop_signalled(int number)
{
	int kept = errno;

	(void)number;
	if (stop_asked)
		die_now();
	stop_asked = 1;
	eventfd_write(stop_bell, 1);
	errno = kept;
}

static void on_stop(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	running_stop(user);
}

/* libevent calls back for each signal that came: several SIGHUPs become one reload, done in the loop's next
 * round, so that a SIGTERM among them does not wait for all. */
static void on_hangup(evutil_socket_t number, short what, void *user)
{
	struct running *running = user;

	(void)number;
	(void)what;
	event_active(running->reload, EV_TIMEOUT, 0);
}

static void on_reload(evutil_socket_t fd, short what, void *user)
{
	struct running *running = user;

	(void)fd;
	(void)what;
	if (!stop_asked && !running_reload(running, NULL))
		control_reload(running->control);
}

static void on_summary(evutil_socket_t number, short what, void *user)
{
	struct running *running = user;
	struct sheet sheet;

	(void)number;
	(void)what;
	running_sheet(running, true, &sheet);
	log_status("");
	summary_print(&sheet, false);
	write_json(running, &sheet, false);
	sheet_fini(&sheet);
}

static void on_rotate(evutil_socket_t number, short what, void *user)
{
	const char *why;

	(void)number;
	(void)what;
	if (!running_rotate(user, &why))
		log_error("%s", why);
}

static int stop_open(struct running *running)
{
	struct sigaction asks = {.sa_handler = stop_signalled, .sa_flags = SA_RESTART};

	stop_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (stop_bell < 0)
		return -1;
	running->stop = event_new(running->base, stop_bell, EV_READ, on_stop, running);
	if (!running->stop || event_add(running->stop, NULL))
		return -1;
	return sigaction(SIGINT, &asks, NULL) || sigaction(SIGTERM, &asks, NULL) ? -1 : 0;
}

static int signals_open(struct running *running)
{
	static const struct {
		int number;
		event_callback_fn call;
	} rows[RUN_SIGNALS] = {{SIGHUP, on_hangup}, {SIGUSR1, on_summary}, {SIGUSR2, on_rotate}};

	running->reload = event_new(running->base, -1, 0, on_reload, running);
	if (!running->reload)
		return -1;
	for (int i = 0; i < RUN_SIGNALS; i++) {
		signal(rows[i].number, SIG_IGN); /* what libevent leaves behind at the end */
		running->signals[i] = evsignal_new(running->base, rows[i].number, rows[i].call, running);
		if (!running->signals[i] || event_add(running->signals[i], NULL))
			return -1;
	}
	return stop_open(running);
}

/* Nothing runs in the loop any more: a signal to stop ends at once, the others do nothing. */
static void signals_close(struct running *running)
{
	stop_asked = 1;
	if (running->stop)
		event_free(running->stop);
	if (running->reload)
		event_free(running->reload);
	if (stop_bell >= 0)
		close(stop_bell);
	for (int i = 0; i < RUN_SIGNALS; i++)
		if (running->signals[i])
			event_free(running->signals[i]);
}

/* ---- Once a second ---- */

static void show_status(struct running *running)
{
	const struct account *totals;
	struct summary_now now;
	uint64_t received, dropped;
	size_t sessions;
	char text[200];

	running_now(running, false, &now);
	sessions = now.live;
	totals = now.totals;
	received = totals[WAY_UP].received + totals[WAY_DOWN].received;
	dropped = account_dropped(&totals[WAY_UP]) + account_dropped(&totals[WAY_DOWN]);
	snprintf(text, sizeof(text),
	    "%zu session%s  %" PRIu64 " datagrams/s  %" PRIu64 " dropped/s  %" PRIu64 " waiting", sessions,
	    sessions == 1 ? "" : "s", received - running->last_received, dropped - running->last_dropped,
	    totals[WAY_UP].queued + totals[WAY_DOWN].queued);
	running->last_received = received;
	running->last_dropped = dropped;
	summary_now_free(&now);
	log_status(text);
}

static void take_sample(struct running *running)
{
	struct summary_now now;

	running_now(running, false, &now);
	history_add(running->history, relay_wall_now(), &now);
	summary_now_free(&now);
}

/* SIGUSR2, rotation or a reload started another. */
static void tell_next_file(struct running *running)
{
	char name[4096];

	capture_name(running->capture, name, sizeof(name));
	if (strcmp(name, running->capture_name) != 0 && running->capture_name[0])
		log_tell("the capture goes on in %s", name);
	memcpy(running->capture_name, name, sizeof(name));
}

/* Stamps go on as they were, so that no interval in a capture is torn; that the wall clock did not is an
 * event. */
static void look_at_the_clock(struct running *running)
{
	ns_t offset = relay_wall_now() - relay_now(), step = offset - running->wall_offset;
	char text[80];

	running->wall_offset = offset;
	if (step < STEP_LEAST && step > -STEP_LEAST)
		return;
	snprintf(text, sizeof(text), "clock-stepped %+.3fs", (double)step / 1e9);
	running_event(running, text);
	log_error("%s: stamps go on as before the step", text);
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
	struct running *running = user;
	char text[512];

	(void)fd;
	(void)what;
	look_at_the_clock(running);
	if (running->capture && capture_trouble(running->capture, text, sizeof(text)))
		log_error("capture: %s", text);
	if (running->capture)
		tell_next_file(running);
	if (log_is_terminal() && log_level() >= LOG_NORMAL)
		show_status(running);
	if (running->history)
		take_sample(running);
}

static int ticks_open(struct running *running)
{
	struct timeval every = {.tv_sec = STATUS_EVERY};

	running->ticks = event_new(running->base, -1, EV_PERSIST, on_tick, running);
	return running->ticks ? event_add(running->ticks, &every) : -1;
}

/* ---- Start ---- */

static uint64_t seed_of(const struct setup *setup)
{
	uint32_t random = 0;

	if (setup->proxy.seed_given)
		return setup->proxy.seed;
	while (getrandom(&random, sizeof(random), 0) != sizeof(random))
		;
	return random;
}

static int base_open(struct running *running)
{
	struct event_config *config = event_config_new();

	if (config)
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	running->base = config ? event_base_new_with_config(config) : NULL;
	if (config)
		event_config_free(config);
	return running->base ? 0 : -1;
}

static int capture_start(struct running *running)
{
	const struct capture_settings *settings = &running->setup->capture;
	struct capture_options options = {
	    .path = running->capture_path ? running->capture_path : settings->file,
	    .format = settings->format,
	    .snaplen = (uint32_t)settings->snaplen,
	    .rotate_size = settings->rotate_size,
	    .rotate_time = settings->rotate_time,
	    .keep = (unsigned)settings->keep,
	    .keylogs = settings->keylog.all,
	    .keylog_count = settings->keylog.count,
	    .keylog_wait = settings->keylog_wait,
	    .recorders = (unsigned)running->setup->proxy.workers,
	    .names = running->names,
	    .version = "deadzone " DEADZONE_VERSION,
	    .seed = running->seed,
	    .ini = ini_text(running->setup->ini),
	    .at = crew_wall(running->crew, relay_now())};
	struct error error;

	if (!options.path)
		return EXIT_DONE;
	running->capture = capture_open(&options, &error);
	if (!running->capture) {
		log_error("capture: %s", error.text);
		return EXIT_USAGE;
	}
	crew_capture(running->crew, running->capture);
	capture_name(running->capture, running->capture_name, sizeof(running->capture_name));
	return EXIT_DONE;
}

/* A file that the command line names and that cannot be opened is an error at once, not at the end. */
static int json_check(struct running *running)
{
	const char *capture = running->capture_path ? running->capture_path : running->setup->capture.file;
	const struct command_output outputs[] = {{"-w or [capture] file", capture},
	    {"--json", running->json_path}, {"--junit", running->junit_path}};
	struct fresh probe;
	struct error error;

	if (running->json_path && capture && strcmp(running->json_path, "-") == 0 &&
	    strcmp(capture, "-") == 0) {
		log_error("--json and the capture cannot both go to standard output");
		return EXIT_USAGE;
	}
	if (command_check_outputs(
	        "run", outputs, sizeof(outputs) / sizeof(*outputs), running->live, running->setup))
		return EXIT_USAGE;
	if (!running->json_path)
		return EXIT_DONE;
	if (strcmp(running->json_path, "-") == 0) {
		running->standard_output = output_open(STDOUT_FILENO);
		return running->standard_output ? EXIT_DONE : EXIT_FAILED;
	}
	if (fresh_open(&probe, running->json_path, 0666, &error) && errno != ENXIO) {
		log_error("--json: %s", error.text);
		return EXIT_USAGE;
	}
	fresh_discard(&probe);
	return EXIT_DONE; /* the reader of a FIFO may come later */
}

static void say_ready(const struct running *running)
{
	char text[ADDRESS_TEXT_ROOM];

	for (size_t i = 0; i < crew_listener_count(running->crew); i++)
		log_error("ready listen=%s upstream=%s seed=%" PRIu64,
		    address_text(crew_listener(running->crew, i), text, sizeof(text)),
		    running->setup->proxy.upstream, running->seed);
}

static int start(struct running *running)
{
	struct crew_options options = {.names = running->names,
	    .summary = running->summary,
	    .feed = running->feed,
	    .seed = running->seed};
	struct error error;
	int status = json_check(running);

	if (status)
		return status;
	limits_raise();
	evthread_use_pthreads();
	if (base_open(running) || signals_open(running) || ticks_open(running)) {
		log_error("the event loop cannot be set up");
		return EXIT_FAILED;
	}
	running->crew = crew_new(&options, running->setup, &error);
	if (!running->crew) {
		log_error("%s", error.text);
		return EXIT_FAILED;
	}
	status = capture_start(running);
	if (status)
		return status;
	if (running->setup->control.listen.count)
		running->history = history_new();
	running->control = control_new(running, &error);
	if (!running->control) {
		log_error("%s", error.text);
		return EXIT_FAILED;
	}
	if (crew_start(running->crew, &error)) {
		log_error("%s", error.text);
		crew_stop(running->crew);
		return EXIT_FAILED;
	}
	say_ready(running);
	return EXIT_DONE;
}

/* ---- End ---- */

static void close_capture(struct running *running)
{
	struct capture_closing closing = {0};
	struct text statistics = {0};
	struct summary_facts facts;
	struct summary_now now;
	struct sheet sheet;
	char trouble[512];

	running_now(running, true, &now);
	crew_closing(running->crew, &now, &closing);
	running_facts(running, &facts);
	summary_sheet(&now, crew_cores(running->crew), &facts, (enum exit_status)running->status, &sheet);
	summary_now_free(&now);
	summary_statistics(&sheet, &statistics);
	sheet_fini(&sheet);
	closing.at = running->stopped;
	closing.comment = statistics.at;
	capture_close(running->capture, &closing);
	if (capture_trouble(running->capture, trouble, sizeof(trouble)))
		log_error("capture: %s", trouble);
	text_free(&statistics);
}

static void finish(struct running *running)
{
	struct sheet sheet;
	struct error error;

	running->stopped = crew_wall(running->crew, relay_now());
	log_status("");
	signals_close(running);
	event_free(running->ticks);
	if (running->capture)
		close_capture(running);
	running_sheet(running, true, &sheet);
	if (log_level() >= LOG_NORMAL) {
		summary_print(&sheet, true);
		if (running->capture) {
			struct text line = {0};

			tell_next_file(running);
			text_add(&line, "capture in %s\n", running->capture_name);
			log_lines(line.at, line.size, true);
			text_free(&line);
		}
	}
	summary_tell_failures(&sheet);
	running->status = sheet.exit;
	write_json(running, &sheet, true);
	if (running->junit_path && sheet_write_junit(&sheet, running->junit_path, &error)) {
		log_error("--junit: %s", error.text);
		running->status = EXIT_FAILED;
	}
	sheet_fini(&sheet);
	if (output_close(running->standard_output, PATIENCE)) {
		log_error("--json: standard output is not read: the summary was not written");
		running->status = EXIT_FAILED;
	}
	running->standard_output = NULL;
}

static void clean_up(struct running *running)
{
	control_free(running->control);
	crew_free(running->crew);
	capture_free(running->capture);
	if (running->base)
		event_base_free(running->base);
	libevent_global_shutdown();
	summary_free(running->summary);
	for (size_t i = 0; i < running->change_count; i++)
		free(running->changes[i].text);
	free(running->changes);
	feed_free(running->feed);
	history_free(running->history);
	output_close(running->standard_output, 0);
	setup_free(running->setup);
	live_free(running->live);
	names_free(running->names);
}

static int run_to_the_end(const struct command_line *line)
{
	struct running running = {.line = line, .generation = 1};
	size_t quiet, verbose;

	command_values(line, "quiet", &quiet);
	command_values(line, "verbose", &verbose);
	log_set_level(quiet ? LOG_QUIET : verbose ? LOG_VERBOSE : LOG_NORMAL);
	running.source.file = command_value(line, "config");
	running.source.sets = (const char *const *)line->settings;
	running.source.set_count = line->setting_count;
	running.capture_path = command_value(line, "write");
	running.json_path = command_value(line, "json");
	running.junit_path = command_value(line, "junit");
	if (!running.source.file && !running.source.set_count) {
		log_error("run: pass an ini file with -c, or --listen and --upstream; `deadzone help run` "
		          "says more");
		return EXIT_USAGE;
	}
	running.names = names_new();
	running.live = live_new(&running.source, SETUP_RUN, running.names);
	running.setup = setup_read(&running);
	if (!running.setup) {
		live_free(running.live);
		names_free(running.names);
		return EXIT_USAGE;
	}
	running.source.workers = (unsigned)running.setup->proxy.workers;
	running.summary = summary_new();
	running.feed = feed_new();
	running.seed = seed_of(running.setup);
	running.wall_offset = relay_wall_now() - relay_now();
	running.status = start(&running);
	if (!running.status) {
		if (event_base_dispatch(running.base) < 0) {
			log_error("the event loop failed");
			running.status = EXIT_FAILED;
			crew_stop(running.crew);
		}
		finish(&running);
	} else {
		if (running.capture)
			capture_close(running.capture, NULL);
		signals_close(&running);
		if (running.ticks)
			event_free(running.ticks);
	}
	clean_up(&running);
	return running.status;
}

static int run(const struct command_line *line)
{
	int status;

	log_start();
	status = run_to_the_end(line);
	log_stop(PATIENCE);
	return status;
}

static const struct option_row options[] = {
    {'c', "config", "FILE", false, "the ini file", NULL},
    {0, "listen", "ADDR:PORT", false, "where devices send to", "[proxy] listen"},
    {0, "upstream", "HOST:PORT", false, "the cloud", "[proxy] upstream"},
    COMMAND_LINK_OPTIONS,
    {'w', "write", "FILE", false, "capture file; - is standard output, for `| wireshark -k -i -`", NULL},
    {0, "set", "\"[SECTION] KEY = VALUE\"", true,
        "replaces all values of that key (`+=` adds one); may be repeated", NULL},
    {0, "json", "FILE", false, "the summary at the end, for machines; - is standard output", NULL},
    {0, "junit", "FILE", false, "the outcome of every `expect` and other check, as JUnit XML", NULL},
    {'q', "quiet", NULL, false, "only errors and the ready line", NULL},
    {'v', "verbose", NULL, true, "every verdict too", NULL},
};

const struct command command_run_row = {
    .name = "run",
    .words = "",
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "relay until SIGINT or SIGTERM",
    .more =
        "Without an ini file: `deadzone run --listen 0.0.0.0:25684 --upstream cloud.example:5684 --latency "
        "300ms "
        "--loss 5%`.\n"
        "Options such as --latency are short for --set \"[link default] latency = …\"; --set wins over them. "
        "--blackout 40s@75\n"
        "is a rule named blackout: from the 75th datagram up on, nothing passes for 40 s.\n\n"
        "When all listeners are bound and all rules are armed it writes a line for each listener,\n"
        "`deadzone: ready listen=ADDR:PORT upstream=HOST:PORT seed=N`.\n\n"
        "SIGINT or SIGTERM stop cleanly, a second one ends at once. SIGHUP reads the ini files again.\n"
        "SIGUSR1 prints the summary so far and writes the --json file. SIGUSR2 starts a new capture file.",
};
