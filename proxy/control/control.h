/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control: the HTTP server (libevent's evhttp) that steers a run: listeners, connections, request queue.
 *
 *   request ── queue ── Host, Origin, token ── route and method ── body ── handler ── JSON
 *           control.c   guard.c                dispatch.c                  routes.c   call.c
 *
 * All of it runs in the main thread. Handlers that read or change state of the workers pause them for one
 * short piece of work at a time. They answer at once, or hand the call to pending.c. Relaying has priority:
 * requests get a fixed share of each tick (BUDGET in control.c), and those beyond it are queued.
 */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include "proxy/relay/running.h"

#define CONTROL_TICK_MS 20

struct control;
struct event_base;

/* Binds the listeners of [control]. Returns NULL and sets *error if one fails. */
struct control *control_new(struct running *running, struct event_base *base, struct error *error);
void control_free(struct control *control);
/* Reads the token file again after a reload. Keeps the old token if the file cannot be read. */
void control_reload(struct control *control);
/* Stops the run a few ticks from now, so that answers in flight are still sent. */
void control_stop(struct control *control);

#endif
