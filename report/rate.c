/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/rate.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Bin widths. Each is a multiple of the one before; the largest are for broken time stamps. */
static const ns_t widths[] = {NS_S / 10, NS_S / 2, NS_S, 5 * NS_S, 10 * NS_S, 30 * NS_S, 60 * NS_S,
    300 * NS_S, 600 * NS_S, 1800 * NS_S, NS_HOUR, 6 * NS_HOUR, 24 * NS_HOUR, 240 * NS_HOUR, 2400 * NS_HOUR,
    24000 * NS_HOUR};
#define WIDTHS (sizeof(widths) / sizeof(*widths))

/* Merges bins to the next width. */
static void widen_bins(struct rate *rate)
{
	uint32_t factor = (uint32_t)(widths[rate->step + 1] / widths[rate->step]), kept = 0;

	rate->step++;
	for (uint32_t i = 0; i < rate->count; i++) {
		struct rate_bin bin = rate->bins[i];

		bin.index /= factor;
		if (kept && rate->bins[kept - 1].index == bin.index) {
			for (int way = 0; way < WAYS; way++) {
				rate->bins[kept - 1].datagrams[way] += bin.datagrams[way];
				rate->bins[kept - 1].bytes[way] += bin.bytes[way];
			}
		} else {
			rate->bins[kept++] = bin;
		}
	}
	rate->count = kept;
}

/* Returns the bin with this index; creates it if needed. Mostly it is the last one or a new one behind it. */
static struct rate_bin *get_bin(struct rate *rate, uint32_t index)
{
	uint32_t i = rate->count;

	while (i && rate->bins[i - 1].index > index)
		i--;
	if (i && rate->bins[i - 1].index == index)
		return &rate->bins[i - 1];
	rate->bins = memory_grow(rate->bins, rate->count, sizeof(*rate->bins));
	memmove(&rate->bins[i + 1], &rate->bins[i], (rate->count - i) * sizeof(*rate->bins));
	rate->count++;
	rate->bins[i] = (struct rate_bin){.index = index};
	return &rate->bins[i];
}

void rate_add(struct rate *rate, enum way way, uint32_t bytes, ns_t at)
{
	ns_t since;
	struct rate_bin *bin;

	if (!rate->count)
		rate->from = at;
	since = at > rate->from ? at - rate->from : 0;
	while (since / widths[rate->step] >= RATE_MAX && rate->step + 1u < WIDTHS)
		widen_bins(rate);
	if (since / widths[rate->step] >= RATE_MAX)
		since = RATE_MAX * widths[rate->step] - 1;
	bin = get_bin(rate, (uint32_t)(since / widths[rate->step]));
	bin->datagrams[way]++;
	bin->bytes[way] += bytes;
}

void rate_end(struct rate *rate, uint64_t datagrams)
{
	uint64_t max = datagrams < RATE_MIN ? RATE_MIN : datagrams;

	while (rate->count && rate->bins[rate->count - 1].index >= max && rate->step + 1u < WIDTHS)
		widen_bins(rate);
}

double rate_bin_seconds(const struct rate *rate)
{
	return (double)widths[rate->step] / (double)NS_S;
}

void rate_free(struct rate *rate)
{
	free(rate->bins);
	*rate = (struct rate){0};
}
