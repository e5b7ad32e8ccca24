/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/shrink.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void shrink_init(struct shrink *shrink, size_t count)
{
	*shrink = (struct shrink){.count = count, .left = count, .parts = 2, .alone = true};
	shrink->in = memory_new(count + 1, 1);
	shrink->tried = memory_new(count + 1, 1);
	memset(shrink->in, true, count);
}

void shrink_fini(struct shrink *shrink)
{
	free(shrink->in);
	free(shrink->tried);
}

/* Fills `tried` with part `at` of the current set, or with all but that part. */
static void fill_tried(struct shrink *shrink)
{
	size_t from = shrink->left * shrink->at / shrink->parts,
	       to = shrink->left * (shrink->at + 1) / shrink->parts;

	for (size_t i = 0, position = 0; i < shrink->count; i++) {
		bool is_in_part = shrink->in[i] && position >= from && position < to;

		shrink->tried[i] = shrink->in[i] && is_in_part == shrink->alone;
		position += shrink->in[i];
	}
}

const bool *shrink_next(struct shrink *shrink)
{
	while (shrink->left > 1) {
		if (shrink->at < shrink->parts) {
			fill_tried(shrink);
			return shrink->tried;
		}
		/* With two halves, the complement of one is the other. */
		if (shrink->alone && shrink->parts > 2) {
			shrink->alone = false;
			shrink->at = 0;
			continue;
		}
		if (shrink->parts >= shrink->left)
			return NULL;
		shrink->parts = 2 * shrink->parts < shrink->left ? 2 * shrink->parts : shrink->left;
		shrink->alone = true;
		shrink->at = 0;
	}
	return NULL;
}

void shrink_answer(struct shrink *shrink, bool failed)
{
	if (!failed) {
		shrink->at++;
		return;
	}
	memcpy(shrink->in, shrink->tried, shrink->count);
	shrink->left = 0;
	for (size_t i = 0; i < shrink->count; i++)
		shrink->left += shrink->in[i];
	if (shrink->alone)
		shrink->parts = 2;
	else
		shrink->parts = shrink->parts > 3 ? shrink->parts - 1 : 2;
	shrink->alone = true;
	shrink->at = 0;
}
