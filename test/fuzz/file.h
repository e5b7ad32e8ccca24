/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file: an input as a file that exists in memory only. The linker redirects the calls of open and the like
 * (--wrap, see wrapped.mk): the ones that concern this file are answered here, all others reach the system.
 */
#ifndef FUZZ_FILE_H
#define FUZZ_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Returns the path under which open finds these bytes, which must not change until it is closed. */
const char *file_of(const uint8_t *data, size_t size);
/* Returns a stream that discards what is written to it. */
FILE *file_nowhere(void);

#endif
