/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/dictionary.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define ROOM_MIN 64

/* FNV-1a, 32 bits, and a last mix so that the low bits depend on all. */
static uint32_t hash_of(const void *space, const char *name)
{
	uint32_t hash = UINT32_C(2166136261) ^ (uint32_t)((uintptr_t)space >> 4);

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * UINT32_C(16777619);
	return hash ^ hash >> 15;
}

/* The slot of a name, or the free one that it would take. */
static struct dictionary_slot *slot_of(
    const struct dictionary *dictionary, const void *space, const char *name, uint32_t hash)
{
	size_t at = hash & (dictionary->cap - 1);

	for (;; at = (at + 1) & (dictionary->cap - 1)) {
		struct dictionary_slot *slot = &dictionary->slots[at];

		if (!slot->name ||
		    (slot->hash == hash && slot->space == space && strcmp(slot->name, name) == 0))
			return slot;
	}
}

void *dictionary_get(const struct dictionary *dictionary, const void *space, const char *name)
{
	const struct dictionary_slot *slot;

	if (!dictionary->cap)
		return NULL;
	slot = slot_of(dictionary, space, name, hash_of(space, name));
	return slot->name ? slot->value : NULL;
}

static void grow(struct dictionary *dictionary)
{
	struct dictionary before = *dictionary;

	dictionary->cap = before.cap ? 2 * before.cap : ROOM_MIN;
	dictionary->slots = memory_new(dictionary->cap, sizeof(*dictionary->slots));
	for (size_t i = 0; i < before.cap; i++) {
		const struct dictionary_slot *slot = &before.slots[i];

		if (slot->name)
			*slot_of(dictionary, slot->space, slot->name, slot->hash) = *slot;
	}
	free(before.slots);
}

void dictionary_put(struct dictionary *dictionary, const void *space, const char *name, void *value)
{
	uint32_t hash = hash_of(space, name);
	struct dictionary_slot *slot;

	if (4 * (dictionary->count + 1) > 3 * dictionary->cap)
		grow(dictionary);
	slot = slot_of(dictionary, space, name, hash);
	dictionary->count += !slot->name;
	*slot = (struct dictionary_slot){.space = space, .name = name, .value = value, .hash = hash};
}

void dictionary_free(struct dictionary *dictionary)
{
	free(dictionary->slots);
	*dictionary = (struct dictionary){0};
}
