/*
 * call: one request, from its address and method over the table of proxy/routes.c to a handler, and the
 * answer. Bodies and queries are checked against the table before a handler sees them.
 */
#ifndef PROXY_CALL_H
#define PROXY_CALL_H

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>

#include "proxy/relay/running.h"

#define CALL_BODY_MAX 65536 /* bytes */

struct call {
	struct control *control;
	struct running *running;
	struct evhttp_request *http;
	const char *name; /* what stands at {…} in the route's path; "" where there is none */
	struct evkeyvalq *query;
	json_t *body;  /* NULL: there was none */
	bool answered; /* or kept by proxy/control.h */
};

/* Finds the route and has it handled, or refuses: 400, 404, 405, 413. */
void call_dispatch(struct call *call);

/* A handler ran out of memory: 503, where it has not answered yet. */
void call_give_up(struct call *call);
/* Every handler answers once by one of these, or has proxy/control.h keep the call. They take `json` over. */
void call_answer(struct call *call, int status, json_t *json);
void call_refuse(struct call *call, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void call_send(struct call *call, int status, const char *type, const void *bytes, size_t size);

#endif
