/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schedule: a priority queue by due time. Entries with equal due times are ordered by arrival, and those of
 * one arrival by insertion.
 *
 * It is a 4-ary heap of small slots (four children per cache line) with two constant-time structures beside
 * it: a lane (FIFO), which takes datagrams that are due after everything in it (with a constant delay or
 * none, that is all of them), and, once the heap is large, a timing wheel, which sorts what is due within the
 * next 17 s by the millisecond and moves each millisecond's slots into the heap before they are due. This
 * keeps the heap in the processor's cache. Invariant: schedule_next never returns an entry that is due after
 * one still queued.
 */
#ifndef RULES_SCHEDULE_H
#define RULES_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"

enum schedule_kind {
	SCHEDULE_LEAVES, /* a datagram leaves the link and is sent */
	SCHEDULE_ENTERS, /* a copy with an offset enters the link */
	SCHEDULE_TIMER
};

struct schedule_entry {
	ns_t due;
	enum schedule_kind kind;
	void *what;
};

/* Every scheduled object begins with this, which belongs to the schedule while the object is in it. */
struct schedule_order {
	uint64_t order; /* among equals: arrival number (40 bits) and insertion number (24 bits) */
};

/* A timer begins with this: its place in the heap, so that it can be removed before it is due. */
struct schedule_place {
	struct schedule_order order;
	size_t at;
};

struct schedule;

/* Returns whether `more` entries fit without allocating memory. */
bool schedule_has_room(const struct schedule *schedule, size_t more);
/* Makes room for `more` entries; returns false if out of memory. */
bool schedule_reserve(struct schedule *schedule, size_t more);

struct schedule *schedule_new(void);
void schedule_free(struct schedule *schedule);
/* Adds an entry. Returns -1, leaving the schedule unchanged, if out of memory. Of equal due times the entry
 * with the lower `arrival` comes first. */
int schedule_put(struct schedule *schedule, ns_t due, uint64_t arrival, enum schedule_kind kind, void *what);
/* Removes a timer that is in the schedule. */
void schedule_remove(struct schedule *schedule, const struct schedule_place *place);
/* Returns when the earliest entry is due; NS_NEVER if there is none. */
ns_t schedule_due(const struct schedule *schedule);
/* Removes the earliest entry if it is due by `now`, stores it in *entry and returns true. */
bool schedule_next(struct schedule *schedule, ns_t now, struct schedule_entry *entry);
size_t schedule_count(const struct schedule *schedule);

#endif
