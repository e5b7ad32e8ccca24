/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run: what the files of the command `run` share: cmd_run.c (start and end), run_signals.c, run_ticks.c (once
 * a second).
 */
#ifndef PROXY_CLI_RUN_H
#define PROXY_CLI_RUN_H

#include <event2/event.h>

#include "proxy/relay/running.h"
#include "proxy/run/setup.h"

#define RUN_SIGNALS 3

struct control;
struct output;

struct run {
	struct running running;
	struct setup_source source;
	const char *capture_path, *json_path, *junit_path;
	struct output *standard_output; /* of `--json -`; else NULL */
	struct event_base *base;
	struct control *control;
	struct event *stop, *reload, *signals[RUN_SIGNALS];
	struct event *ticks;
	ns_t wall_offset; /* from CLOCK_MONOTONIC to the wall clock, at the last tick */
	uint64_t last_received, last_dropped;
	char capture_name[4096]; /* the file that was announced last */
};

/* run_signals.c */
/* SIGINT and SIGTERM stop the run, SIGHUP reloads, SIGUSR1 prints the summary, SIGUSR2 rotates the capture.
 * Returns 0, or -1 if the event loop refuses. */
int run_signals_open(struct run *run);
/* From here on a signal to stop ends the process at once, and the others do nothing. */
void run_signals_close(struct run *run);

/* run_ticks.c */
/* Once a second: the live status, the clock, how the capture does, a sample for the live page. */
int run_ticks_open(struct run *run);
void run_ticks_close(struct run *run);
/* Announces the capture file if a rotation or a reload began another. */
void run_announce_file(struct run *run);

/* run_json.c */
/* Checks the files that the command line names. One that cannot be opened is an error at once, not at the
 * end. Returns an exit status. */
int run_json_open(struct run *run);
/* Writes the summary for --json, if that was asked for. */
void run_write_json(struct run *run, const struct run_summary *result, bool at_end);

#endif
