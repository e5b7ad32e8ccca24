#include "report/index.h"

#include <assert.h>
#include <stdlib.h>

#include "base/chance.h"

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
	index->slots = malloc(index->room * sizeof(*index->slots));
	assert(index->slots);
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

void index_free(struct index *index)
{
	free(index->slots);
	*index = (struct index){0};
}
