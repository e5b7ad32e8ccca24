/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regular: reads input files while traffic flows. Only regular files are accepted, so that reading never
 * blocks on another process.
 */
#ifndef BASE_REGULAR_H
#define BASE_REGULAR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

/* Opens `path` for reading, without blocking. If `may_wait`, a pipe or a terminal is accepted too. Returns
 * the descriptor, or -1 and sets *error. */
int regular_open(const char *path, bool may_wait, struct error *error);
/* Appends the rest of the file to `whole`, and closes it. Returns 0, or -1 and sets *error, also if there are
 * more than `max` bytes. */
int regular_read(int fd, const char *path, size_t max, struct text *whole, struct error *error);
/* Opens and reads a file, without waiting. */
int regular_load(const char *path, size_t max, struct text *whole, struct error *error);

#endif
