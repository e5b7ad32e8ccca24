/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dispatch: from a request's method and path over the table of routes.c to a handler. Bodies and queries are
 * checked against the table before the handler sees them.
 */
#ifndef PROXY_CONTROL_DISPATCH_H
#define PROXY_CONTROL_DISPATCH_H

#include "proxy/control/call.h"

/* Has the call handled, or refuses it: 400, 404, 405, 413. */
void dispatch_call(struct call *call);

#endif
