/* ini_inside: what loading (ini_files.c) and reading ini files (ini_read.c), and holding what was read
 * (ini.c) share. */
#ifndef BASE_INI_INSIDE_H
#define BASE_INI_INSIDE_H

#include "base/arena.h"
#include "base/ini.h"
#include "base/text.h"

#define INI_SETTINGS "--set" /* stands for the file of settings on top */

struct ini {
	struct arena *arena;
	const struct section_kind *const *kinds;
	size_t kind_count;
	const char *profile_dir;
	struct complaints *complaints;
	struct ini_section **sections;
	size_t count;
	struct text text;
	struct ini_files *files; /* NULL: read from disk each time */
};

/* The file as it was known before, or as it is now, which is remembered. */
int ini_file_load(const struct ini *ini, struct arena *arena, const char *path, const char **text,
    size_t *size, struct error *error);
/* A path that a file names is relative to that file. */
const char *ini_path_beside(struct arena *arena, const char *file, const char *path);

struct ini_section *ini_find_in(
    struct ini_section **sections, size_t count, const struct section_kind *kind, const char *name);
struct place ini_place(const struct ini_section *section, const struct ini_entry *entry);
void ini_entry_add(struct ini *ini, struct ini_section *section, const struct ini_entry *entry);

#endif
