/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regular: input files that may be read while traffic flows, so only regular ones: reading them never blocks
 * on another process.
 */
#ifndef BASE_REGULAR_H
#define BASE_REGULAR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

/* A descriptor to read from, opened without waiting; -1 and why. `may_wait`: a pipe or a terminal will do. */
int regular_open(const char *path, bool may_wait, struct error *error);
/* Appends what is left to read, at most `most` bytes; -1 and why. */
int regular_read(int fd, const char *path, size_t max, struct text *whole, struct error *error);

#endif
