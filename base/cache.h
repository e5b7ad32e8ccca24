/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache: what the processor fetches from memory, ahead of its use.
 */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE 64 /* bytes */

/* The lines with the bytes from `from` to `end` of what begins with a line. */
static inline __attribute__((always_inline)) void cache_fetch(const void *what, size_t from, size_t end)
{
#pragma GCC unroll 16
	for (size_t at = from - from % CACHE_LINE; at < end; at += CACHE_LINE)
		__builtin_prefetch((const char *)what + at, 1, 3);
}

#endif
