/* SPDX-License-Identifier: BSD-2-Clause */
/* ini_profile: the ini files of real networks that are shipped with the program, found by name. */
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
