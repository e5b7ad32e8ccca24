/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * running: a run while it goes on, and what may be asked of it: by signals, by the API.
 */
#ifndef PROXY_RUNNING_H
#define PROXY_RUNNING_H

#include "proxy/relay/workers.h"
#include "proxy/run/feed.h"
#include "proxy/run/live.h"
#include "proxy/run/summary.h"

struct history;

struct running {
	struct names *names;
	struct setup *setup; /* in force */
	struct live *live;
	struct feed *feed;
	struct history *history; /* NULL without [control] */
	struct workers *workers;
	struct capture *capture; /* NULL: nothing is recorded */
	struct summary *summary;
	struct run_summary_change *changes; /* what was changed live, the first CHANGES_MAX */
	size_t change_count;
	uint64_t seed;
	unsigned generation; /* of the setup: 1, and one more after each reload */
	int status;          /* enum exit_status, as far as it is known */
	ns_t stopped;        /* wall clock; 0: it runs */
	/* Called once, when the run is to stop, with the workers stopped. */
	void (*on_stop)(void *user);
	void *on_stop_user;
};

#define CHANGES_MAX 1000

/* The accounts now, with every session where it should `list` them; for run_summary_fini. */
void running_sheet(const struct running *running, bool list, struct run_summary *result);
/* What the cores know now; the workers are halted for some sessions at a time. For summary_now_free. */
void running_now(const struct running *running, bool list, struct summary_now *now);
/* What only the relay and the clock know, for parts of it. */
void running_facts(const struct running *running, struct summary_facts *facts);
/* Something that happened stands in the capture and is told to those who listen. */
void running_event(struct running *running, const char *text);

/* Reads the files anew; gives how many errors there are, each printed and in `told` (may be NULL): then
 * nothing changed. */
size_t running_reload(struct running *running, struct text *told);
/* One line of proxy/live.h; the caller frees the error. */
struct live_result running_change(struct running *running, const char *line);
/* A new capture file; false and why (a constant) where there is none to start. */
bool running_rotate(struct running *running, const char **why);
void running_stop(struct running *running);
/* memory_try of a task that may halt the workers: they go on whatever becomes of it. */
bool running_try(struct running *running, void (*task)(void *user), void *user);

#endif
