/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/spare.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

union piece {
	union piece *next; /* of a piece that was freed */
	_Alignas(max_align_t) char bytes[SPARE_PIECE];
};

static union piece pieces[SPARE_COUNT]; /* the kernel gives it no memory before it is used */
static union piece *freed;
static size_t used; /* the first so many have been in use */

static bool is_spare(const void *piece)
{
	uintptr_t at = (uintptr_t)piece, first = (uintptr_t)pieces;

	return at >= first && at < first + sizeof(pieces);
}

static void *take(size_t size)
{
	union piece *piece = freed;

	if (size > SPARE_PIECE)
		return NULL;
	if (piece)
		freed = piece->next;
	else if (used < SPARE_COUNT)
		piece = &pieces[used++];
	return piece;
}

void *spare_malloc(size_t size)
{
	void *piece = malloc(size);

	return piece ? piece : take(size);
}

void spare_free(void *piece)
{
	union piece *spare = piece;

	if (!is_spare(piece)) {
		free(piece);
		return;
	}
	spare->next = freed;
	freed = spare;
}

void *spare_realloc(void *old, size_t size)
{
	bool from_spare = is_spare(old);
	size_t old_size = from_spare ? SPARE_PIECE : malloc_usable_size(old);
	void *piece = from_spare ? NULL : realloc(old, size ? size : 1);

	if (piece)
		return piece;
	if (from_spare && size <= SPARE_PIECE)
		return old;
	piece = spare_malloc(size);
	if (!piece)
		return NULL;
	if (old)
		memcpy(piece, old, old_size < size ? old_size : size);
	spare_free(old);
	return piece;
}
