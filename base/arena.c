/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define CHUNK_SIZE ((size_t)16384) /* bytes; larger objects get a chunk of their own */

struct chunk {
	struct chunk *next;
	size_t used, cap;
	alignas(max_align_t) uint8_t bytes[];
};

struct arena {
	struct chunk *chunks;
};

struct arena *arena_new(void)
{
	return memory_new(1, sizeof(struct arena));
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	while (arena->chunks) {
		struct chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
	free(arena);
}

void *arena_get(struct arena *arena, size_t size)
{
	struct chunk *chunk = arena->chunks;
	size_t aligned_size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

	if (!chunk || chunk->cap - chunk->used < aligned_size) {
		size_t cap = aligned_size > CHUNK_SIZE ? aligned_size : CHUNK_SIZE;

		chunk = memory_new(1, sizeof(*chunk) + cap);
		chunk->cap = cap;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	chunk->used += aligned_size;
	return chunk->bytes + chunk->used - aligned_size;
}

char *arena_text(struct arena *arena, const char *text, size_t size)
{
	char *copy = arena_get(arena, size + 1);

	memcpy(copy, text, size);
	return copy;
}

void *arena_grow(struct arena *arena, void *array, size_t count, size_t size)
{
	void *bigger;

	/* Arrays double in size: an array is full when its count is a power of two, or 0. */
	if (count & (count - 1))
		return array;
	if (count && array) {
		bigger = arena_get(arena, 2 * count * size);
		memcpy(bigger, array, count * size);
		return bigger;
	}
	return arena_get(arena, size);
}
