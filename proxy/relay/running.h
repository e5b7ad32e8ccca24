/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * running: a run in progress, and the operations on it that signals and the API trigger. All calls are made
 * by the main thread.
 */
#ifndef PROXY_RUNNING_H
#define PROXY_RUNNING_H

#include "proxy/relay/workers.h"
#include "proxy/gateway/gateway.h"
#include "proxy/run/feed.h"
#include "proxy/run/live.h"
#include "proxy/run/summary.h"

struct history;

struct running {
	struct names *names;
	struct setup *setup; /* in force */
	struct live *live;
	struct feed *feed;
	struct gateway *gateway; /* NULL without [gateway] */
	struct history *history; /* NULL without [control] */
	struct workers *workers;
	struct capture *capture; /* NULL without a capture */
	struct summary *summary;
	struct run_summary_change *changes; /* live changes, the first CHANGES_MAX */
	size_t change_count;
	uint64_t seed;
	unsigned generation; /* of the setup: 1, plus 1 after each reload */
	int status;          /* enum exit_status so far */
	ns_t stopped;        /* wall clock; 0 while it runs */
	/* Called by running_stop, after the workers have been stopped. */
	void (*on_stop)(void *user);
	void *on_stop_user;
};

#define CHANGES_MAX 1000

/* Fills `result` with the current accounts, with every session if `list`. To be freed with
 * run_summary_fini. */
void running_summary(const struct running *running, bool list, struct run_summary *result);
/* Fills `now` from the cores; the workers are paused for some sessions at a time. To be freed with
 * summary_snapshot_free. */
void running_snapshot(const struct running *running, bool list, struct summary_snapshot *now);
/* Fills `facts`: what the summary needs from outside the cores. */
void running_facts(const struct running *running, struct summary_facts *facts);
/* Writes an event into the capture and into the feed. */
void running_event(struct running *running, const char *text);

/* Reads the files again. Returns the number of errors, each of which is logged and added to `error_text` (may
 * be NULL); if there are any, nothing has changed. */
size_t running_reload(struct running *running, struct text *error_text);
/* Carries out one line of proxy/run/live.h; the caller frees the result's error. To be called in running_try:
 * without memory the change is not made. */
struct live_result running_change(struct running *running, const char *line);
/* Starts a new capture file. Returns false and sets `*why` (a constant) if that is not possible. */
bool running_rotate(struct running *running, const char **why);
void running_stop(struct running *running);
/* Like memory_try, for a task that may pause the workers or walk their sessions: if it is abandoned, that
 * ends. Whatever the event loop calls and may allocate runs in here, since a run goes on without memory. */
bool running_try(struct running *running, void (*task)(void *user), void *user);

#endif
