/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error: messages for the user, returned to proxy/, the only part that prints.
 *
 * `struct error` holds one sentence about one value. `struct complaints` collects the errors and notes of
 * reading a whole configuration, each with the place that it is about, so that all of them are reported and
 * not only the first.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stddef.h>
#include <stdio.h>

struct error {
	char text[400];
};

/* Fills the error and returns -1, so that a caller can `return error_set(…)`. */
int error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum complaint_kind { COMPLAINT_ERROR, COMPLAINT_NOTE };

/* The place of something: file and line (0: the command line), and the section as "link default" (or
 * NULL). */
struct place {
	const char *file;
	int line;
	const char *section;
	const char *key; /* NULL: the section as a whole, or the line */
};

struct complaints;

struct complaints *complaints_new(void);
void complaints_free(struct complaints *complaints);
void complaints_add(struct complaints *complaints, enum complaint_kind kind, const struct place *place,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
size_t complaints_count(const struct complaints *complaints, enum complaint_kind kind);

/* Prints every complaint, one per line, ordered by file (in the order in which files were first named),
 * then by line. */
void complaints_print(struct complaints *complaints, FILE *out);

/* Appends only the errors, one per line, without file and line: for a setting that did not come from a
 * file. */
struct text;
void complaints_errors(const struct complaints *complaints, struct text *out);

/* Returns the text of complaint `index`, in the order in which they were added, without its place; or
 * NULL. */
const char *complaints_text(const struct complaints *complaints, size_t index);

#endif
