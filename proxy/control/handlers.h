/* SPDX-License-Identifier: BSD-2-Clause */
/* handlers: the handlers in the table of routes that are defined outside routes.c. */
#ifndef PROXY_CONTROL_HANDLERS_H
#define PROXY_CONTROL_HANDLERS_H

#include "proxy/control/call.h"

/* route_sessions.c */
void route_get_summary(struct call *call);
void route_get_sessions(struct call *call);
void route_get_session(struct call *call);

/* route_changes.c */
void route_get_wait(struct call *call);
void route_post_do(struct call *call);
void route_post_fire(struct call *call);
void route_post_link(struct call *call);
void route_post_rule(struct call *call);
void route_patch_rule(struct call *call);
void route_patch_link(struct call *call);
void route_post_mark(struct call *call);
void route_post_reload(struct call *call);
void route_post_rotate(struct call *call);
void route_post_stop(struct call *call);

#endif
