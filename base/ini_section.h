/* SPDX-License-Identifier: BSD-2-Clause */
/* ini_section: the entries of one section, with their places in the files, and complaints about them. */
#ifndef BASE_INI_SECTION_H
#define BASE_INI_SECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct section_kind;

struct ini_entry {
	const char *key, *value;
	const char *file; /* path as it was given; paths in `value` are relative to its folder */
	int line;
	bool inherited; /* copied from another section by `like` */
};

struct ini_section {
	const struct section_kind *kind;
	const char *name;  /* "" if sections of this kind have no name */
	const char *title; /* "link default" */
	size_t index;      /* among sections of its kind */
	size_t position;   /* among all sections */
	const char *file;
	int line;
	struct ini_entry *entries;
	size_t entry_count;
};

/* Returns the last entry with this key, or NULL. */
const struct ini_entry *ini_entry(const struct ini_section *section, const char *key);
struct place ini_place(const struct ini_section *section, const struct ini_entry *entry);

void ini_complain(const struct ini_section *section, const struct ini_entry *entry,
    struct complaints *complaints, const char *format, ...) __attribute__((format(printf, 4, 5)));
void ini_note(const struct ini_section *section, const struct ini_entry *entry, struct complaints *complaints,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
