/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ini files of real networks that are shipped with the program, found by name: listing them, and
 * resolving "profile:NAME" where an ini file names a link or a device.
 *
 * A profile is read into an ini of its own, and one of its sections is then added to the main ini under the
 * name "profile:NAME". A device is not added, because it would match sessions: it becomes a template that
 * only `like` can name.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ini_inside.h"
#include "base/memory.h"

#define PROFILE "profile:"

static int is_ini(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && dot != entry->d_name && strcmp(dot, ".ini") == 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **ini_profile_names(const char *folder, size_t *count)
{
	struct dirent **entries = NULL;
	int found = scandir(folder, &entries, is_ini, NULL);
	char **names = found < 0 ? NULL : memory_new((size_t)found + 1, sizeof(*names));

	*count = 0;
	for (int i = 0; i < found; i++) {
		if (names)
			names[(*count)++] = memory_text(
			    entries[i]->d_name, strlen(entries[i]->d_name) - strlen(".ini"));
		free(entries[i]);
	}
	free(entries);
	if (names)
		qsort(names, *count, sizeof(*names), compare_names);
	return names;
}

static void suggest_profile(const struct ini *ini, const char *written, const struct place *place)
{
	size_t count;
	char **names = ini_profile_names(ini->profile_dir ? ini->profile_dir : ".", &count);
	const char *nearest = text_nearest(written, (const char *const *)names, count);

	if (nearest)
		complaints_add(ini->complaints, COMPLAINT_ERROR, place,
		    "there is no profile `%s`; did you mean `%s`?", written, nearest);
	else
		complaints_add(ini->complaints, COMPLAINT_ERROR, place,
		    "there is no profile `%s`; `deadzone profiles` lists them", written);
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

bool ini_is_profile(const char *value)
{
	return strncmp(value, PROFILE, sizeof(PROFILE) - 1) == 0;
}

const char *ini_profile_path(struct ini *ini, const char *value, const struct place *place)
{
	const char *name = value + sizeof(PROFILE) - 1, *result = NULL;
	struct text path = {0};

	text_add(&path, "%s/%s.ini", ini->profile_dir ? ini->profile_dir : ".", name);
	if (ini_name_is_valid(name) && access(path.at, F_OK) == 0)
		result = arena_text(ini->arena, path.at, path.size);
	else
		suggest_profile(ini, name, place);
	text_free(&path);
	return result;
}

void ini_link_alias(
    struct ini *ini, const struct section_kind *kind, const char *profile, struct ini_section *section)
{
	const char *name = profile + sizeof(PROFILE) - 1;

	if (!dictionary_get(&ini->by_name, kind, name))
		dictionary_put(&ini->by_name, kind, name, section);
}

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
