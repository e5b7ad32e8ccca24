/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * feed: the latest events of a run, for clients of the API that follow them (server-sent events).
 *
 * Events are numbered from 1, and the last FEED_KEPT are kept. Any thread may call feed_put, feed_newest and
 * feed_of_session at any time. feed_after takes no lock: the workers must be paused, and its result is valid
 * as long as they are.
 */
#ifndef PROXY_FEED_H
#define PROXY_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ns.h"
#include "base/text.h"

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
/* Adds an event. If out of memory its text is lost. */
void feed_put(struct feed *feed, const char *text, ns_t at);
/* Returns the oldest event kept with a number above `id`, or NULL if there is none yet. */
const struct feed_event *feed_after(const struct feed *feed, uint64_t id);
/* Returns the number of the latest event; 0: none. */
uint64_t feed_newest(struct feed *feed);
/* Appends the text of the latest event kept of a session. Returns false if there is none. */
bool feed_of_session(struct feed *feed, uint32_t session, struct text *text);

#endif
