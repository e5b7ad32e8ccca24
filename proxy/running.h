/*
 * running: a run while it goes on, and what may be asked of it: by signals, by the API.
 */
#ifndef PROXY_RUNNING_H
#define PROXY_RUNNING_H

#include <event2/event.h>

#include "proxy/command.h"
#include "proxy/feed.h"
#include "proxy/live.h"
#include "proxy/crew.h"
#include "proxy/summary.h"

#define RUN_SIGNALS 3

struct control;
struct history;
struct output;

struct running {
	const struct command_line *line;
	struct setup_source source;
	struct names *names;
	struct setup *setup;
	struct live *live;
	struct feed *feed;
	struct history *history; /* NULL without [control] */
	struct event_base *base;
	struct crew *crew;
	struct capture *capture;
	struct control *control;
	struct summary *summary;
	struct sheet_change *changes; /* what was changed live, the first CHANGES_MOST */
	size_t change_count;
	const char *capture_path, *json_path, *junit_path;
	uint64_t seed;
	unsigned generation;
	int status;
	ns_t stopped; /* wall clock; 0: it runs */
	/* cmd_run.c's own */
	struct event *stop, *reload, *signals[RUN_SIGNALS];
	struct output *standard_output; /* of `--json -` */
	ns_t wall_offset;               /* from CLOCK_MONOTONIC to the wall clock, as it was seen last */
	struct event *ticks;
	uint64_t last_received, last_dropped;
	char capture_name[4096]; /* as it was told last */
};

#define CHANGES_MOST 1000

/* The accounts now, with every session where it should `list` them; for sheet_fini. */
void running_sheet(const struct running *running, bool list, struct sheet *sheet);
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
