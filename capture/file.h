/*
 * file: where a capture goes: names, rotation, and writing whole blocks or nothing.
 *
 * A name's strftime patterns are expanded when the file is opened; a later file whose name would be the same
 * gets -2, -3 … before its extension. What cannot be written whole is taken back, so that a file always ends
 * with a whole block.
 */
#ifndef CAPTURE_FILE_H
#define CAPTURE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/ns.h"

struct file;

/* `name` of "-" is standard output. `keep`: how many files stay, 0: all. */
struct file *file_new(const char *name, unsigned keep);
void file_free(struct file *file);

/* Opens the next file (the first, or after file_close); `at` is the wall clock for its name. */
int file_open(struct file *file, ns_t at, struct error *error);
bool file_is_open(const struct file *file);
/* Its name was taken away: what is written goes nowhere. The next file_open takes the same name again. */
bool file_is_gone(const struct file *file);
/* Writes all or nothing; -1 and the reason where nothing was written. */
int file_write(struct file *file, const void *bytes, size_t size, struct error *error);
void file_close(struct file *file);

const char *file_name(const struct file *file); /* of the one open or opened last */
uint64_t file_size(const struct file *file);
bool file_is_stream(const struct file *file); /* standard output: nothing to rotate */
bool file_has_pattern(const struct file *file);

#endif
