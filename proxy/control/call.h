/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * call: one request and its answer. A handler answers once, by one of the functions below, or leaves the call
 * to pending.c.
 */
#ifndef PROXY_CALL_H
#define PROXY_CALL_H

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>

#include "proxy/relay/running.h"

struct call {
	struct control *control;
	struct running *running;
	struct evhttp_request *http;
	const char *name; /* what stands at {…} in the route's path; "" where there is none */
	struct evkeyvalq *query;
	json_t *body;  /* NULL: there was none */
	bool answered; /* or pending */
};

/* A handler ran out of memory: 503, where it has not answered yet. */
void call_give_up(struct call *call);
/* A header of the answer, to be added before it. */
void call_header(struct call *call, const char *name, const char *value);
/* These take `json` over. */
void call_answer(struct call *call, int status, json_t *json);
void call_refuse(struct call *call, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void call_send(struct call *call, int status, const char *type, const void *bytes, size_t size);

#endif
