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

/* Pieces double up to a huge page: few things take little. */
#define PIECE_MIN ((size_t)65536)
#define PIECE_MAX ((size_t)2 << 20)

/* With a sanitizer, a slot that was given back is not given out again soon. */
#define KEPT_BACK (POISON_IS_ON ? 1024 : 0) /* slots */

/* In front of its slots. */
struct piece {
	struct piece *next;
};

struct free_slot {
	struct free_slot *next;
};

struct slots {
	size_t size;
	struct free_slot *free_first, *free_last; /* the one given back first is given out first */
	size_t free_count, taken;
	struct piece *pieces;
	size_t used, cap; /* bytes of the newest piece */
};

static size_t lines(size_t size)
{
	return (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

struct slots *slots_new(size_t size)
{
	struct slots *slots = memory_new(1, sizeof(*slots));

	slots->size = lines(size);
	assert(slots->size <= PIECE_MIN - lines(sizeof(struct piece)));
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
	slots->used = lines(sizeof(*piece));
	slots->cap = cap;
	return true;
}

static void *carve(struct slots *slots)
{
	if (slots->cap - slots->used < slots->size && !add_piece(slots))
		return NULL;
	slots->used += slots->size;
	return (char *)slots->pieces + slots->used - slots->size;
}

static void *take_free(struct slots *slots)
{
	struct free_slot *slot = slots->free_first;

	unpoison(slot, slots->size);
	slots->free_first = slot->next;
	slots->free_count--;
	return slot;
}

void *slots_get(struct slots *slots)
{
	void *slot = slots->free_count > KEPT_BACK ? take_free(slots) : carve(slots);

	if (!slot)
		return NULL;
	slots->taken++;
	return memset(slot, 0, slots->size);
}

void slots_put(struct slots *slots, void *slot)
{
	struct free_slot *last = slot;

	last->next = NULL;
	if (slots->free_count++) {
		unpoison(slots->free_last, sizeof(*last));
		slots->free_last->next = last;
		poison(slots->free_last, sizeof(*last));
	} else {
		slots->free_first = last;
	}
	slots->free_last = last;
	slots->taken--;
	poison(slot, slots->size);
}
