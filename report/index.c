/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/index.h"

#include <stdlib.h>

#include "base/chance.h"
#include "base/memory.h"

#define ROOM_MIN 64

static struct index_slot *slot_of(const struct index *index, uint64_t key)
{
	size_t at = chance_mix(key) & (index->cap - 1);

	while (index->slots[at].value != INDEX_NONE && index->slots[at].key != key)
		at = (at + 1) & (index->cap - 1);
	return &index->slots[at];
}

uint32_t index_find(const struct index *index, uint64_t key)
{
	return index->cap ? slot_of(index, key)->value : INDEX_NONE;
}

static void grow(struct index *index)
{
	struct index before = *index;

	index->cap = before.cap ? 2 * before.cap : ROOM_MIN;
	index->slots = memory_get(index->cap * sizeof(*index->slots));
	for (size_t i = 0; i < index->cap; i++)
		index->slots[i].value = INDEX_NONE;
	for (size_t i = 0; i < before.cap; i++)
		if (before.slots[i].value != INDEX_NONE)
			*slot_of(index, before.slots[i].key) = before.slots[i];
	free(before.slots);
}

void index_add(struct index *index, uint64_t key, uint32_t value)
{
	if (4 * (index->count + 1) > 3 * index->cap)
		grow(index);
	*slot_of(index, key) = (struct index_slot){key, value};
	index->count++;
}

/* What stands behind it, and would not be found past a free slot, moves up. */
void index_remove(struct index *index, uint64_t key)
{
	size_t mask = index->cap - 1, hole, at;

	if (!index->cap || slot_of(index, key)->value == INDEX_NONE)
		return;
	hole = at = (size_t)(slot_of(index, key) - index->slots);
	for (;;) {
		size_t home;

		at = (at + 1) & mask;
		if (index->slots[at].value == INDEX_NONE)
			break;
		home = chance_mix(index->slots[at].key) & mask;
		if (((at - home) & mask) < ((at - hole) & mask))
			continue; /* its place is behind the hole */
		index->slots[hole] = index->slots[at];
		hole = at;
	}
	index->slots[hole].value = INDEX_NONE;
	index->count--;
}

void index_free(struct index *index)
{
	free(index->slots);
	*index = (struct index){0};
}
