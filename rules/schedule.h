/*
 * schedule: what waits, by the time at which it is due; of equal times, what was put in first comes first.
 *
 * A 4-ary heap of small entries. What an entry points to is a datagram or a timer, which its kind tells.
 * Invariant: schedule_next never gives an entry that is due after one left behind.
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
	uint64_t order; /* of putting in, and the kind in the two low bits */
	void *what;
};

struct schedule;

struct schedule *schedule_new(void);
void schedule_free(struct schedule *schedule);
/* 0, or -1 when memory is out (then nothing was put in). */
int schedule_put(struct schedule *schedule, ns_t due, enum schedule_kind kind, void *what);
/* When the earliest entry is due; NS_NEVER where there is none. */
ns_t schedule_due(const struct schedule *schedule);
/* Takes the earliest entry out if it is due at `now` or before. */
bool schedule_next(struct schedule *schedule, ns_t now, struct schedule_entry *entry);
size_t schedule_count(const struct schedule *schedule);

static inline enum schedule_kind schedule_kind(const struct schedule_entry *entry)
{
	return (enum schedule_kind)(entry->order & 3);
}

#endif
