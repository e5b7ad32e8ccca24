/*
 * control: steering a run over HTTP (libevent's evhttp): listeners, connections, and whose turn it is.
 *
 *   request ── its turn ── Host, Origin, token ── route and method ── body ── handler ── JSON
 *              control.c   guard.c                call.c                      routes.c
 *
 * All of it runs in the program's first thread, with the workers halted where it is about them, never for
 * longer than a piece of work: handlers answer at once, in pieces (a long summary), or keep the call (`wait`,
 * `events`) and are served by a tick of CONTROL_TICK_MS. At most SETUP_CONTROL_CLIENTS connections, half of
 * which may be kept: one more makes the longest waiting end (503). One that has not sent its request within
 * 10 s is closed.
 *
 * The relays come first: requests take at most a fifth of the time, and what comes faster waits for its turn.
 */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include "proxy/relay/running.h"

#define CONTROL_KEPT (SETUP_CONTROL_CLIENTS / 2)
#define CONTROL_PATIENCE_SECONDS 10
#define CONTROL_TICK_MS 20

struct control;
struct event_base;

/* Binds what [control] listens on; NULL and why where that fails. */
struct control *control_new(struct running *running, struct event_base *base, struct error *error);
void control_free(struct control *control);
/* Re-reads the token after a reload; a file that cannot be read leaves the old one. */
void control_reload(struct control *control);
/* Stops the run, once the answers that are on their way have left. */
void control_stop(struct control *control);

struct call;

/* The answer to a call leaves: the connection has its patience anew. */
void control_served(struct call *call);
/* Waits until the rule has fired so often, or answers 408 once the timeout is over. */
void control_wait(struct call *call, const char *rule, uint64_t count, ns_t timeout);
/* An answer of status 200 that is made and sent some at a time: `next` adds a piece, and returns false if
 * that was the last. */
struct evbuffer;
struct pieces {
	bool (*next)(void *state, struct evbuffer *out);
	void (*free)(void *state);
	void *state;
};
void control_pieces(struct call *call, const char *type, struct pieces pieces);
/* Sends events from behind `id` on, as they happen. */
void control_stream(struct call *call, uint64_t id);

#endif
