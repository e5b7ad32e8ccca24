/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reload, or a live change that builds a configuration, is prepared by a background thread while the
 * workers run, and exchanged while they are paused. If memory runs out, the configuration in force stays.
 */
#include "proxy/relay/running.h"
#include "proxy/run/clock.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/relay/background.h"
#include "proxy/run/log.h"
#include "proxy/relay/relay.h"

#define EVENT_TEXT_MAX 60000

void running_facts(const struct running *running, struct summary_facts *facts)
{
	*facts = (struct summary_facts){.setup = running->setup,
	    .version = DEADZONE_VERSION,
	    .seed = running->seed,
	    .changes = running->changes,
	    .change_count = running->change_count};
	workers_facts(running->workers, facts);
	if (running->gateway)
		facts->gateway_count = gateway_count(running->gateway, &facts->gateways);
	facts->ended = running->stopped;
	facts->is_over = running->stopped != 0;
}

static bool now_add_session(void *user, const struct session *session)
{
	struct summary_snapshot *now = user;

	summary_snapshot_session(now, session);
	now->kernel_drops += relay_session_drops(session);
	return true;
}

void running_snapshot(const struct running *running, bool list, struct summary_snapshot *now)
{
	summary_snapshot_begin(running->summary, list, now);
	now->at = clock_now();
	workers_walk(running->workers, now_add_session, now);
	workers_pause(running->workers);
	summary_snapshot_end(
	    running->summary, workers_cores(running->workers), running->setup->config->rule_count, now);
	workers_resume(running->workers);
}

void running_summary(const struct running *running, bool list, struct run_summary *result)
{
	struct summary_facts facts;
	struct summary_snapshot now;

	running_snapshot(running, list, &now);
	running_facts(running, &facts);
	summary_fill(
	    &now, workers_cores(running->workers), &facts, (enum exit_status)running->status, result);
	summary_snapshot_free(&now);
}

void running_event(struct running *running, const char *text)
{
	ns_t at = workers_wall(running->workers, clock_now());

	feed_put(running->feed, text, at);
	if (!running->capture)
		return;
	workers_pause(running->workers); /* the recorder belongs to the first worker */
	capture_event(capture_recorder(running->capture, 0), text, at);
	workers_resume(running->workers);
}

void running_stop(struct running *running)
{
	/* Datagrams that devices send from now on pass by; those that have arrived are still relayed. */
	if (running->gateway)
		gateway_pass(running->gateway);
	workers_stop(running->workers);
	running->on_stop(running->on_stop_user);
}

bool running_rotate(struct running *running, const char **why)
{
	int failed;

	if (!running->capture) {
		*why = "there is no capture to start anew";
		return false;
	}
	workers_pause(running->workers);
	failed = capture_rotate(running->capture, NULL);
	workers_resume(running->workers);
	if (failed)
		*why = "the capture goes to standard output: no new file can be started";
	return !failed;
}

/* ---- Changes ---- */

struct changing {
	const struct running *running;
	const struct setup *setup;
	struct workers_change *change;
};

static void change_task(void *user)
{
	struct changing *changing = user;

	changing->change = workers_change_new(changing->running->workers, changing->setup);
}

/* Exchanges the setup and takes over `setup`; records the event at the time of the exchange. Returns -1 if
 * out of memory: then `setup` is freed, and the one in force stays. */
static int exchange_setup(struct running *running, struct setup *setup, const char *event)
{
	struct changing changing = {running, setup, NULL};
	struct setup *before = running->setup;
	int failed;

	if (!memory_try(change_task, &changing)) {
		setup_free(setup);
		return -1;
	}
	workers_pause(running->workers);
	failed = workers_exchange(running->workers, changing.change, running->seed);
	if (!failed)
		running->setup = setup;
	if (!failed && event)
		running_event(running, event);
	workers_resume(running->workers);
	workers_change_free(changing.change);
	setup_free(failed ? setup : before);
	return failed;
}

/* Records the new ini text: at the start of a new capture file, or in events if no new file is started. */
static void record_reload(void *user)
{
	struct running *running = user;
	const char *ini = ini_text(running->setup->ini);
	struct text text = {0};

	text_add(&text, "reload generation=%u", running->generation);
	if (running->capture && !capture_rotates_on_reload(running->capture)) {
		/* A text too long for one packet is split. */
		for (size_t offset = 0, size = strlen(ini), part = 1; offset < size || part == 1;
		     offset += EVENT_TEXT_MAX, part++) {
			text_clear(&text);
			text_add(&text, "reload generation=%u part=%zu\n%.*s", running->generation, part,
			    EVENT_TEXT_MAX, ini + offset);
			running_event(running, text.at);
		}
	} else {
		running_event(running, text.at);
		if (running->capture) {
			workers_pause(running->workers);
			capture_rotate(running->capture, ini);
			workers_resume(running->workers);
		}
	}
	text_free(&text);
}

static size_t reload_failed(struct running *running, size_t errors)
{
	char text[80];

	snprintf(text, sizeof(text), "reload failed errors=%zu", errors);
	log_error("%s", text);
	running_event(running, text);
	return errors;
}

struct loading {
	struct live *live;
	struct complaints *complaints;
	struct setup *setup;
};

static void load_task(void *user)
{
	struct loading *loading = user;

	loading->setup = live_load(loading->live, loading->complaints);
}

/* Reads the files while the workers run. */
static struct setup *load_setup(struct running *running, struct complaints *complaints)
{
	struct loading loading = {.live = running->live, .complaints = complaints};

	if (!background_try(load_task, &loading))
		memory_out();
	return loading.setup;
}

static size_t reload_files(struct running *running, struct text *error_text)
{
	struct complaints *complaints = complaints_new();
	size_t changes = live_changes(running->live), errors;
	struct setup *setup = load_setup(running, complaints);
	struct error error;

	log_status(""); /* the messages below get lines of their own */
	log_complaints(complaints);
	errors = complaints_count(complaints, COMPLAINT_ERROR);
	if (error_text)
		complaints_errors(complaints, error_text);
	complaints_free(complaints);
	if (!setup)
		return reload_failed(running, errors);
	if (running->gateway && gateway_change(running->gateway, setup, &error)) {
		log_error("reload: %s: the configuration in force stays", error.text);
		if (error_text)
			text_add(error_text, "%s\n", error.text);
		setup_free(setup);
		return reload_failed(running, 1);
	}
	if (!running->gateway && setup->gateway.given)
		log_info("reload: [gateway] has no effect until the next start");
	workers_log_kept(running->workers, setup);
	if (exchange_setup(running, setup, NULL)) {
		if (running->gateway)
			(void)gateway_change(running->gateway, running->setup, &error);
		memory_out();
	}
	live_loaded(running->live);
	running->generation++;
	if (!running_try(running, record_reload, running))
		log_error("out of memory: the capture does not hold the new configuration");
	log_notice("reload ok generation=%u", running->generation);
	if (changes)
		log_notice(
		    "%zu live change%s gone: the files count again", changes, changes == 1 ? " is" : "s are");
	return 0;
}

struct reloading {
	struct running *running;
	struct text *error_text;
	size_t errors;
};

static void reload_task(void *user)
{
	struct reloading *reloading = user;

	reloading->errors = reload_files(reloading->running, reloading->error_text);
}

size_t running_reload(struct running *running, struct text *error_text)
{
	struct reloading reloading = {.running = running, .error_text = error_text};

	if (running_try(running, reload_task, &reloading))
		return reloading.errors;
	log_error("reload: out of memory: the configuration in force stays");
	return reload_failed(running, 1);
}

bool running_try(struct running *running, void (*task)(void *user), void *user)
{
	unsigned depth = workers_pause_depth(running->workers);
	bool done = memory_try(task, user);

	if (!done)
		workers_recover(running->workers, depth);
	return done;
}

struct storing {
	struct running *running;
	const char *line;
};

static void store_change(void *user)
{
	const struct storing *storing = user;
	struct running *running = storing->running;
	struct summary_facts facts;
	char *line;

	if (running->change_count == CHANGES_MAX)
		return;
	running_facts(running, &facts);
	line = memory_text(storing->line, strlen(storing->line));
	running->changes = memory_grow(running->changes, running->change_count, sizeof(*running->changes));
	running->changes[running->change_count++] = (struct run_summary_change){
	    facts.now - facts.began, line};
}

struct building {
	struct running *running;
	const char *line;
	struct live_result result;
};

static void build_task(void *user)
{
	struct building *building = user;
	struct running *running = building->running;

	building->result = live_apply(
	    running->live, workers_cores(running->workers), running->setup, building->line, clock_now());
}

/* Handles a line that builds a configuration; the workers run meanwhile. */
static struct live_result build_change(struct running *running, const char *line, const char *event)
{
	struct building building = {.running = running, .line = line};
	struct live_result result;

	if (!background_try(build_task, &building))
		memory_out();
	result = building.result;
	if (result.status != LIVE_DONE)
		return result;
	if (!result.setup) {
		running_event(running, event); /* no change: it is so already */
	} else if (exchange_setup(running, result.setup, event)) {
		live_undo(running->live, line);
		memory_out(); /* the configuration in force stays */
	}
	return result;
}

/* Handles a line that acts on sessions, with the workers paused. */
static struct live_result act_on_sessions(struct running *running, const char *line, const char *event)
{
	struct live_result result;

	workers_pause(running->workers);
	workers_flush_due(running->workers); /* what is due before the change happens first */
	result = live_apply(
	    running->live, workers_cores(running->workers), running->setup, line, clock_now());
	if (result.status == LIVE_DONE)
		running_event(running, event);
	workers_flush_due(running->workers);
	workers_resume(running->workers);
	return result;
}

struct live_result running_change(struct running *running, const char *line)
{
	struct live_result result;
	struct text event = {0};

	text_add(&event, "live %s", line);
	result = live_builds(line) ? build_change(running, line, event.at)
	                           : act_on_sessions(running, line, event.at);
	if (result.status == LIVE_DONE) {
		struct storing storing = {running, line};

		log_event(event.at);
		if (!running_try(running, store_change, &storing))
			log_error("out of memory: the summary will not list this change");
	}
	text_free(&event);
	return result;
}
