/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buckets: percentiles of times, from a histogram with logarithmic buckets.
 *
 * A bucket is at most 1/32 (3.2 %) wide; below 32 ns each value has its own. A percentile is the upper end of
 * its bucket, but never above the greatest value seen, which is kept exactly. Invariant: the counts add up to
 * `count`.
 */
#ifndef BASE_BUCKETS_H
#define BASE_BUCKETS_H

#include <stdint.h>

#include "base/ns.h"

#define BUCKETS_STEPS 32u /* buckets in each doubling */
#define BUCKETS_COUNT (BUCKETS_STEPS * 44)

struct buckets {
	uint64_t count;
	ns_t greatest, sum; /* the sum saturates at NS_NEVER */
	uint32_t in[BUCKETS_COUNT];
};

/* A value below 0 counts as 0. */
void buckets_add(struct buckets *buckets, ns_t value);
void buckets_merge(struct buckets *into, const struct buckets *from);
/* Returns how many values are not above `value`, to the precision of the buckets: all values in its bucket
 * count. */
uint64_t buckets_below(const struct buckets *buckets, ns_t value);
/* Returns the value that `share` (0 to 1) of all values do not exceed; 0 if there are none. */
ns_t buckets_percentile(const struct buckets *buckets, double share);

/* The same histogram, but storing only non-empty buckets: for thousands of small ones. */
struct sparse {
	uint64_t count;
	ns_t greatest, sum;
	struct sparse_bucket {
		uint32_t index, in;
	} * all; /* sorted by index */
	uint32_t used;
};

void sparse_add(struct sparse *sparse, ns_t value);
void sparse_merge(struct buckets *into, const struct sparse *from);
ns_t sparse_percentile(const struct sparse *sparse, double share);
void sparse_free(struct sparse *sparse);

#endif
