/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * feed: the newest events, numbered, for those who listen to them (server-sent events) and those who come
 * later.
 *
 * Numbers run from 1; of the last FEED_KEPT the texts are kept.
 */
#ifndef PROXY_FEED_H
#define PROXY_FEED_H

#include <stdint.h>

#include "base/ns.h"

#define FEED_KEPT 4096

struct feed;

struct feed_event {
	uint64_t id;
	ns_t at;          /* wall clock */
	uint32_t session; /* 0: none */
	const char *text;
};

struct feed *feed_new(void);
void feed_free(struct feed *feed);
void feed_put(struct feed *feed, const char *text, ns_t at);
/* The first one behind `id`, of those that are kept; NULL where there is none yet. */
const struct feed_event *feed_after(const struct feed *feed, uint64_t id);
uint64_t feed_newest(struct feed *feed); /* id; 0: none */
/* The newest of a session that is kept, or NULL. */
const struct feed_event *feed_of_session(const struct feed *feed, uint32_t session);

#endif
