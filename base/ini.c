/* SPDX-License-Identifier: BSD-2-Clause */
/* ini: the sections and entries that were read. */
#include "base/ini.h"

#include <ctype.h>
#include <string.h>

#include "base/ini_inside.h"

struct ini *ini_new(const struct section_kind *const *kinds, size_t kind_count, const char *profile_dir,
    struct complaints *complaints)
{
	struct arena *arena = arena_new();
	struct ini *ini = arena_get(arena, sizeof(*ini));

	*ini = (struct ini){.arena = arena,
	    .kinds = kinds,
	    .kind_count = kind_count,
	    .profile_dir = profile_dir,
	    .complaints = complaints,
	    .kind_counts = arena_get(arena, (kind_count + 1) * sizeof(size_t))};
	text_add(&ini->text, "%s", "");
	return ini;
}

void ini_free(struct ini *ini)
{
	if (!ini)
		return;
	text_free(&ini->text);
	dictionary_free(&ini->by_name);
	dictionary_free(&ini->templates);
	dictionary_free(&ini->files_read);
	arena_free(ini->arena);
}

size_t ini_count(const struct ini *ini)
{
	return ini->count;
}

const struct ini_section *ini_section(const struct ini *ini, size_t index)
{
	return ini->sections[index];
}

const char *ini_text(const struct ini *ini)
{
	return ini->text.at;
}

const struct ini_section *ini_find(const struct ini *ini, const char *kind, const char *name)
{
	return dictionary_get(&ini->by_name, keys_kind(ini->kinds, ini->kind_count, kind), name);
}

size_t ini_index(const struct ini *ini, const struct ini_section *section)
{
	(void)ini;
	return section->index;
}

bool ini_name_is_valid(const char *name)
{
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	return true;
}

struct ini_section *ini_section_new(
    struct ini *ini, const struct section_kind *kind, const char *name, const char *file, int line)
{
	struct ini_section *section = arena_get(ini->arena, sizeof(*section));
	struct text title = {0};

	text_add(&title, *name ? "%s %s" : "%s", kind->name, name);
	*section = (struct ini_section){.kind = kind,
	    .name = arena_text(ini->arena, name, strlen(name)),
	    .title = arena_text(ini->arena, title.at, title.size),
	    .file = file,
	    .line = line};
	text_free(&title);
	return section;
}

void ini_section_add(struct ini *ini, struct ini_section *section)
{
	size_t kind = 0;

	while (ini->kinds[kind] != section->kind)
		kind++;
	section->index = ini->kind_counts[kind]++;
	section->position = ini->count;
	ini->sections = arena_grow(ini->arena, ini->sections, ini->count, sizeof(struct ini_section *));
	ini->sections[ini->count++] = section;
	dictionary_put(&ini->by_name, section->kind, section->name, section);
}

void ini_entry_add(struct ini *ini, struct ini_section *section, const struct ini_entry *entry)
{
	section->entries = arena_grow(
	    ini->arena, section->entries, section->entry_count, sizeof(*section->entries));
	section->entries[section->entry_count++] = *entry;
}

bool ini_is_main_file(const struct ini *ini, const char *file)
{
	return ini->main_file && strcmp(file, ini->main_file) == 0;
}
