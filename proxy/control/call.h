/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * call: one request and its answer. A handler either answers exactly once, by one of the functions below, or
 * hands the call to pending.c.
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
	const char *name; /* the value of {…} in the route's path; "" if the path has none */
	struct evkeyvalq *query;
	json_t *body;  /* NULL: the request had none */
	bool made;     /* the change that was asked for is in force */
	bool answered; /* an answer was sent, or pending.c has the call */
};

/* Answers 503, or 200 without a body if the change was made, unless the call was answered already. For
 * handlers that run out of memory. */
void call_out_of_memory(struct call *call);
/* Adds a header to the answer; call it before answering. */
void call_header(struct call *call, const char *name, const char *value);
/* Answers with `json` and releases it. */
void call_answer(struct call *call, int status, json_t *json);
/* Answers {"error": "…"}. */
void call_refuse(struct call *call, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Answers with `size` bytes of media type `type`. */
void call_send(struct call *call, int status, const char *type, const void *bytes, size_t size);

#endif
