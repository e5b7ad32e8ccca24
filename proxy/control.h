/*
 * control: steering a run over HTTP (libevent's evhttp): listeners, who may ask, and the way from a request
 * to its route's handler. What can be asked stands in one table, proxy/routes.c.
 *
 *   request ── Host, Origin ── token ── route and method ── body ── handler ── JSON
 *
 * All of it runs in the relay's thread, between datagrams: handlers answer at once, or keep the call (`wait`,
 * `events`) and are served by a tick of CONTROL_TICK_MS. At most CONTROL_CLIENTS connections; one that has
 * not sent its request within 10 s is closed.
 *
 * The relay comes first: requests take at most a fifth of its time, and what comes faster waits for its turn.
 */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>
#include <stdbool.h>

#include "proxy/running.h"

#define CONTROL_CLIENTS 64
#define CONTROL_BODY_MAX 65536
#define CONTROL_PATIENCE_SECONDS 10
#define CONTROL_TICK_MS 20

struct control;

/* Binds what [control] listens on; NULL and why where that fails. */
struct control *control_new(struct running *running, struct error *error);
void control_free(struct control *control);
/* Re-reads the token after a reload; a file that cannot be read leaves the old one. */
void control_reload(struct control *control);
/* Stops the run, once the answers that are on their way have left. */
void control_stop(struct control *control);

/* One request on its way through a handler. */
struct call {
	struct control *control;
	struct running *running;
	struct evhttp_request *http;
	const char *name; /* what stands at {…} in the route's path; "" where there is none */
	struct evkeyvalq *query;
	json_t *body; /* NULL: there was none */
};

/* Every handler answers once by one of these, or keeps the call. They take `json` over. */
void call_answer(struct call *call, int status, json_t *json);
void call_refuse(struct call *call, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void call_send(struct call *call, int status, const char *type, const void *bytes, size_t size);
/* Waits until the rule has fired so often, or answers 408. */
void call_wait(struct call *call, const char *rule, uint64_t count, ns_t timeout);
/* Sends events from behind `id` on, as they happen. */
void call_stream(struct call *call, uint64_t id);

#endif
