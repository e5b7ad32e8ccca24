/* ini_inside: what reading ini files (ini_read.c) and holding what was read (ini.c) share. */
#ifndef BASE_INI_INSIDE_H
#define BASE_INI_INSIDE_H

#include "base/arena.h"
#include "base/ini.h"
#include "base/text.h"

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

struct ini_section *ini_find_in(
    struct ini_section **sections, size_t count, const struct section_kind *kind, const char *name);
struct place ini_place(const struct ini_section *section, const struct ini_entry *entry);
void ini_entry_add(struct ini *ini, struct ini_section *section, const struct ini_entry *entry);

#endif
