/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ini: the text of ini files, read whole, with the place of every line.
 *
 * inih splits lines into sections, keys and values; but it cuts what is too long and passes over what it does
 * not understand, so the shape of each line is checked here first and only sound lines reach it. Structure is
 * checked by the tables of keys: unknown sections and keys, keys given twice, empty values. Values are the
 * keys' affair.
 *
 * Calls: ini_new, ini_read once or more, ini_set for each `--set`, ini_inherit, then read the sections;
 * ini_free. Everything handed out lives until ini_free.
 */
#ifndef BASE_INI_H
#define BASE_INI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ini_section.h"
#include "base/error.h"
#include "base/keys.h"

#define INI_LINE_MAX 198         /* bytes of a line: inih 55 of Debian would cut a longer one */
#define INI_SECTION_MAX 49       /* bytes between [ and ] */
#define INI_FILE_MAX (64u << 20) /* bytes of a file */
#define INI_FILES_MAX 1000       /* of one configuration */
#define INI_LIKES_MAX 1000       /* sections that a `like` may lead through */

struct ini;

/* `profile_dir`: where `include = profile:NAME` looks; NULL: there are none. */
struct ini *ini_new(const struct section_kind *const *kinds, size_t kind_count, const char *profile_dir,
    struct complaints *complaints);
void ini_free(struct ini *ini);

/* Files as they were when they were first read: an ini that uses them reads each path from disk once only, so
 * that one setting can be changed without taking in what has changed on disk meanwhile. They must outlive the
 * ini. Only regular files are read, without waiting for what another process does with them; the file that
 * ini_read names may be a pipe, which can be read once. */
struct ini_files;
struct ini_files *ini_files_new(void);
void ini_files_free(struct ini_files *files);
void ini_use_files(struct ini *ini, struct ini_files *files);
/* Is this file one of them? */
bool ini_files_hold(const struct ini_files *files, const char *path);

void ini_read(struct ini *ini, const char *path);
/* Reads the profiles that the links, devices and actions read so far name: "profile:NAME". ini_inherit does
 * so, too. */
void ini_profiles_read(struct ini *ini);
/* The same from memory, for tests and fuzzing; `name` stands for the file. */
void ini_read_text(struct ini *ini, const char *name, const char *text, size_t size);
/* "[SECTION] KEY = VALUE": replaces all values of that key. */
void ini_set(struct ini *ini, const char *assignment);
/* Is it about what the main file includes? Then, before that is read: its own includes are not. */
bool ini_replaces_includes(const char *assignment);
void ini_replace_includes(struct ini *ini);
/* The same for an assignment from an untrusted source, and the files that it may name. */
enum ini_live {
	INI_LIVE_CONFINED, /* from the API: files in or below the folders of the ini files that were read;
	                      for any other path the error is the same, so that it reveals nothing */
	INI_LIVE_REFUSED,  /* from a capture: none */
	INI_LIVE_ANY       /* from a capture, with --live-files: any */
};
void ini_set_live(struct ini *ini, const char *assignment, enum ini_live files);
/* Carries out `like` in every section that has it. */
void ini_inherit(struct ini *ini);

size_t ini_count(const struct ini *ini);
const struct ini_section *ini_section(const struct ini *ini, size_t index);
const struct ini_section *ini_find(const struct ini *ini, const char *kind, const char *name);
/* How many sections of this kind stand before `section`: its index in an array of its kind. */
size_t ini_index(const struct ini *ini, const struct ini_section *section);

/* The texts of all files read, each behind a line that names it, and the settings on top. */
const char *ini_text(const struct ini *ini);

/* The names of the profiles in a folder, sorted; free each and the list. NULL and 0 where it cannot be read.
 */
char **ini_profile_names(const char *folder, size_t *count);
/* Returns true if the value is "profile:NAME". */
bool ini_is_profile(const char *value);

/* Reads the file that `entry`'s value names, relative to the entry's own file; the text lives as long as the
 * ini. */
int ini_load(struct reading *reading, const char *path, const char **text, size_t *size);

/* A section's name has letters, digits, `.`, `_` and `-`. */
bool ini_name_sound(const char *name);
/* The file that was given, not one that it includes; settings count as such. */
bool ini_is_main_file(const struct ini *ini, const char *file);

#endif
