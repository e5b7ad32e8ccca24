/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run: the state shared by the files of the command `run`: cmd_run.c (start and end), run_signals.c,
 * run_ticks.c (once a second), run_json.c (--json). Private to these files.
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
	bool is_sandboxed;
	int ready_fd;                   /* gets the ready lines and is then closed; -1: none */
	struct output *standard_output; /* for `--json -`; else NULL */
	struct event_base *base;
	struct control *control;
	struct event *stop, *reload, *signals[RUN_SIGNALS];
	struct event *ticks, *watchdog;
	unsigned ticked;
	bool tick_failed;            /* the last one ran out of memory */
	struct summary_snapshot now; /* of one tick */
	char notified[120];          /* the status told last */
	struct address *listeners;   /* as bound */
	size_t listener_count;
	struct event *gateway_ended, *gateway_dark;
	bool way_back_warned;
	ns_t wall_offset;                     /* wall clock minus CLOCK_MONOTONIC, at the last tick */
	uint64_t last_received, last_dropped; /* datagrams, at the last status line */
	char capture_name[4096];              /* the capture file announced last */
};

/* run_signals.c */
/* SIGINT and SIGTERM stop the run, SIGHUP reloads, SIGUSR1 prints the summary, SIGUSR2 rotates the capture.
 * Returns 0, or -1 if a handler cannot be installed. */
int run_signals_open(struct run *run);
/* After this, SIGINT and SIGTERM end the process at once, and the other signals are ignored. */
void run_signals_close(struct run *run);

/* run_ticks.c */
/* Starts what is done once a second: check the clock and the capture, show the status line, take a sample for
 * the live page, tell the service manager. Starts the watchdog if there is one. Returns 0 or -1. */
int run_ticks_open(struct run *run);
void run_ticks_close(struct run *run);
/* Logs the name of the capture file if a rotation or a reload has started a new one. */
void run_announce_file(struct run *run);

/* run_json.c */
/* Checks the output files of the command line, so that one that cannot be opened is an error at the start of
 * the run instead of at its end. Returns an exit status. */
int run_check_outputs(struct run *run);
/* Writes the summary if --json was given. */
void run_json_write(struct run *run, const struct run_summary *result, bool at_end);

#endif
