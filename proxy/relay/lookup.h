/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lookup: host names into addresses without blocking the relay.
 *
 * Each lookup runs getaddrinfo in a thread of its own (so that hosts files, mDNS and whatever else the
 * machine is set up for work as in any other program) and comes back through the worker's set.
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
	const char *failure; /* NULL: it succeeded */
};

typedef void lookup_done(void *user, const struct lookup_result *result);

struct lookup;

/* Starts one; `done` is called once by ready_next unless lookup_cancel comes first. NULL where no thread
 * starts. */
struct lookup *lookup_start(
    struct ready *ready, const char *host, uint16_t port, lookup_done *done, void *user);
void lookup_cancel(struct lookup *lookup);

#endif
