/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/dictionary.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define CAP_MIN 64

/* FNV-1a, 32 bits, with a final mix so that the low bits depend on all bits. */
static uint32_t hash_name(const void *space, const char *name)
{
	uint32_t hash = UINT32_C(2166136261) ^ (uint32_t)((uintptr_t)space >> 4);

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * UINT32_C(16777619);
	return hash ^ hash >> 15;
}

/* Returns the slot of a name, or the free slot where it belongs. */
static struct dictionary_slot *find_slot(
    const struct dictionary *dictionary, const void *space, const char *name, uint32_t hash)
{
	size_t i = hash & (dictionary->cap - 1);

	for (;; i = (i + 1) & (dictionary->cap - 1)) {
		struct dictionary_slot *slot = &dictionary->slots[i];

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
	slot = find_slot(dictionary, space, name, hash_name(space, name));
	return slot->name ? slot->value : NULL;
}

static void grow_slots(struct dictionary *dictionary)
{
	struct dictionary old = *dictionary;
	size_t cap = old.cap ? 2 * old.cap : CAP_MIN;

	dictionary->slots = memory_new(cap, sizeof(*dictionary->slots));
	dictionary->cap = cap;
	for (size_t i = 0; i < old.cap; i++) {
		const struct dictionary_slot *slot = &old.slots[i];

		if (slot->name)
			*find_slot(dictionary, slot->space, slot->name, slot->hash) = *slot;
	}
	free(old.slots);
}

void dictionary_put(struct dictionary *dictionary, const void *space, const char *name, void *value)
{
	uint32_t hash = hash_name(space, name);
	struct dictionary_slot *slot;

	if (4 * (dictionary->count + 1) > 3 * dictionary->cap)
		grow_slots(dictionary);
	slot = find_slot(dictionary, space, name, hash);
	dictionary->count += !slot->name;
	*slot = (struct dictionary_slot){.space = space, .name = name, .value = value, .hash = hash};
}

void dictionary_free(struct dictionary *dictionary)
{
	free(dictionary->slots);
	*dictionary = (struct dictionary){0};
}
