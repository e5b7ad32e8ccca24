/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inside: the state shared by the files of the HTTP server: control.c (listeners, request queue), clients.c
 * (connections), pending.c (calls that are answered later), call.c (answers), dispatch.c (finds the route of
 * a call). Private to proxy/control.
 */
#ifndef PROXY_CONTROL_INSIDE_H
#define PROXY_CONTROL_INSIDE_H

#include "proxy/control/call.h"
#include "proxy/control/clients.h"
#include "proxy/control/control.h"
#include "proxy/control/guard.h"
#include "proxy/control/pending.h"
#include "proxy/run/endpoint.h"

struct control_listener;
struct queued;

struct control {
	struct running *running;
	struct event_base *base;
	struct control_listener *listeners;
	char token[ENDPOINT_TOKEN_SIZE]; /* "": no token is required */
	struct clients clients;
	struct pending_calls pending;
	struct queued *first, *last; /* requests that wait until the budget allows them */
	ns_t spent;                  /* time spent on requests, less the budgets of the ticks since */
	struct event *ticks;
	unsigned ticked, stop_in; /* in ticks; stop_in is 0 unless a stop was requested */
};

static inline struct call call_of(struct control *control, struct evhttp_request *http)
{
	return (struct call){.control = control, .running = control->running, .http = http, .name = ""};
}

#endif
