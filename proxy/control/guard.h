/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard: access control of the API. A browser in the lab also opens pages of other sites, and these can send
 * requests to this server. Such requests are recognized by Host, Origin (RFC 6454) and Sec-Fetch-Site, and
 * refused. If [control] names a token, every request must carry it (RFC 6750 section 2.1).
 */
#ifndef PROXY_GUARD_H
#define PROXY_GUARD_H

#include <event2/http.h>
#include <stdbool.h>

#include "base/address.h"
#include "base/error.h"

/* Returns NULL if the request may be served, or the reason why not. `bound` is the listener's address, with
 * family FAMILY_NONE for a Unix socket. */
const char *guard_check_origin(const struct address *bound, struct evhttp_request *http);
/* Returns whether the request carries `token`; always true if `token` is "". */
bool guard_check_token(const char *token, struct evhttp_request *http);

#endif
