/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay: one worker: its sockets, the core between them, and the loop that handles every datagram.
 *
 * It runs in a thread of its own (relay_run) until it is stopped. Other threads may call relay_pause at any
 * time, and all other functions only before relay_run or while the relay is paused.
 *
 *   socket readable   one batch, with kernel timestamps
 *     session         core_find, core_admit; a new one gets a transport (its upstream socket)
 *     judge           core_arrive: a verdict
 *     record          capture_arrived: never blocks
 *     drain           core_advance: datagrams that are due become outcomes, sent in batches
 *     arm             one timerfd for the earliest due time
 *   timer             drain, arm
 *
 * Every arrival drains first: even if the timer is late, a new datagram never overtakes one that was due
 * before it.
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

/* Called in the relay's thread when it is paused; returns when the relay is to continue. */
typedef void relay_pause_callback(void *user);

/* Called in the relay's thread with an OUTCOME_DARK. */
typedef void relay_dark_callback(void *user, const struct outcome *outcome);

struct relay_options {
	const struct names *names;
	struct summary *summary;
	struct feed *feed; /* takes every event */
	uint64_t seed;
	struct shared *shared;
	const struct relay *first; /* shares the addresses of its listeners; NULL: this is the first */
	unsigned index, workers;
	ns_t began;       /* start of the run, monotonic */
	ns_t wall_offset; /* wall clock minus monotonic */
	relay_dark_callback *on_dark;
	void *on_dark_user;
	relay_pause_callback *on_pause;
	void *on_pause_user;
};

/* Opens the listeners. Returns NULL and sets *error if one cannot be opened. The caller keeps `setup` valid
 * until relay_reload or relay_free. */
struct relay *relay_new(const struct relay_options *options, const struct setup *setup, struct error *error);
void relay_free(struct relay *relay);
/* Begins to look up the upstreams' names, in threads of their own; call it before relay_run. */
void relay_start(struct relay *relay);
/* Starts recording into `recorder`. */
void relay_record(struct relay *relay, struct recorder *recorder);

size_t relay_listener_count(const struct relay *relay);
/* Returns the address as bound, with the port that the kernel chose for 0. */
const struct address *relay_listener(const struct relay *relay, size_t index);

/* Spreads devices over the listeners of `count` relays, of which this is the first. */
void relay_spread(const struct relay *relay, unsigned count);

/* Runs until relay_stop. */
void relay_run(struct relay *relay);
/* From any thread: makes the relay call `rest` between two rounds, before each round until relay_resume. */
void relay_pause(struct relay *relay);
void relay_resume(struct relay *relay);
/* Makes relay_run return; queued datagrams stay queued. */
void relay_stop(struct relay *relay);
/* Handles all that is due, and outcomes of a change made to the core from outside; then arms the timer. */
void relay_flush_due(struct relay *relay);
/* Makes the relay know a server ("HOST:PORT"). Not in a worker's thread: it allocates by base/memory.h. */
void relay_add_upstream(struct relay *relay, const char *text);
/* A change of configuration, while the relay is paused: relay_prepare handles all that is due and allocates
 * what the change needs, and returns -1 if out of memory; relay_reload, which cannot fail, carries it out. */
int relay_prepare(struct relay *relay, struct core_change *change, const struct setup *setup);
void relay_reload(struct relay *relay, struct core_change *change, const struct setup *setup, uint64_t seed);

/* [gateway]: returns 0 if answers can be sent from each port that `ports` lists, or else -1 and sets *error.
 * Ranges of more than 1024 ports are not tried: a port that cannot be answered from is then logged when it is
 * needed. */
int relay_check_answers(const struct setup *setup, struct error *error);

struct core *relay_core(struct relay *relay);
/* Adds what the kernel dropped on the listeners, and on upstream sockets that are closed. */
void relay_kernel_drops(const struct relay *relay, uint64_t drops[WAYS]);
/* Returns what the kernel dropped on the upstream sockets that the session has open. */
uint64_t relay_session_drops(const struct session *session);
/* Returns the number of ICMP errors that sends and reads have reported. */
uint64_t relay_icmp_errors(const struct relay *relay);

#endif
