/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/runs.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Most entries of the ring; beyond, the oldest one is counted although it is open. */
#define OPEN_MAX ((size_t)1 << 22)

enum { ABSENT, OPEN, LOST, SENT };

static uint8_t *entry_at(const struct runs *runs, size_t offset)
{
	return &runs->ring[(runs->first + offset) & (runs->cap - 1)];
}

static void count_fate(struct runs *runs, uint8_t fate)
{
	if (fate == ABSENT)
		return;
	runs->run = fate == LOST ? runs->run + 1 : 0;
	runs->count += runs->run == 1;
	runs->longest = runs->run > runs->longest ? runs->run : runs->longest;
}

static void remove_first(struct runs *runs)
{
	count_fate(runs, *entry_at(runs, 0));
	runs->first = (runs->first + 1) & (runs->cap - 1);
	runs->used--;
	runs->base++;
}

static void grow_ring(struct runs *runs)
{
	size_t cap = runs->cap ? 2 * runs->cap : 8;
	uint8_t *ring = memory_new(cap, 1);

	for (size_t i = 0; i < runs->used; i++)
		ring[i] = *entry_at(runs, i);
	free(runs->ring);
	runs->ring = ring;
	runs->cap = cap;
	runs->first = 0;
}

void runs_arrived(struct runs *runs, uint32_t n)
{
	size_t offset;

	if (!runs->used)
		runs->base = n;
	if (n < runs->base)
		return; /* the capture is out of order, and this one is counted already */
	while (runs->used && n - runs->base >= OPEN_MAX)
		remove_first(runs);
	if (!runs->used)
		runs->base = n;
	offset = n - runs->base;
	while (runs->used <= offset) {
		if (runs->used == runs->cap)
			grow_ring(runs);
		*entry_at(runs, runs->used++) = ABSENT;
	}
	*entry_at(runs, offset) = OPEN;
}

void runs_settled(struct runs *runs, uint32_t n, bool lost)
{
	if (n < runs->base || n - runs->base >= runs->used)
		return;
	*entry_at(runs, n - runs->base) = lost ? LOST : SENT;
	while (runs->used && *entry_at(runs, 0) != OPEN)
		remove_first(runs);
}

void runs_end(struct runs *runs)
{
	while (runs->used)
		remove_first(runs);
}

void runs_free(struct runs *runs)
{
	free(runs->ring);
	*runs = (struct runs){0};
}
