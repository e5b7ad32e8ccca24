/*
 * cache: what the processor fetches from memory, ahead of its use.
 */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include <stddef.h>

#define CACHE_LINE 64 /* bytes */

static inline void cache_fetch(const void *from, size_t size)
{
	for (size_t at = 0; at < size; at += CACHE_LINE)
		__builtin_prefetch((const char *)from + at, 1, 2);
}

#endif
