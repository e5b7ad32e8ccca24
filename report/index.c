/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/index.h"

#include <stdlib.h>

#include "base/chance.h"
#include "base/memory.h"

#define CAP_MIN 64

/* Returns the slot of `key`, or the free one where it belongs. */
static struct index_slot *find_slot(const struct index *index, uint64_t key)
{
	size_t at = chance_mix(key) & (index->cap - 1);

	while (index->slots[at].value != INDEX_NONE && index->slots[at].key != key)
		at = (at + 1) & (index->cap - 1);
	return &index->slots[at];
}

uint32_t index_find(const struct index *index, uint64_t key)
{
	return index->cap ? find_slot(index, key)->value : INDEX_NONE;
}

static void grow_slots(struct index *index)
{
	struct index old = *index;

	index->cap = old.cap ? 2 * old.cap : CAP_MIN;
	index->slots = memory_malloc(index->cap * sizeof(*index->slots));
	for (size_t i = 0; i < index->cap; i++)
		index->slots[i].value = INDEX_NONE;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value != INDEX_NONE)
			*find_slot(index, old.slots[i].key) = old.slots[i];
	free(old.slots);
}

void index_add(struct index *index, uint64_t key, uint32_t value)
{
	if (4 * (index->count + 1) > 3 * index->cap)
		grow_slots(index);
	*find_slot(index, key) = (struct index_slot){key, value};
	index->count++;
}

/* Entries behind the hole that a lookup would no longer reach are moved into it. */
void index_remove(struct index *index, uint64_t key)
{
	size_t mask = index->cap - 1, hole, at;

	if (!index->cap || find_slot(index, key)->value == INDEX_NONE)
		return;
	hole = at = (size_t)(find_slot(index, key) - index->slots);
	for (;;) {
		size_t home;

		at = (at + 1) & mask;
		if (index->slots[at].value == INDEX_NONE)
			break;
		home = chance_mix(index->slots[at].key) & mask;
		if (((at - home) & mask) < ((at - hole) & mask))
			continue; /* its home slot is behind the hole */
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
