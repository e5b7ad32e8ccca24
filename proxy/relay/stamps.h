/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stamps: when a datagram came, by our time, from the kernel's receive stamp.
 *
 * The kernel stamps with the wall clock, which may step; our time is CLOCK_MONOTONIC. Each round of a relay
 * reads both, the wall clock between two readings of ours: if these are far apart the thread has lost its
 * core in between, and the difference before is better. If the difference has moved by more than slewing
 * explains, the wall clock has stepped, and what was received before still has a stamp of the old time: for
 * STAMPS_STEP_MEMORY both are tried.
 */
#ifndef PROXY_STAMPS_H
#define PROXY_STAMPS_H

#include <stdbool.h>

#include "base/ns.h"

#define STAMPS_READING (200 * NS_US) /* at most, from one reading of our clock to the next */
#define STAMPS_STEP (2 * NS_MS)      /* least step that is told from slewing … */
#define STAMPS_SLEWING 8 /* … by at most an eighth of the time: chrony's maxslewrate is a twelfth */
#define STAMPS_STEP_MEMORY (2 * NS_S) /* after a step */
#define STAMPS_OLDEST (60 * NS_S)     /* an older stamp is of another clock */

struct stamps {
	ns_t offset;        /* from the wall clock to our time, as of this round */
	ns_t offset_before; /* … as of the last round before the step */
	ns_t read_at;       /* when the offset was read, our time; 0: never */
	ns_t stepped_at;    /* our time */
	bool has_stepped;   /* within STAMPS_STEP_MEMORY */
};

/* Begins a round: the wall clock, read between two readings of ours. */
void stamps_round(struct stamps *stamps, ns_t before, ns_t wall, ns_t now);
/* Never later than `now`, and `now` for a stamp that cannot be. */
ns_t stamps_time_checked(const struct stamps *stamps, ns_t stamp, ns_t now);

static inline ns_t stamps_time(const struct stamps *stamps, ns_t stamp, ns_t now)
{
	ns_t at = stamp + stamps->offset;

	if (at <= now && now - at <= STAMPS_OLDEST && !stamps->has_stepped)
		return at;
	return stamps_time_checked(stamps, stamp, now);
}

#endif
