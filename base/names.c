#include "base/names.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"

struct names {
	struct arena *arena;
	const char *all[NAMES_MAX + 1];
	unsigned count;
};

struct names *names_new(void)
{
	struct names *names = calloc(1, sizeof(*names));

	assert(names);
	names->arena = arena_new();
	names->all[0] = "";
	names->count = 1;
	return names;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	arena_free(names->arena);
	free(names);
}

uint16_t names_add(struct names *names, const char *head, const char *name)
{
	struct text whole = {0};
	unsigned number;

	text_add(&whole, "%s%s", head, name);
	for (number = 1; number < names->count; number++)
		if (strcmp(names->all[number], whole.at) == 0)
			break;
	if (number == names->count && number <= NAMES_MAX) {
		names->all[number] = arena_text(names->arena, whole.at, whole.size);
		names->count++;
	}
	text_free(&whole);
	return number <= NAMES_MAX ? (uint16_t)number : 0;
}

const char *names_get(const struct names *names, uint16_t number)
{
	return names->all[number];
}
