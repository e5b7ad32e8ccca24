/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/spare.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A piece that was freed. */
struct freed {
	struct freed *next;
};

/* The kernel gives them no memory before they are used. */
static _Alignas(max_align_t) char small[SPARE_SMALL_COUNT * SPARE_SMALL];
static _Alignas(max_align_t) char large[SPARE_LARGE_COUNT * SPARE_LARGE];

static struct class
{
	char *bytes;
	size_t piece, count;
	struct freed *freed;
	size_t used; /* pieces handed out at least once; the rest has never been touched */
} classes[] = {
    {.bytes = small, .piece = SPARE_SMALL, .count = SPARE_SMALL_COUNT},
    {.bytes = large, .piece = SPARE_LARGE, .count = SPARE_LARGE_COUNT},
};

#define CLASS_COUNT (sizeof(classes) / sizeof(*classes))

/* Returns the class that a piece is of, or NULL: it is malloc's. */
static struct class *class_of(const void *piece)
{
	for (size_t i = 0; i < CLASS_COUNT; i++)
		if ((uintptr_t)piece - (uintptr_t)classes[i].bytes < classes[i].count * classes[i].piece)
			return &classes[i];
	return NULL;
}

static void *take(size_t size)
{
	for (size_t i = 0; i < CLASS_COUNT; i++) {
		struct class *class = &classes[i];
		struct freed *freed = class->freed;

		if (size > class->piece)
			continue;
		if (freed) {
			class->freed = freed->next;
			return freed;
		}
		if (class->used < class->count)
			return class->bytes + class->piece * class->used++;
	}
	return NULL;
}

void *spare_malloc(size_t size)
{
	void *piece = malloc(size ? size : 1);

	return piece ? piece : take(size);
}

void spare_free(void *piece)
{
	struct class *class = class_of(piece);
	struct freed *freed = piece;

	if (!class) {
		free(piece);
		return;
	}
	freed->next = class->freed;
	class->freed = freed;
}

void *spare_realloc(void *old, size_t size)
{
	const struct class *class = class_of(old);
	size_t old_size = class ? class->piece : malloc_usable_size(old);
	void *piece = class ? NULL : realloc(old, size ? size : 1);

	if (piece)
		return piece;
	if (class && size <= class->piece)
		return old;
	piece = spare_malloc(size);
	if (!piece)
		return NULL;
	if (old)
		memcpy(piece, old, old_size < size ? old_size : size);
	spare_free(old);
	return piece;
}
