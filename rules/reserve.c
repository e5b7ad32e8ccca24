/* SPDX-License-Identifier: BSD-2-Clause */
#include "rules/reserve.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool reserve_fill(struct reserve *reserve)
{
	while (reserve->count < RESERVE_BLOCKS) {
		void *block = malloc(RESERVE_BLOCK);

		if (!block)
			return false;
		reserve->blocks[reserve->count++] = block;
	}
	return true;
}

void *reserve_alloc(struct reserve *reserve, size_t size)
{
	void *memory = calloc(1, size);

	if (memory || !reserve->count)
		return memory;
	assert(size <= RESERVE_BLOCK);
	memory = reserve->blocks[--reserve->count];
	memset(memory, 0, size);
	return memory;
}

void reserve_free(struct reserve *reserve)
{
	while (reserve->count)
		free(reserve->blocks[--reserve->count]);
}
