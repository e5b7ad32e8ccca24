/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/dictionary.h"
#include "base/memory.h"
#include "base/text.h"

#define PIECE_SIZE                                                                                           \
	4096 /* names; a piece never moves, so that other threads can read it while it is filled             \
	      */
#define PIECE_COUNT ((NAMES_MAX + 1) / PIECE_SIZE)

struct names {
	struct arena *arena;
	const char **pieces[PIECE_COUNT];
	struct dictionary numbers; /* number of each name, cast to a pointer */
	uint32_t count;
};

struct names *names_new(void)
{
	struct names *names = memory_new(1, sizeof(*names));

	names->arena = arena_new();
	names->pieces[0] = memory_new(PIECE_SIZE, sizeof(*names->pieces[0]));
	names->pieces[0][0] = "";
	names->count = 1;
	return names;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	arena_free(names->arena);
	dictionary_free(&names->numbers);
	for (size_t i = 0; i < PIECE_COUNT; i++)
		free(names->pieces[i]);
	free(names);
}

uint32_t names_add(struct names *names, const char *head, const char *name)
{
	struct text whole = {0};
	uint32_t number;

	text_add(&whole, "%s%s", head, name);
	number = (uint32_t)(uintptr_t)dictionary_get(&names->numbers, NULL, whole.at);
	if (!number && names->count <= NAMES_MAX) {
		const char *copy = arena_text(names->arena, whole.at, whole.size);
		const char ***piece = &names->pieces[names->count / PIECE_SIZE];

		if (!*piece)
			*piece = memory_new(PIECE_SIZE, sizeof(**piece));
		dictionary_put(&names->numbers, NULL, copy, (void *)(uintptr_t)names->count);
		(*piece)[names->count % PIECE_SIZE] = copy;
		number = names->count++;
	}
	text_free(&whole);
	return number;
}

const char *names_get(const struct names *names, uint32_t number)
{
	return names->pieces[number / PIECE_SIZE][number % PIECE_SIZE];
}
