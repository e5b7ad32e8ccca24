/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ini_inside: shared by the parts of ini, from the top down:
 *
 *   ini_sources.c   all that a configuration is made from, in order
 *   ini_overlay.c   a file on top of others         ini_inherit.c  profiles that sections name; `like`
 *   ini_set.c       settings on top of the files
 *   ini_read.c      files and what they include
 *   ini_lines.c     the syntax of each line         ini_suggest.c  what could have been meant
 *   ini_profile.c   profiles, found by name         ini_files.c    contents of files
 *   ini.c           the sections that were read
 */
#ifndef BASE_INI_INSIDE_H
#define BASE_INI_INSIDE_H

#include "base/arena.h"
#include "base/dictionary.h"
#include "base/ini.h"
#include "base/text.h"

#define INI_SETTINGS "--set" /* used as the file name of settings made with ini_set */
#define INI_LIVE "(live)"    /* … and of those made with ini_set_live */

/* Which files may be read, from the fewest to all. */
enum ini_trust {
	INI_REFUSED,
	INI_CONFINED, /* in or below the folders of the ini files */
	INI_REGULAR,
	INI_ANY /* a pipe too */
};

/* A file that was read, and the place that named it. */
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
	struct dictionary by_name;     /* sections by name; the space is their kind */
	struct dictionary templates;   /* sections of profiles, for `like` only */
	bool includes_replaced;        /* the includes of the main file are ignored */
	struct ini_section **settings; /* [proxy] sections of included files, the deepest first */
	size_t setting_count;
	struct dictionary files_read; /* struct ini_file_read, by "DEVICE:INODE" */
	enum ini_trust live;          /* for files that INI_LIVE settings name */
	const char *main_file;        /* the file that ini_read was called with; NULL: none */
	struct text text;
	struct ini_files *files; /* NULL: each file is read from disk each time */
};

/* Loads a file: its remembered contents if it was loaded before, else from disk, which is then remembered.
 * Returns 0, or -1 and sets *error. */
int ini_file_load(const struct ini *ini, struct arena *arena, const char *path, enum ini_trust trust,
    const char **text, size_t *size, struct error *error);
/* Returns `path`, as named in `file`, relative to the folder of that file. */
const char *ini_path_beside(struct arena *arena, const char *file, const char *path);

/* ini_read.c */
/* Reads one file into `profile`, which must be empty. */
void ini_read_profile(struct ini *profile, const char *path, const struct place *named_at);

/* ini_files.c */
/* Makes the ini read files that were loaded before from their remembered contents. */
void ini_use_files(struct ini *ini, struct ini_files *files);

/* ini_set.c */
/* Returns true if the assignment sets the includes of the main file. If so, call ini_replace_includes before
 * reading that file: its own includes are then ignored. */
bool ini_replaces_includes(const char *assignment);
void ini_replace_includes(struct ini *ini);
/* ini_set for an assignment from an untrusted source; `files` says which files it may name. */
void ini_set_live(struct ini *ini, const char *assignment, enum ini_live files);

/* ini_inherit.c */
/* Reads the profiles that the links, devices and actions read so far refer to as "profile:NAME". ini_inherit
 * does this, too. */
void ini_profiles_read(struct ini *ini);

/* ini_profile.c */
/* Returns the path of "profile:NAME", or NULL after complaining that there is none. */
const char *ini_profile_path(struct ini *ini, const char *value, const struct place *place);
/* Makes `section`, a link, available by the profile's own name too, unless another link has that name. */
void ini_link_alias(
    struct ini *ini, const struct section_kind *kind, const char *profile, struct ini_section *section);

/* ini.c */
struct ini_section *ini_section_new(
    struct ini *ini, const struct section_kind *kind, const char *name, const char *file, int line);
/* Adds a section after all others. */
void ini_section_add(struct ini *ini, struct ini_section *section);
void ini_entry_add(struct ini *ini, struct ini_section *section, const struct ini_entry *entry);

/* ini_suggest.c: append a message about a section or key that does not exist, with a suggestion. */
void ini_suggest_section(const struct ini *ini, const char *written, struct text *out);
void ini_suggest_key(
    const struct ini *ini, const struct section_kind *kind, const char *written, struct text *out);

#endif
