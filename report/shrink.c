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

/* Of what is in, part `at`: alone, or all but it. */
static void choose(struct shrink *shrink)
{
	size_t from = shrink->left * shrink->at / shrink->parts,
	       to = shrink->left * (shrink->at + 1) / shrink->parts;

	for (size_t i = 0, place = 0; i < shrink->count; i++) {
		bool within = shrink->in[i] && place >= from && place < to;

		shrink->tried[i] = shrink->in[i] && within == shrink->alone;
		place += shrink->in[i];
	}
}

const bool *shrink_next(struct shrink *shrink)
{
	while (shrink->left > 1) {
		if (shrink->at < shrink->parts) {
			choose(shrink);
			return shrink->tried;
		}
		if (shrink->alone && shrink->parts > 2) { /* of two halves, all but one is the other */
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
