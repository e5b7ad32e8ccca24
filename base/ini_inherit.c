/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ini_inherit: what sections take from others: profiles that they name, and `like`.
 *
 * A profile is read into an ini of its own, and one of its sections is then added to the main ini under the
 * name "profile:NAME". A device is not added, because it would match sessions: it becomes a template that
 * only `like` can name.
 */
#include <string.h>

#include "base/ini_inside.h"

/* ---- Profiles that sections name ---- */

/* Returns the section that a profile stands for: [KIND default], or the only one of that kind. */
static struct ini_section *find_profile_section(const struct ini *profile, const struct section_kind *kind)
{
	struct ini_section *only = NULL;
	size_t count = 0;

	for (size_t i = 0; i < profile->count; i++) {
		struct ini_section *section = profile->sections[i];

		if (section->kind != kind)
			continue;
		if (strcmp(section->name, "default") == 0)
			return section;
		only = section;
		count++;
	}
	return count == 1 ? only : NULL;
}

static void add_profile_section(struct ini *ini, struct ini_section *section)
{
	if (strcmp(section->kind->name, "link") == 0) {
		ini_section_add(ini, section);
		ini_link_alias(ini, section->kind, section->name, section);
	} else {
		dictionary_put(&ini->templates, section->kind, section->name, section);
	}
}

/* Reads a profile and makes one of its sections available as "profile:NAME". */
static void read_profile(
    struct ini *ini, const struct section_kind *kind, const char *word, const struct place *place)
{
	const char *path = ini_profile_path(ini, word, place);
	struct ini_section *named = ini_section_new(ini, kind, word, place->file, place->line);
	const struct ini_section *section;
	struct ini profile = {.arena = ini->arena,
	    .kinds = ini->kinds,
	    .kind_count = ini->kind_count,
	    .profile_dir = ini->profile_dir,
	    .complaints = ini->complaints,
	    .kind_counts = arena_get(ini->arena, (ini->kind_count + 1) * sizeof(size_t)),
	    .files = ini->files};

	if (path) {
		text_add_word(&profile.text, "");
		ini_read_profile(&profile, path, place);
		section = find_profile_section(&profile, kind);
		if (section) {
			named->file = section->file;
			named->line = section->line;
			named->entries = section->entries;
			named->entry_count = section->entry_count;
			text_add_bytes(&ini->text, profile.text.at, profile.text.size);
		} else {
			complaints_add(
			    ini->complaints, COMPLAINT_ERROR, place, "`%s` has no [%s]", word, kind->name);
		}
		text_free(&profile.text);
		dictionary_free(&profile.by_name);
		dictionary_free(&profile.files_read);
	}
	/* If it was not found it stays empty, so that it is not reported a second time. */
	add_profile_section(ini, named);
}

/* If an entry refers to a profile, returns "profile:NAME" and sets *kind to the kind of section it stands
 * for; else returns NULL. */
static const char *named_profile(const struct ini *ini, const struct ini_section *section,
    const struct ini_entry *entry, const struct section_kind **kind)
{
	const char *word = entry->value;

	*kind = keys_kind(ini->kinds, ini->kind_count, "link");
	if (strcmp(entry->key, "do") == 0) {
		if (strncmp(word, "link", 4) != 0)
			return NULL;
		word += 4 + strspn(word + 4, " \t");
	} else if (strcmp(entry->key, "like") == 0) {
		*kind = section->kind;
	} else if (strcmp(entry->key, "link") != 0) {
		return NULL;
	}
	return ini_is_profile(word) ? word : NULL;
}

void ini_profiles_read(struct ini *ini)
{
	for (size_t i = 0; i < ini->count; i++) /* read_profile may add sections */
		for (size_t k = 0; k < ini->sections[i]->entry_count; k++) {
			const struct ini_entry *entry = &ini->sections[i]->entries[k];
			const struct section_kind *kind;
			const char *word = named_profile(ini, ini->sections[i], entry, &kind);
			struct place place = ini_place(ini->sections[i], entry);

			if (word && kind && !dictionary_get(&ini->by_name, kind, word) &&
			    !dictionary_get(&ini->templates, kind, word))
				read_profile(ini, kind, word, &place);
		}
}

/* ---- like ---- */

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
