/* SPDX-License-Identifier: BSD-2-Clause */
/* ini_inside: what loading (ini_files.c) and reading ini files (ini_read.c), profiles (ini_profile.c), and
 * holding what was read (ini.c) share. */
#ifndef BASE_INI_INSIDE_H
#define BASE_INI_INSIDE_H

#include "base/arena.h"
#include "base/dictionary.h"
#include "base/ini.h"
#include "base/text.h"

#define INI_SETTINGS "--set" /* stands for the file of settings on top */
#define INI_LIVE "(live)"    /* … and of those that are confined */

/* Which files may be read. */
enum ini_trust {
	INI_REFUSED,
	INI_CONFINED, /* in or below the folders of the ini files */
	INI_REGULAR,
	INI_ANY /* a pipe too */
};

/* A file that was read, and where it was named. */
struct ini_file_read {
	const char *path, *named_in;
	int line;
};

struct ini {
	struct arena *arena;
	const struct section_kind *const *kinds;
	size_t kind_count;
	const char *profile_dir;
	struct complaints *complaints;
	struct ini_section **sections;
	size_t count;
	size_t *kind_counts;           /* sections of each kind */
	struct dictionary by_name;     /* sections; the space is their kind */
	struct dictionary templates;   /* those of profiles that only `like` names: they are no sections */
	bool includes_replaced;        /* those of the main file are not read */
	struct ini_section **settings; /* [proxy] of included files, the deepest first */
	size_t setting_count;
	struct dictionary files_read; /* struct ini_file_read, by "DEVICE:INODE" */
	enum ini_trust live;          /* of files that INI_LIVE names */
	const char *main_file;        /* the one that ini_read named; NULL: none */
	struct text text;
	struct ini_files *files; /* NULL: read from disk each time */
};

/* The file as it was known before, or as it is now, which is remembered. */
int ini_file_load(const struct ini *ini, struct arena *arena, const char *path, enum ini_trust trust,
    const char **text, size_t *size, struct error *error);
/* A path that a file names is relative to that file. */
const char *ini_path_beside(struct arena *arena, const char *file, const char *path);

/* ini_read.c */
struct ini_section *ini_section_new(
    struct ini *ini, const struct section_kind *kind, const char *name, const char *file, int line);
/* Reads one file into an ini that is empty. */
void ini_read_profile(struct ini *profile, const char *path, const struct place *named_at);

/* ini_profile.c */
/* Returns the path of "profile:NAME", or NULL after complaining that there is none. */
const char *ini_profile_path(struct ini *ini, const char *value, const struct place *place);
/* Makes the link known by the profile's own name, too, unless another link has it. */
void ini_link_alias(
    struct ini *ini, const struct section_kind *kind, const char *profile, struct ini_section *section);

/* ini.c */
/* Takes its place behind all others. */
void ini_section_add(struct ini *ini, struct ini_section *section);
void ini_entry_add(struct ini *ini, struct ini_section *section, const struct ini_entry *entry);

/* ini_suggest.c: what is wrong with a section or key that does not exist, and what may have been meant. */
void ini_suggest_section(const struct ini *ini, const char *written, struct text *out);
void ini_suggest_key(
    const struct ini *ini, const struct section_kind *kind, const char *written, struct text *out);

#endif
