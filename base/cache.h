/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache: prefetching of memory that is about to be used.
 */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE 64 /* bytes */

/* Prefetches, for writing, the cache lines that hold bytes `from` to `end` of `start`, which must begin at
 * a cache line. */
static inline __attribute__((always_inline)) void cache_prefetch(const void *start, size_t from, size_t end)
{
#pragma GCC unroll 16
	for (size_t offset = from - from % CACHE_LINE; offset < end; offset += CACHE_LINE)
		__builtin_prefetch((const char *)start + offset, 1, 3);
}

#endif
