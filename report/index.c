#include "report/index.h"

#include <stdlib.h>

#include "base/chance.h"
#include "base/memory.h"

#define ROOM_LEAST 64

static struct index_slot *slot_of(const struct index *index, uint64_t key)
{
	size_t at = chance_mix(key) & (index->room - 1);

	while (index->slots[at].value != INDEX_NONE && index->slots[at].key != key)
		at = (at + 1) & (index->room - 1);
	return &index->slots[at];
}

uint32_t index_find(const struct index *index, uint64_t key)
{
	return index->room ? slot_of(index, key)->value : INDEX_NONE;
}

static void grow(struct index *index)
{
	struct index before = *index;

	index->room = before.room ? 2 * before.room : ROOM_LEAST;
	index->slots = memory_get(index->room * sizeof(*index->slots));
	for (size_t i = 0; i < index->room; i++)
		index->slots[i].value = INDEX_NONE;
	for (size_t i = 0; i < before.room; i++)
		if (before.slots[i].value != INDEX_NONE)
			*slot_of(index, before.slots[i].key) = before.slots[i];
	free(before.slots);
}

void index_add(struct index *index, uint64_t key, uint32_t value)
{
	if (4 * (index->count + 1) > 3 * index->room)
		grow(index);
	*slot_of(index, key) = (struct index_slot){key, value};
	index->count++;
}

/* What stands behind it, and would not be found past a free slot, moves up. */
void index_remove(struct index *index, uint64_t key)
{
	size_t mask = index->room - 1, hole, at;

	if (!index->room || slot_of(index, key)->value == INDEX_NONE)
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
