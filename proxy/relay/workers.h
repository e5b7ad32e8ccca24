/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crew: the workers of a run: a relay each, with sessions, schedule and sockets of its own.
 *
 * Each works in a thread of its own, apart from signals and the API. Where there are several, all listen on
 * the same addresses (SO_REUSEPORT): the kernel spreads the devices. Between them they share only
 * rules/common, and what is told: the summary, events, the capture's thread.
 *
 *   workers_new ── workers_capture ── workers_start ── … workers_pause, look or change, workers_resume … ──
 * workers_stop ── workers_free
 *
 * All calls are made by one thread. Where it reads or changes what is the workers' it halts them before: they
 * stand still between two rounds until workers_resume. The calls below that need it do so themselves.
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
};

/* Opens the listeners of all workers; NULL and why where one cannot be. The setup is read until
 * workers_reload or workers_free. */
struct workers *workers_new(
    const struct workers_options *options, const struct setup *setup, struct error *error);
void workers_free(struct workers *workers);
/* From here on everything is recorded; the capture has a recorder for each worker. */
void workers_capture(struct workers *workers, struct capture *capture);
/* The workers begin. */
int workers_start(struct workers *workers, struct error *error);
/* Stops reading, and ends the threads: what waits stays queued. */
void workers_stop(struct workers *workers);

/* May be nested. */
void workers_pause(struct workers *workers);
void workers_resume(struct workers *workers);
/* How deep halts are nested now. */
unsigned workers_pause_depth(const struct workers *workers);

size_t workers_listener_count(const struct workers *workers);
/* As bound: the free port that was taken for 0. */
const struct address *workers_listener(const struct workers *workers, size_t index);

/* Visits every live session while the workers are halted, some at a time: between them they go on. False:
 * that is enough of this worker's, whose sessions come by number. */
#define WORKERS_PIECE 128 /* sessions; a visit takes a few microseconds at most */
typedef bool workers_visit(void *user, const struct session *session);
void workers_walk(struct workers *workers, workers_visit *visit, void *user);

/* What became due, and what follows from a change from outside. */
void workers_flush_due(struct workers *workers);
/* Goes over to another setup: a change is made beside the running workers and exchanged while they are
 * halted; -1 when memory is out: then all stays as it is. The setup before is not read any more once it was
 * exchanged and the change is freed. */
struct workers_change;
struct workers_change *workers_change_new(const struct workers *workers, const struct setup *setup);
int workers_exchange(struct workers *workers, struct workers_change *change, uint64_t seed);
void workers_change_free(struct workers_change *change);
/* Tells which of its values the run cannot take over. */
void workers_tell_kept(const struct workers *workers, const struct setup *setup);

/* For use while they are halted. */
const struct core_group *workers_cores(const struct workers *workers);
/* Fills times, what the capture knows, and news of the network; of kernel drops those of listeners and of
 * sockets that are closed: the others' are their sessions' (relay_session_drops). */
void workers_facts(struct workers *workers, struct summary_facts *facts);
/* What the closing statistics need to know of each interface. */
void workers_closing(struct workers *workers, const struct summary_now *now, struct capture_closing *closing);
ns_t workers_wall(const struct workers *workers, ns_t at);

#endif
