/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard: who may ask over HTTP. A browser in the lab opens pages of other sites too, and these can send
 * requests here: they are known by Host, Origin (RFC 6454) and Sec-Fetch-Site, and not served. Where
 * [control] names a token, each request bears it (RFC 6750 section 2.1).
 */
#ifndef PROXY_GUARD_H
#define PROXY_GUARD_H

#include <event2/http.h>
#include <stdbool.h>

#include "base/address.h"
#include "base/error.h"

/* NULL, or why this request is not served. `bound` is where it arrived; family FAMILY_NONE: a Unix socket. */
const char *guard_check_origin(const struct address *bound, struct evhttp_request *http);
/* Whether the request bears the token; "": none is asked for. */
bool guard_check_token(const char *token, struct evhttp_request *http);

#endif
