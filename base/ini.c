/* SPDX-License-Identifier: BSD-2-Clause */
/* The sections and entries that were read, and inheritance between them. */
#include "base/ini.h"

#include <stdio.h>
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

/* ---- Inheritance ---- */

/* Returns true if the section's own entries override the inherited key: `loss` overrides an inherited
 * `loss`, `up.loss` and `down.loss`; `up.loss` only an inherited `up.loss`. */
static bool is_overridden(const struct ini_section *section, size_t own_count, const char *inherited)
{
	int way, own_way;
	const struct key *key = keys_find(section->kind, inherited, &way);

	for (size_t i = 0; i < own_count; i++)
		if (keys_find(section->kind, section->entries[i].key, &own_way) == key &&
		    (own_way == -1 || own_way == way))
			return true;
	return strcmp(inherited, "like") == 0;
}

static void inherit_entries(struct ini *ini, struct ini_section *section, const struct ini_section *from)
{
	size_t own_count = section->entry_count;

	for (size_t i = 0; i < from->entry_count; i++) {
		struct ini_entry entry = from->entries[i];

		if (is_overridden(section, own_count, entry.key))
			continue;
		entry.inherited = true;
		ini_entry_add(ini, section, &entry);
	}
}

enum visit { VISIT_NEW, VISIT_RUNNING, VISIT_DONE };

static void inherit_section(struct ini *ini, struct ini_section *section, enum visit *visits, unsigned depth)
{
	const struct ini_entry *like = ini_entry(section, "like");
	enum visit *visit = &visits[section->position];
	struct ini_section *from, *template;

	if (*visit == VISIT_DONE || !like) {
		*visit = VISIT_DONE;
		return;
	}
	*visit = VISIT_RUNNING;
	from = dictionary_get(&ini->by_name, section->kind, like->value);
	template = dictionary_get(&ini->templates, section->kind, like->value);
	if (template) {
		inherit_entries(ini, section, template);
	} else if (!from) {
		ini_complain(
		    section, like, ini->complaints, "there is no [%s %s]", section->kind->name, like->value);
	} else if (visits[from->position] == VISIT_RUNNING) {
		ini_complain(
		    section, like, ini->complaints, "runs in a circle; a section cannot be like itself");
	} else if (depth == INI_LIKES_MAX) {
		ini_complain(
		    section, like, ini->complaints, "leads through more than %d sections", INI_LIKES_MAX);
	} else {
		inherit_section(ini, from, visits, depth + 1);
		inherit_entries(ini, section, from);
	}
	*visit = VISIT_DONE;
}

void ini_inherit(struct ini *ini)
{
	enum visit *visits;

	ini_profiles_read(ini);
	visits = arena_get(ini->arena, (ini->count + 1) * sizeof(*visits));
	for (size_t i = 0; i < ini->count; i++)
		inherit_section(ini, ini->sections[i], visits, 0);
}

bool ini_is_main_file(const struct ini *ini, const char *file)
{
	return ini->main_file && strcmp(file, ini->main_file) == 0;
}
