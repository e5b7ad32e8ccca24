/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dispatch: finds the handler of a request by method and path in the table of routes.c, and checks body and
 * query against the table before the handler runs.
 */
#ifndef PROXY_CONTROL_DISPATCH_H
#define PROXY_CONTROL_DISPATCH_H

#include "proxy/control/call.h"

/* Runs the handler of the call, or refuses the call with 400, 404, 405 or 413. */
void dispatch_call(struct call *call);

#endif
