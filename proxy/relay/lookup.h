/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lookup: resolves host names without blocking the relay.
 *
 * Each lookup calls getaddrinfo() in a thread of its own, so that hosts files, mDNS and whatever else the
 * machine is configured for work as in any other program. The result is delivered through the worker's epoll
 * set.
 */
#ifndef PROXY_LOOKUP_H
#define PROXY_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "proxy/relay/ready.h"

#define LOOKUP_ADDRESSES 8

struct lookup_result {
	struct address all[LOOKUP_ADDRESSES];
	size_t count;
	const char *failure; /* NULL on success */
	const char *hidden;  /* file that should have been read, but the sandbox hides it; NULL: none */
};

typedef void lookup_done(void *user, const struct lookup_result *result);

struct lookup;

/* Starts a lookup. ready_next calls `done` once and frees the lookup, unless lookup_cancel comes first.
 * Returns NULL if the lookup cannot be started. */
struct lookup *lookup_start(
    struct ready *ready, const char *host, uint16_t port, lookup_done *done, void *user);
void lookup_cancel(struct lookup *lookup);

#endif
