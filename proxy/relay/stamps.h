/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stamps: converts the kernel's receive timestamps to CLOCK_MONOTONIC.
 *
 * The kernel stamps datagrams with the wall clock, which may step. Each round of a relay reads both clocks,
 * the wall clock between two readings of the monotonic clock. If those two are far apart, the thread lost its
 * core in between, and the previous offset is kept. If the offset has moved by more than slewing explains,
 * the wall clock has stepped. Datagrams received before the step carry stamps of the old time, so both
 * offsets are tried for STAMPS_STEP_MEMORY.
 */
#ifndef PROXY_STAMPS_H
#define PROXY_STAMPS_H

#include <stdbool.h>

#include "base/ns.h"

#define STAMPS_READING (200 * NS_US)  /* longest time between a round's two monotonic readings */
#define STAMPS_STEP (2 * NS_MS)       /* smallest change of the offset that counts as a step, plus … */
#define STAMPS_SLEWING 8              /* … the elapsed time over this; chrony's maxslewrate is a twelfth */
#define STAMPS_STEP_MEMORY (2 * NS_S) /* how long the offset before a step is still tried */
#define STAMPS_OLDEST (60 * NS_S)     /* a stamp of greater age is not plausible */

struct stamps {
	ns_t offset;        /* monotonic minus wall clock, as of the last good reading */
	ns_t offset_before; /* the same before the step */
	ns_t read_at;       /* when the offset was measured, monotonic; 0: never */
	ns_t stepped_at;    /* monotonic */
	bool has_stepped;   /* within STAMPS_STEP_MEMORY */
};

/* Begins a round. `wall` was read after `before` and before `now`, which are monotonic. */
void stamps_round(struct stamps *stamps, ns_t before, ns_t wall, ns_t now);
/* Slow path of stamps_time. The result is never later than `now`, and `now` if the stamp is not plausible. */
ns_t stamps_time_checked(const struct stamps *stamps, ns_t stamp, ns_t now);

static inline ns_t stamps_time(const struct stamps *stamps, ns_t stamp, ns_t now)
{
	ns_t at = stamp + stamps->offset;

	if (at <= now && now - at <= STAMPS_OLDEST && !stamps->has_stepped)
		return at;
	return stamps_time_checked(stamps, stamp, now);
}

#endif
