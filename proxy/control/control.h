/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control: steering a run over HTTP (libevent's evhttp): listeners, connections, and whose turn it is.
 *
 *   request ── its turn ── Host, Origin, token ── route and method ── body ── handler ── JSON
 *              control.c   guard.c                dispatch.c                 routes.c
 *
 * All of it runs in the program's first thread. Handlers that read or change what belongs to the workers
 * pause them, never for longer than a piece of work. They answer at once, or leave the call to pending.c. The
 * relays come first: requests take at most a fifth of the time, and those that come faster wait for their
 * turn.
 */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include "proxy/relay/running.h"

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

#endif
