/*
 * lookup: host names into addresses without blocking the relay.
 *
 * Each lookup runs getaddrinfo in a thread of its own (so that hosts files, mDNS and whatever else the
 * machine is set up for work as in any other program) and comes back through the event loop.
 */
#ifndef PROXY_LOOKUP_H
#define PROXY_LOOKUP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"

#define LOOKUP_ADDRESSES 8

struct lookup_result {
	struct address all[LOOKUP_ADDRESSES];
	size_t count;
	const char *failure; /* NULL: it succeeded */
};

typedef void lookup_done(void *user, const struct lookup_result *result);

struct lookup;

/* Starts one; `done` is called once from the loop unless lookup_cancel comes first. NULL where no thread
 * starts. */
struct lookup *lookup_start(
    struct event_base *base, const char *host, uint16_t port, lookup_done *done, void *user);
void lookup_cancel(struct lookup *lookup);

#endif
