/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rate: how much of a session came over time, in bins of a round width, kept while it is read.
 *
 * The widths divide one another, so that bins are joined as the session grows longer: never more than
 * RATE_MAX stand, and only those in which something came.
 */
#ifndef REPORT_RATE_H
#define REPORT_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "base/verdict.h"

#define RATE_MAX 240 /* bins from the first arrival to the last */
#define RATE_MIN 8   /* of which so many may stand however few datagrams there are */

struct rate_bin {
	uint32_t index; /* from the first arrival on */
	uint32_t datagrams[WAYS];
	uint64_t bytes[WAYS];
};

struct rate {
	ns_t from;             /* the first arrival */
	struct rate_bin *bins; /* by index */
	uint32_t count;
	uint8_t step; /* index of the width */
};

void rate_add(struct rate *rate, enum way way, uint32_t bytes, ns_t at);
/* Merges bins until their number, empty ones included, suits a session with so many datagrams. */
void rate_end(struct rate *rate, uint64_t datagrams);
double rate_bin_seconds(const struct rate *rate);
void rate_free(struct rate *rate);

#endif
