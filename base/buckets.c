/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/buckets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static unsigned bucket_index(ns_t value)
{
	uint64_t v = value > 0 ? (uint64_t)value : 0;
	unsigned top, index;

	if (v < BUCKETS_STEPS)
		return (unsigned)v;
	top = 63u - (unsigned)__builtin_clzll(v);
	index = (top - 4) * BUCKETS_STEPS + (unsigned)((v >> (top - 5)) & (BUCKETS_STEPS - 1));
	return index < BUCKETS_COUNT ? index : BUCKETS_COUNT - 1;
}

/* Returns the greatest value that falls into bucket `index`. */
static ns_t bucket_max(unsigned index)
{
	unsigned doubling = index / BUCKETS_STEPS;
	uint64_t low, width;

	if (doubling == 0)
		return (ns_t)index;
	width = UINT64_C(1) << (doubling - 1);
	low = (BUCKETS_STEPS + index % BUCKETS_STEPS) * width;
	return (ns_t)(low + width - 1);
}

void buckets_add(struct buckets *buckets, ns_t value)
{
	buckets->in[bucket_index(value)]++;
	buckets->count++;
	buckets->sum = ns_add(buckets->sum, value > 0 ? value : 0);
	if (value > buckets->greatest)
		buckets->greatest = value;
}

void buckets_merge(struct buckets *into, const struct buckets *from)
{
	for (unsigned i = 0; i < BUCKETS_COUNT; i++)
		into->in[i] += from->in[i];
	into->count += from->count;
	into->sum = ns_add(into->sum, from->sum);
	if (from->greatest > into->greatest)
		into->greatest = from->greatest;
}

uint64_t buckets_below(const struct buckets *buckets, ns_t value)
{
	uint64_t below = 0;

	for (unsigned i = 0; i <= bucket_index(value); i++)
		below += buckets->in[i];
	return below;
}

/* ---- Sparse ---- */

/* Returns the position of bucket `index` in sparse->all, or the position at which to insert it. */
static uint32_t find_position(const struct sparse *sparse, unsigned index)
{
	uint32_t low = 0, high = sparse->used;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (sparse->all[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void sparse_add(struct sparse *sparse, ns_t value)
{
	unsigned index = bucket_index(value);
	uint32_t position = find_position(sparse, index);

	if (position == sparse->used || sparse->all[position].index != index) {
		sparse->all = memory_grow(sparse->all, sparse->used, sizeof(*sparse->all));
		memmove(&sparse->all[position + 1], &sparse->all[position],
		    (sparse->used - position) * sizeof(*sparse->all));
		sparse->all[position] = (struct sparse_bucket){.index = index};
		sparse->used++;
	}
	sparse->all[position].in++;
	sparse->count++;
	sparse->sum = ns_add(sparse->sum, value > 0 ? value : 0);
	if (value > sparse->greatest)
		sparse->greatest = value;
}

void sparse_merge(struct buckets *into, const struct sparse *from)
{
	for (uint32_t i = 0; i < from->used; i++)
		into->in[from->all[i].index] += from->all[i].in;
	into->count += from->count;
	into->sum = ns_add(into->sum, from->sum);
	if (from->greatest > into->greatest)
		into->greatest = from->greatest;
}

ns_t sparse_percentile(const struct sparse *sparse, double share)
{
	uint64_t rank = (uint64_t)ceil(share * (double)sparse->count), below = 0;

	for (uint32_t i = 0; i < sparse->used; i++) {
		ns_t top = bucket_max(sparse->all[i].index);

		below += sparse->all[i].in;
		if (below >= rank)
			return top < sparse->greatest ? top : sparse->greatest;
	}
	return 0;
}

void sparse_free(struct sparse *sparse)
{
	free(sparse->all);
	*sparse = (struct sparse){0};
}

/* ---- Percentiles ---- */

ns_t buckets_percentile(const struct buckets *buckets, double share)
{
	uint64_t rank = (uint64_t)ceil(share * (double)buckets->count), below = 0;

	for (unsigned i = 0; i < BUCKETS_COUNT; i++) {
		below += buckets->in[i];
		if (below >= rank && below)
			return bucket_max(i) < buckets->greatest ? bucket_max(i) : buckets->greatest;
	}
	return 0;
}
