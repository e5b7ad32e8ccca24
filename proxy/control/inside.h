/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inside: what the files of the API's server share: control.c (listeners, whose turn it is), clients.c (its
 * connections), pending.c (calls that are not answered at once), call.c (answers), dispatch.c (finds a call's
 * route).
 */
#ifndef PROXY_CONTROL_INSIDE_H
#define PROXY_CONTROL_INSIDE_H

#include "proxy/control/call.h"
#include "proxy/control/clients.h"
#include "proxy/control/control.h"
#include "proxy/control/guard.h"
#include "proxy/control/pending.h"
#include "proxy/run/endpoint.h"

struct listening;
struct queued;

struct control {
	struct running *running;
	struct event_base *base;
	struct listening *listenings;
	char token[ENDPOINT_TOKEN_SIZE]; /* "": none is asked for */
	struct clients clients;
	struct pending_calls pending;
	struct queued *first, *last; /* requests whose turn has not come */
	ns_t spent;                  /* on requests, less what the ticks since have allowed */
	struct event *ticks;
	unsigned ticked, stop_in; /* ticks; 0: not asked to stop */
};

static inline struct call call_of(struct control *control, struct evhttp_request *http)
{
	return (struct call){.control = control, .running = control->running, .http = http, .name = ""};
}

#endif
