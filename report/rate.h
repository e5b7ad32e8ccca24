/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rate: a histogram of a session's arrivals over time, in bins of a round width.
 *
 * Each width is a multiple of the one before. When the session outgrows RATE_MAX bins, bins are merged to the
 * next width. Only bins with arrivals are stored, so memory is bounded. Zero-initialize it, call rate_add for
 * each arrival, then rate_end; rate_free releases it.
 */
#ifndef REPORT_RATE_H
#define REPORT_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "base/verdict.h"

#define RATE_MAX 240 /* most bins from the first arrival to the last, empty ones included */
#define RATE_MIN 8   /* bins that are allowed however few datagrams there are */

struct rate_bin {
	uint32_t index; /* number of the bin, counted from the first arrival */
	uint32_t datagrams[WAYS];
	uint64_t bytes[WAYS];
};

struct rate {
	ns_t from;             /* time of the first arrival */
	struct rate_bin *bins; /* sorted by index */
	uint32_t count;
	uint8_t step; /* index of the current width in the table of widths */
};

void rate_add(struct rate *rate, enum way way, uint32_t bytes, ns_t at);
/* Merges bins until there are no more, empty ones included, than `datagrams` or RATE_MIN. */
void rate_end(struct rate *rate, uint64_t datagrams);
double rate_bin_seconds(const struct rate *rate);
void rate_free(struct rate *rate);

#endif
