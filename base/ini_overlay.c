/* SPDX-License-Identifier: BSD-2-Clause */
/* ini_overlay: a file whose keys replace those of the files read before it. */
#include <string.h>

#include "base/ini_inside.h"

/* Removes the entries that `key` replaces: its own, and those with `up.` or `down.` if it has neither. */
static void drop_replaced(struct ini_section *section, const char *key)
{
	int way, other_way;
	const struct key *row = keys_find(section->kind, key, &way);
	size_t kept = 0;

	for (size_t i = 0; i < section->entry_count; i++)
		if (keys_find(section->kind, section->entries[i].key, &other_way) != row ||
		    (way != -1 && other_way != way))
			section->entries[kept++] = section->entries[i];
	section->entry_count = kept;
}

static void lay_section(struct ini *ini, const struct ini_section *from)
{
	struct ini_section *to = dictionary_get(&ini->by_name, from->kind, from->name);

	if (!to) {
		to = ini_section_new(ini, from->kind, from->name, from->file, from->line);
		ini_section_add(ini, to);
	}
	/* All are dropped before the first is added: a key that may be repeated has several values. */
	for (size_t i = 0; i < from->entry_count; i++)
		drop_replaced(to, from->entries[i].key);
	for (size_t i = 0; i < from->entry_count; i++)
		if (strcmp(from->entries[i].key, "include") != 0)
			ini_entry_add(ini, to, &from->entries[i]);
}

void ini_overlay(struct ini *ini, const char *path)
{
	/* It shares the arena: what it holds lives as long as the sections that are made from it. */
	struct ini *top = ini_new(ini->kinds, ini->kind_count, ini->profile_dir, ini->complaints);
	struct place place = {.file = INI_SETTINGS};
	const char *file = ini_is_profile(path) ? ini_profile_path(ini, path, &place) : path;

	if (file) {
		struct arena *own = top->arena;

		top->arena = ini->arena;
		top->files = ini->files;
		ini_read(top, file);
		top->arena = own;
		for (size_t i = 0; i < top->count; i++)
			lay_section(ini, top->sections[i]);
		text_add_bytes(&ini->text, top->text.at, top->text.size);
	}
	ini_free(top);
}
