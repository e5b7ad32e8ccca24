/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ready: a worker's epoll set: sockets, its timer, its wakeup eventfd, results of lookups.
 *
 * All sources that are ready at the same time are read in one round, and the resulting datagrams are sent
 * together at its end. Sockets are level-triggered: unread data is reported again. The timer and the wakeup
 * eventfd are edge-triggered: each expiry or write is reported once, and they are never read.
 *
 *   ready_wait ── ready_next … ready_next ── ready_wait …
 */
#ifndef PROXY_READY_H
#define PROXY_READY_H

#include <stdbool.h>

struct ready;

/* Called when a source is ready. It may call ready_forget, for itself or for others. */
struct source;
typedef void source_call(struct source *source, bool readable, bool writable);

/* First member of everything that is waited for. */
struct source {
	source_call *call;
};

/* Returns NULL with errno set on failure. */
struct ready *ready_new(void);
void ready_free(struct ready *ready);

enum ready_events { READY_READ, READY_READ_AND_WRITE, READY_EDGE /* timerfd or eventfd, edge-triggered */ };

/* Returns 0, or -1 with errno set. */
int ready_add(struct ready *ready, int fd, struct source *source, enum ready_events filter);
void ready_change(struct ready *ready, int fd, struct source *source, enum ready_events filter);
/* Removes `fd`, to be called before it is closed. Discards what ready_wait has returned for `source` and
 * ready_next has not delivered yet. */
void ready_forget(struct ready *ready, int fd, struct source *source);

#define READY_MAX 64
enum ready_mode { READY_POLL, READY_BLOCK };
/* Polls (READY_POLL), or sleeps until something is ready (READY_BLOCK). Returns the number of ready sources,
 * at most READY_MAX; a signal or an error counts as none. */
int ready_wait(struct ready *ready, enum ready_mode patience);
/* Calls the next ready source; returns false if there are no more. */
bool ready_next(struct ready *ready);

/* Returns ready source `index` of the last ready_wait without calling it, for prefetching; NULL if it has
 * been forgotten since. */
struct source *ready_peek(const struct ready *ready, int index);

#endif
