/*
 * relay: one worker: sockets, the core between them, and the walk of every datagram.
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

#include <event2/event.h>

#include "base/error.h"
#include "capture/capture.h"
#include "proxy/feed.h"
#include "proxy/setup.h"
#include "proxy/summary.h"
#include "rules/core.h"

struct relay;

struct relay_options {
	struct event_base *base;
	const struct names *names;
	struct summary *summary;
	struct feed *feed; /* takes every event */
	uint64_t seed;
};

/* Opens the listeners; NULL and why where one cannot be. The setup is read until relay_reload or relay_free.
 */
struct relay *relay_new(const struct relay_options *options, const struct setup *setup, struct error *error);
void relay_free(struct relay *relay);
/* From here on everything is recorded; NULL: nothing is. */
void relay_capture(struct relay *relay, struct capture *capture);

size_t relay_listener_count(const struct relay *relay);
/* As bound: the free port that was taken for 0. */
const struct address *relay_listener(const struct relay *relay, size_t index);

/* Stops reading: what waits stays queued. */
void relay_stop(struct relay *relay);
/* What became due, and what follows from a change to the core from outside; then the timer. */
void relay_turn(struct relay *relay);
void relay_reload(struct relay *relay, const struct setup *setup, uint64_t seed);

struct core *relay_core(struct relay *relay);
/* Fills times, kernel drops and network news. */
void relay_facts(struct relay *relay, struct summary_facts *facts);
/* What the closing statistics need to know of each interface. */
void relay_closing(struct relay *relay, struct capture_closing *closing);
ns_t relay_wall(const struct relay *relay, ns_t at);
ns_t relay_now(void);

#endif
