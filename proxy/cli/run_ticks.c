/* SPDX-License-Identifier: BSD-2-Clause */
/* run_ticks: what a run does once a second, and the watchdog, in the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/cli/notify.h"
#include "proxy/cli/run.h"
#include "proxy/relay/relay.h"
#include "proxy/run/history.h"
#include "proxy/run/log.h"
#include "proxy/run/clock.h"

#define STATUS_EVERY 1         /* seconds */
#define NOTIFY_EVERY 5         /* of these */
#define STEP_MIN (100 * NS_MS) /* of the wall clock; NTP slews it by at most 0.5 ms per second */

static void show_status(struct run *run)
{
	const struct account *totals = run->now.totals;
	size_t sessions = run->now.live;
	uint64_t received, dropped;
	char text[200];

	received = totals[WAY_UP].received + totals[WAY_DOWN].received;
	dropped = account_dropped(&totals[WAY_UP]) + account_dropped(&totals[WAY_DOWN]);
	snprintf(text, sizeof(text),
	    "%zu session%s  %" PRIu64 " datagrams/s  %" PRIu64 " dropped/s  %" PRIu64 " waiting", sessions,
	    sessions == 1 ? "" : "s", received - run->last_received, dropped - run->last_dropped,
	    totals[WAY_UP].queued + totals[WAY_DOWN].queued);
	run->last_received = received;
	run->last_dropped = dropped;
	log_status(text);
}

#define ANSWER_PATIENCE (5 * NS_S)

static bool is_answered_or_new(void *user, const struct session *session)
{
	ns_t *now = user;
	const struct session_way *up = &session->ways[WAY_UP], *down = &session->ways[WAY_DOWN];

	if (down->tally.received || !up->tally.sent || *now - session->user.began < ANSWER_PATIENCE ||
	    address_same_host(&session->device, &session->cloud))
		return true;
	*now = NS_NEVER;
	return false;
}

/* With [gateway] source = device the way back may not lead through this machine; logged once. */
static void check_way_back(struct run *run)
{
	ns_t now = clock_now();

	if (run->way_back_warned || !run->running.gateway || !gateway_is_by_device(run->running.gateway))
		return;
	workers_walk(run->running.workers, is_answered_or_new, &now);
	if (now != NS_NEVER)
		return;
	run->way_back_warned = true;
	log_error(
	    "gateway: a session has had no answer for 5 s: with `source = device`, the way from the cloud "
	    "back to the "
	    "device must lead through this machine, and its uplink must not be masqueraded (logged once)");
}

void run_announce_file(struct run *run)
{
	char name[4096];

	capture_name(run->running.capture, name, sizeof(name));
	if (strcmp(name, run->capture_name) != 0 && run->capture_name[0])
		log_info("the capture goes on in %s", name);
	memcpy(run->capture_name, name, sizeof(name));
}

/* Records an event if the wall clock was stepped. Time stamps in the capture are not stepped with it, so that
 * the intervals between them stay right. */
static void check_wall_clock(struct run *run)
{
	ns_t offset = clock_wall() - clock_now(), step = offset - run->wall_offset;
	char text[80];

	run->wall_offset = offset;
	if (step < STEP_MIN && step > -STEP_MIN)
		return;
	snprintf(text, sizeof(text), "clock-stepped %+.3fs", (double)step / 1e9);
	running_event(&run->running, text);
	log_notice("%s: time stamps continue as before the step", text);
}

/* Tells the service manager what `systemctl status` shows, when it has changed. */
static void notify_status(struct run *run)
{
	const struct account *totals = run->now.totals;
	char text[sizeof(run->notified)];

	snprintf(text, sizeof(text), "%zu session%s, %" PRIu64 " datagrams received, %" PRIu64 " dropped",
	    run->now.live, run->now.live == 1 ? "" : "s", totals[WAY_UP].received + totals[WAY_DOWN].received,
	    account_dropped(&totals[WAY_UP]) + account_dropped(&totals[WAY_DOWN]));
	if (strcmp(text, run->notified) == 0)
		return;
	memcpy(run->notified, text, sizeof(text));
	notify("STATUS=%s", text);
}

/* A worker that does not come to a pause, or a loop that does not come here, is not alive. */
static void on_watchdog(evutil_socket_t fd, short what, void *user)
{
	struct run *run = user;

	(void)fd;
	(void)what;
	workers_pause(run->running.workers);
	workers_resume(run->running.workers);
	notify("WATCHDOG=1");
}

/* Shows the figures of the run, takes a sample, and tells the service manager. */
static void tick_figures(void *user)
{
	struct run *run = user;
	bool is_shown = log_is_terminal() && log_level() >= LOG_NORMAL;
	bool is_notified = notify_is_wanted() && ++run->ticked % NOTIFY_EVERY == 0;

	if (!is_shown && !is_notified && !run->running.history)
		return;
	running_snapshot(&run->running, false, &run->now);
	if (is_shown)
		show_status(run);
	if (run->running.history)
		history_add(run->running.history, clock_wall(), &run->now);
	if (is_notified)
		notify_status(run);
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
	struct run *run = user;
	char text[512];

	(void)fd;
	(void)what;
	check_wall_clock(run);
	check_way_back(run);
	if (run->running.capture && capture_trouble(run->running.capture, text, sizeof(text)))
		log_error("capture: %s", text);
	if (run->running.capture)
		run_announce_file(run);
	if (running_try(&run->running, tick_figures, run)) {
		run->tick_failed = false;
	} else if (!run->tick_failed) {
		log_error("out of memory: the status is not updated");
		run->tick_failed = true;
	}
	summary_snapshot_free(&run->now); /* also what an abandoned task has left */
}

int run_ticks_open(struct run *run)
{
	struct timeval every = {.tv_sec = STATUS_EVERY};
	ns_t watchdog = notify_watchdog();

	run->ticks = event_new(run->base, -1, EV_PERSIST, on_tick, run);
	if (!run->ticks || event_add(run->ticks, &every))
		return -1;
	if (!watchdog)
		return 0;
	every = (struct timeval){.tv_sec = watchdog / NS_S, .tv_usec = watchdog % NS_S / NS_US};
	run->watchdog = event_new(run->base, -1, EV_PERSIST, on_watchdog, run);
	return run->watchdog ? event_add(run->watchdog, &every) : -1;
}

void run_ticks_close(struct run *run)
{
	if (run->ticks)
		event_free(run->ticks);
	if (run->watchdog)
		event_free(run->watchdog);
}
