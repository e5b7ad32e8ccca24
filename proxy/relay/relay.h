/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay: one worker: sockets, the core between them, and the walk of every datagram.
 *
 * It works in a thread of its own (relay_run), until it is stopped; from outside it is only touched while it
 * is halted.
 *
 *   socket readable   one batch, with kernel stamps
 *     session         core_session, opened with a carrier (its upstream socket) where it is new
 *     judge           core_arrive: a verdict
 *     record          capture_arrived: never waits
 *     drain           core_advance: what is due becomes outcomes; sends are gathered and go in batches
 *     arm             one timerfd for the earliest due time
 *   timer             drain, arm
 *
 * Draining comes before arming, so a late timer never lets a new datagram overtake one that was due before.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include "base/error.h"
#include "capture/capture.h"
#include "proxy/run/feed.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"
#include "rules/core.h"

struct relay;

/* What a relay does while it is halted: it returns when it is to go on. */
typedef void relay_rest(void *user);

struct relay_options {
	const struct names *names;
	struct summary *summary;
	struct feed *feed; /* takes every event */
	uint64_t seed;
	struct shared *shared;
	const struct relay *first; /* whose listeners' addresses it shares; NULL: it is the first */
	unsigned index, workers;
	ns_t began, wall_offset; /* of the run; and from our time to wall-clock time */
	relay_rest *rest;
	void *rest_user;
};

/* Opens the listeners; NULL and why where one cannot be. The setup is read until relay_reload or relay_free.
 */
struct relay *relay_new(const struct relay_options *options, const struct setup *setup, struct error *error);
void relay_free(struct relay *relay);
/* From here on everything is recorded. */
void relay_record(struct relay *relay, struct recorder *recorder);

size_t relay_listener_count(const struct relay *relay);
/* As bound: the free port that was taken for 0. */
const struct address *relay_listener(const struct relay *relay, size_t index);

/* Devices are spread over the listeners of so many relays, of which this one is the first. */
void relay_spread(const struct relay *relay, unsigned count);

/* Relays until it is stopped. */
void relay_run(struct relay *relay);
/* From any thread: it goes to rest once it is between two rounds, again and again until relay_resume. */
void relay_pause(struct relay *relay);
void relay_resume(struct relay *relay);
/* relay_run returns: what waits stays queued. */
void relay_stop(struct relay *relay);
/* What became due, and what follows from a change to the core from outside; then the timer. */
void relay_flush_due(struct relay *relay);
/* While it is halted: room for a change, -1 when memory is out; and the change itself. */
int relay_prepare(struct relay *relay, struct core_change *change);
void relay_reload(struct relay *relay, struct core_change *change, const struct setup *setup, uint64_t seed);

struct core *relay_core(struct relay *relay);
/* Adds what the kernel dropped on its listeners, and on sockets towards clouds that are closed. */
void relay_kernel_drops(const struct relay *relay, uint64_t drops[WAYS]);
/* … and on those that a session has open. */
uint64_t relay_session_drops(const struct session *session);
/* ICMP errors told by sends and receives. */
uint64_t relay_icmp_errors(const struct relay *relay);

#endif
