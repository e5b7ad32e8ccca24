/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pending: calls that are not answered at once: `wait` for a rule, the stream of events, and long answers,
 * which are made and sent in pieces so that the event loop can do other work in between.
 *
 * pending_poll runs every CONTROL_TICK_MS. At most PENDING_MAX calls are pending: a further one evicts the
 * oldest.
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
	struct event *pieces; /* active while an answer has more pieces */
};

void pending_init(struct control *control);
/* Frees all pending calls; their connections still belong to evhttp. */
void pending_fini(struct control *control);
/* Call once per tick: answers waits that are over, and sends new events to the streams. */
void pending_poll(struct control *control);

/* Answers once the rule has fired `count` times, or with 408 after `timeout`. */
void pending_wait(struct call *call, const char *rule, uint64_t count, ns_t timeout);
/* Streams the events after event `id`, as they happen. */
void pending_stream(struct call *call, uint64_t id);
/* The source of a long answer. `next` appends one piece to `out` and returns false if it was the last;
 * `free` is called exactly once. */
struct pieces {
	bool (*next)(void *state, struct evbuffer *out);
	void (*free)(void *state);
	void *state;
};
/* Answers with status 200 and the pieces; takes ownership of pieces.state. */
void pending_pieces(struct call *call, const char *type, struct pieces pieces);

#endif
