/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ini: the text of ini files, with the place of every line.
 *
 * inih splits lines into sections, keys and values; but it truncates what is too long and ignores what it
 * does not understand, so the syntax of each line is checked here first and only valid lines reach it. The
 * tables of keys serve to report unknown sections and keys, keys given twice and empty values. The readers of
 * the keys check the values.
 *
 * Order of calls: ini_read_sources; or ini_new, ini_read once or more, ini_set for each `--set`, ini_inherit.
 * Then read the sections; ini_free. Everything returned lives until ini_free.
 */
#ifndef BASE_INI_H
#define BASE_INI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ini_section.h"
#include "base/error.h"
#include "base/keys.h"

#define INI_LINE_MAX 198         /* bytes of a line: inih 55 of Debian would truncate a longer one */
#define INI_SECTION_MAX 49       /* bytes between [ and ] */
#define INI_FILE_MAX (64u << 20) /* bytes of a file */
#define INI_FILES_MAX 1000       /* of one configuration */
#define INI_LIKES_MAX 1000       /* sections that a `like` may lead through */

struct ini;
struct ini_files;

/* Which files a setting from an untrusted source may name. */
enum ini_live {
	INI_LIVE_CONFINED, /* from the API: files in or below the folders of the ini files that were read; for
	                      any other path the error is the same, so that it reveals nothing */
	INI_LIVE_REFUSED,  /* from a capture: none */
	INI_LIVE_ANY       /* from a capture, with --live-files: any */
};

/* All that a configuration is made from. The caller owns everything. */
struct ini_sources {
	const char *file;            /* NULL: none */
	const char *const *overlays; /* files whose keys replace those of `file`, in order */
	size_t overlay_count;
	const char *const *sets; /* settings from the command line */
	size_t set_count;
	const char *const *patches; /* further settings, made during the run */
	size_t patch_count;
	enum ini_live live_files; /* which files `patches` may name */
	struct ini_files *files;  /* file contents as first read; NULL: read from disk */
};

/* Makes an ini of all of these, with what sections inherit. See ini_new for the other parameters. */
struct ini *ini_read_sources(const struct ini_sources *sources, const struct section_kind *const *kinds,
    size_t kind_count, const char *profile_dir, struct complaints *complaints);

/* `profile_dir`: the folder in which `include = profile:NAME` looks; NULL: there are no profiles. */
struct ini *ini_new(const struct section_kind *const *kinds, size_t kind_count, const char *profile_dir,
    struct complaints *complaints);
void ini_free(struct ini *ini);

/* Contents of files as they were when first read: an ini with them among its sources reads each path from
 * disk only once, so that one setting can be changed without picking up other changes on disk. They must
 * outlive the ini. Only regular files are read, which never blocks on another process; but the file passed to
 * ini_read may be a pipe, which can be read once. */
struct ini_files *ini_files_new(void);
void ini_files_free(struct ini_files *files);
/* Visits the path of each. */
typedef void ini_files_visitor(void *user, const char *path);
void ini_files_visit(const struct ini_files *files, ini_files_visitor *visit, void *user);

void ini_read(struct ini *ini, const char *path);
/* ini_read from memory, for tests and fuzzing; `name` is used as the name of the file. */
void ini_read_text(struct ini *ini, const char *name, const char *text, size_t size);
/* Applies "[SECTION] KEY = VALUE", which replaces all values of that key. */
void ini_set(struct ini *ini, const char *assignment);
/* Reads another file on top: each of its keys replaces the same key, and its `up.` and `down.` forms, of what
 * was read before. Sections that are new come last. Call it between ini_read and ini_set. */
void ini_overlay(struct ini *ini, const char *path);
/* Reads the profiles that sections name, and applies `like` in every section that has it. */
void ini_inherit(struct ini *ini);

size_t ini_count(const struct ini *ini);
const struct ini_section *ini_section(const struct ini *ini, size_t index);
const struct ini_section *ini_find(const struct ini *ini, const char *kind, const char *name);
/* Returns how many sections of its kind precede `section`: its index in an array of that kind. */
size_t ini_index(const struct ini *ini, const struct ini_section *section);

/* Returns the texts of all files read, each after a line with its name, followed by the settings. */
const char *ini_text(const struct ini *ini);

/* Returns the names of the profiles in a folder, sorted; the caller frees each name and the list. Returns
 * NULL and sets *count to 0 if the folder cannot be read. */
char **ini_profile_names(const char *folder, size_t *count);
/* Returns true if the value is "profile:NAME". */
bool ini_is_profile(const char *value);

/* Reads the file `path`, which the value of `reading->entry` names, relative to the entry's own file. The
 * text lives as long as the arena of `reading` or, with ini_sources.files, as long as those files. Returns 0,
 * or -1 and sets `reading->error`. */
int ini_load(struct reading *reading, const char *path, const char **text, size_t *size);

/* Returns true if `name` consists of letters, digits, `.`, `_` and `-`, as names of sections must. */
bool ini_name_is_valid(const char *name);
/* Returns true for the file that ini_read was called with, false for one that it includes. */
bool ini_is_main_file(const struct ini *ini, const char *file);

#endif
