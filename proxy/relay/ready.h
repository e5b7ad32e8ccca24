/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ready: what a worker waits for, in one epoll set: sockets, its timer, its bell, answers to lookups.
 *
 * All that is ready together is read together, and what follows from it is sent together. Sockets are
 * level-triggered: what is not read now is told again. Timers and bells are told once for each time, and are
 * never read.
 *
 *   ready_wait ── ready_next … ready_next ── ready_wait …
 */
#ifndef PROXY_READY_H
#define PROXY_READY_H

#include <stdbool.h>

struct ready;

/* Whoever is waited for begins with one. */
struct source {
	/* It is ready. It may forget itself or others. */
	void (*call)(struct source *source, bool readable, bool writable);
};

/* NULL with errno where there is no file descriptor for it. */
struct ready *ready_new(void);
void ready_free(struct ready *ready);

enum ready_wish { READY_READ, READY_READ_AND_WRITE, READY_RING /* a timerfd or eventfd */ };

/* 0, or -1 with errno. */
int ready_add(struct ready *ready, int fd, struct source *source, enum ready_wish filter);
void ready_change(struct ready *ready, int fd, struct source *source, enum ready_wish filter);
/* It closes: what is still to be told of it is not told. */
void ready_forget(struct ready *ready, int fd, struct source *source);

#define READY_MAX 64
enum ready_patience { READY_LOOK, READY_SLEEP };
/* Looks, or sleeps until something is ready; gives how many are, READY_MAX at most. */
int ready_wait(struct ready *ready, enum ready_patience patience);
/* Calls the next of those; false after the last. */
bool ready_next(struct ready *ready);

/* Of what the last ready_wait gave, by index, to look ahead; NULL: forgotten. */
struct source *ready_peek(const struct ready *ready, int index);

#endif
