/* SPDX-License-Identifier: BSD-2-Clause */
/* ini_lines: the lines of one file or setting, on their way into sections; for the files of ini alone. */
#ifndef BASE_INI_LINES_H
#define BASE_INI_LINES_H

#include "base/ini_inside.h"

#define INI_DEPTH_MAX 16 /* nested includes */

/* The state of reading one file, or one setting. */
struct ini_lines {
	struct ini *ini;
	const char *name;
	const char *next, *end; /* the part of its text that was not read yet */
	int line;
	struct ini_section **sections; /* its sections, added to the ini after those of its includes */
	size_t count;
	struct dictionary by_name;
	struct ini_section *section;      /* the current section; NULL before the first */
	bool skip;                        /* in a section with an invalid header: its keys are ignored */
	const char *stack[INI_DEPTH_MAX]; /* ids of this file and of those that include it */
	size_t depth;
};

/* Complain about the current line, or about a key in it. */
void ini_complain_line(struct ini_lines *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ini_complain_key(struct ini_lines *file, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks the syntax of a `[section]` line and stores what is between its brackets in `inside`, which has room
 * for INI_SECTION_MAX + 1 bytes. Returns false after complaining. */
bool ini_check_header(struct ini_lines *file, const char *line, char *inside);
/* Parses a header "link default" (without its brackets). Returns its kind and sets *name, or complains and
 * returns NULL. */
const struct section_kind *ini_parse_header(struct ini_lines *file, const char *inside, const char **name);
/* Checks the syntax of a `key = value` line. Returns false after complaining. */
bool ini_check_assignment(struct ini_lines *file, const char *line);
/* Handles one assignment, as parsed by inih. Always returns 1: it complains about errors itself. */
int ini_handle_assignment(void *user, const char *section, const char *name, const char *value);

/* Returns the text without the blanks around it. */
char *ini_trim(struct arena *arena, const char *text);

/* ini_read.c */
/* Reads the files that an `include` names. */
void ini_read_includes(struct ini_lines *file, struct ini_section *section, const struct ini_entry *entry);
/* Adds the keys of the [proxy] sections of included files that the main file's [proxy] lacks. */
void ini_merge_settings(struct ini *ini);

#endif
