/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/slots.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cache.h"
#include "base/memory.h"
#include "base/poison.h"

/* The first piece is small, each next one is twice as large, up to a huge page. */
#define PIECE_MIN ((size_t)65536)
#define PIECE_MAX ((size_t)2 << 20)

/* With AddressSanitizer, at least this many slots stay free before one is reused, to detect a late use
 * after free. */
#define KEPT_BACK (POISON_IS_ON ? 1024 : 0) /* slots */

/* The header of a piece, before its slots. */
struct piece {
	struct piece *next;
};

struct free_slot {
	struct free_slot *next;
};

struct slots {
	size_t size;
	struct free_slot *free_first, *free_last; /* a queue: the slot that was freed first is reused first */
	size_t free_count, taken;
	struct piece *pieces;
	size_t used, cap; /* bytes of the newest piece */
};

static size_t align_to_line(size_t size)
{
	return (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

struct slots *slots_new(size_t size)
{
	struct slots *slots = memory_new(1, sizeof(*slots));

	slots->size = align_to_line(size);
	assert(slots->size <= PIECE_MIN - align_to_line(sizeof(struct piece)));
	return slots;
}

void slots_free(struct slots *slots)
{
	if (!slots)
		return;
	assert(!slots->taken);
	while (slots->pieces) {
		struct piece *piece = slots->pieces;

		slots->pieces = piece->next;
		free(piece);
	}
	free(slots);
}

static bool add_piece(struct slots *slots)
{
	size_t cap = slots->cap ? 2 * slots->cap : PIECE_MIN;
	struct piece *piece;

	if (cap >= PIECE_MAX) {
		cap = PIECE_MAX;
		piece = aligned_alloc(cap, cap);
		if (piece)
			madvise(piece, cap, MADV_HUGEPAGE); /* best effort; failure is harmless */
	} else {
		piece = aligned_alloc(CACHE_LINE, cap);
	}
	if (!piece)
		return false;
	piece->next = slots->pieces;
	slots->pieces = piece;
	slots->used = align_to_line(sizeof(*piece));
	slots->cap = cap;
	return true;
}

static void *carve_slot(struct slots *slots)
{
	if (slots->cap - slots->used < slots->size && !add_piece(slots))
		return NULL;
	slots->used += slots->size;
	return (char *)slots->pieces + slots->used - slots->size;
}

static void *pop_free_slot(struct slots *slots)
{
	struct free_slot *slot = slots->free_first;

	unpoison(slot, slots->size);
	slots->free_first = slot->next;
	slots->free_count--;
	return slot;
}

void *slots_get(struct slots *slots)
{
	void *slot = slots->free_count > KEPT_BACK ? pop_free_slot(slots) : carve_slot(slots);

	if (!slot)
		return NULL;
	slots->taken++;
	return memset(slot, 0, slots->size);
}

void slots_put(struct slots *slots, void *slot)
{
	struct free_slot *freed = slot;

	freed->next = NULL;
	if (slots->free_count++) {
		unpoison(slots->free_last, sizeof(*freed));
		slots->free_last->next = freed;
		poison(slots->free_last, sizeof(*freed));
	} else {
		slots->free_first = freed;
	}
	slots->free_last = freed;
	slots->taken--;
	poison(slot, slots->size);
}
