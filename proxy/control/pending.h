/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pending: calls that are not answered at once: `wait` for a rule, the stream of events, and long answers,
 * which are made and sent in pieces so that the relays get their turn in between.
 *
 * A tick of CONTROL_TICK_MS looks after them. At most PENDING_MAX: one more evicts the one that waits
 * longest.
 */
#ifndef PROXY_CONTROL_PENDING_H
#define PROXY_CONTROL_PENDING_H

#include <stddef.h>

#include "base/units.h"
#include "proxy/run/setup.h"

#define PENDING_MAX (SETUP_CONTROL_CLIENTS / 2)

struct call;
struct control;
struct evbuffer;
struct event;
struct pending;

struct pending_calls {
	struct pending *newest;
	size_t count;
	struct event *pieces; /* made active while an answer has more of them */
};

void pending_init(struct control *control);
/* Forgets all calls; their connections are still evhttp's. */
void pending_fini(struct control *control);
/* Once a tick: answers waits that are over, and sends what happened to streams. */
void pending_poll(struct control *control, ns_t now);

/* Answers once the rule has fired `count` times, or with 408 after `timeout`. */
void pending_wait(struct call *call, const char *rule, uint64_t count, ns_t timeout);
/* Sends events from behind `id` on, as they happen. */
void pending_stream(struct call *call, uint64_t id);
/* An answer of status 200. `next` appends a piece and returns false if it was the last; `free` is called
 * once. */
struct pieces {
	bool (*next)(void *state, struct evbuffer *out);
	void (*free)(void *state);
	void *state;
};
void pending_pieces(struct call *call, const char *type, struct pieces pieces);

#endif
