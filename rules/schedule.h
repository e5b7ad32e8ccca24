/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schedule: what waits, by the time at which it is due; of equal times, what arrived first comes first, and
 * of one arrival, what was put in first.
 *
 * A 4-ary heap of small slots, four children to a line of the cache, and beside it two that take and give in
 * constant time: a lane, to which a datagram is appended that is due after all in it (a constant delay, or
 * none, puts all of them there), and once many wait a wheel, which keeps what is due within the next 17 s by
 * the millisecond and hands each millisecond's slots to the heap before they are due. So the heap stays in
 * the processor's cache. Invariant: schedule_next never gives an entry that is due after one left behind.
 */
#ifndef RULES_SCHEDULE_H
#define RULES_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"

enum schedule_kind {
	SCHEDULE_LEAVES, /* a datagram leaves the link: it is sent */
	SCHEDULE_ENTERS, /* a datagram enters the link: a copy sent later */
	SCHEDULE_TIMER
};

struct schedule_entry {
	ns_t due;
	enum schedule_kind kind;
	void *what;
};

/* What is put in begins with this: the schedule's, while it stands there. */
struct schedule_order {
	uint64_t order; /* among equals: number of the arrival, and of the putting in: 40 and 24 bits */
};

/* A timer begins with this: where it stands, by which it can be taken out before its time. */
struct schedule_place {
	struct schedule_order order;
	size_t at;
};

struct schedule;

/* Is there room for so many more, without asking for memory? */
bool schedule_has_room(const struct schedule *schedule, size_t more);
/* Sees to it that so many more can be put; false when memory is out. */
bool schedule_reserve(struct schedule *schedule, size_t more);

struct schedule *schedule_new(void);
void schedule_free(struct schedule *schedule);
/* 0, or -1 when memory is out (then nothing was put in). `arrival`: of equal due times the lower comes first.
 */
int schedule_put(struct schedule *schedule, ns_t due, uint64_t arrival, enum schedule_kind kind, void *what);
/* Takes a timer out that is in. */
void schedule_remove(struct schedule *schedule, const struct schedule_place *place);
/* When the earliest entry is due; NS_NEVER where there is none. */
ns_t schedule_due(const struct schedule *schedule);
/* Takes the earliest entry out if it is due at `now` or before. */
bool schedule_next(struct schedule *schedule, ns_t now, struct schedule_entry *entry);
size_t schedule_count(const struct schedule *schedule);

#endif
