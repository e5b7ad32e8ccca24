/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * workers: the worker threads of a run. Each runs a relay, with its own sessions, schedule and sockets.
 *
 * Signals and the API are handled by the main thread. If there are several workers, all listen on the same
 * addresses (SO_REUSEPORT), and the kernel spreads the devices. They share only rules/shared and their
 * outputs: the summary, the feed of events, and the capture's thread.
 *
 *   workers_new ── workers_capture ── workers_start ── … ── workers_stop ── workers_free
 *                                                      │
 *                        workers_pause ── read or change ── workers_resume
 *
 * All calls are made by one thread. To read or change a worker's data it pauses the workers, which then wait
 * between two rounds until workers_resume. The functions below that need a pause do so themselves.
 */
#ifndef PROXY_RELAY_WORKERS_H
#define PROXY_RELAY_WORKERS_H

#include "base/error.h"
#include "capture/capture.h"
#include "proxy/run/feed.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"
#include "rules/core_group.h"

struct workers;

struct workers_options {
	const struct names *names;
	struct summary *summary;
	struct feed *feed; /* takes every event */
	uint64_t seed;
	struct gateway *gateway; /* lists the devices that are dark; NULL: there is none */
};

/* Opens the listeners of all workers. Returns NULL and sets *error if one cannot be opened. The caller keeps
 * `setup` valid until it has been exchanged, or workers_free. */
struct workers *workers_new(
    const struct workers_options *options, const struct setup *setup, struct error *error);
void workers_free(struct workers *workers);
/* Starts recording into `capture`, which must have a recorder for each worker. */
void workers_capture(struct workers *workers, struct capture *capture);
/* Starts the threads. Returns -1 and sets *error if one cannot be started. */
int workers_start(struct workers *workers, struct error *error);
/* Ends the threads; queued datagrams stay queued. */
void workers_stop(struct workers *workers);

/* Calls may be nested. */
void workers_pause(struct workers *workers);
void workers_resume(struct workers *workers);
/* Returns how deep pauses are nested now. */
unsigned workers_pause_depth(const struct workers *workers);
/* After an abandoned task (base/memory.h): ends its walks and its pauses, down to the depth before it. */
void workers_recover(struct workers *workers, unsigned depth);

size_t workers_listener_count(const struct workers *workers);
/* Returns the address as bound, with the port that the kernel chose for 0. */
const struct address *workers_listener(const struct workers *workers, size_t index);

/* Visits every live session, worker by worker, in order of their numbers. The workers are paused during
 * visits and run in between, after every WORKERS_PIECE sessions. If `visit` returns false, the rest of that
 * worker's sessions is skipped. */
#define WORKERS_PIECE 128 /* a visit takes a few microseconds at most */
typedef bool workers_visit(void *user, const struct session *session);
void workers_walk(struct workers *workers, workers_visit *visit, void *user);

/* Handles all that is due, and outcomes of a change made to the cores from outside. */
void workers_flush_due(struct workers *workers);
/* Makes each worker know the server to which it is about to move sessions of this target. */
void workers_add_upstream(struct workers *workers, const struct live_target *target, const char *text);
/* Exchanges the setup. workers_change_new prepares the change while the workers run; workers_exchange carries
 * it out with the workers paused, and returns -1 if out of memory, with nothing changed. The old setup may be
 * freed after workers_change_free. */
struct workers_change;
struct workers_change *workers_change_new(const struct workers *workers, const struct setup *setup);
int workers_exchange(struct workers *workers, struct workers_change *change, uint64_t seed);
void workers_change_free(struct workers_change *change);
/* Logs which values of a new setup only take effect at the next start. */
void workers_log_kept(const struct workers *workers, const struct setup *setup);

/* To be used while the workers are paused. */
const struct core_group *workers_cores(const struct workers *workers);
/* Fills in the times and the counters of the capture and the network. Kernel drops are those of listeners and
 * of closed sockets only; for those of open ones see relay_session_drops. */
void workers_facts(struct workers *workers, struct summary_facts *facts);
/* Fills in the counters of each interface for the capture's closing statistics. */
void workers_closing(
    struct workers *workers, const struct summary_snapshot *now, struct capture_closing *closing);
/* Returns the wall-clock time of `at`. */
ns_t workers_wall(const struct workers *workers, ns_t at);

#endif
