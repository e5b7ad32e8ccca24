/*
 * cache: what the processor fetches from memory, ahead of its use.
 */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE 64 /* bytes */

static inline void cache_fetch(const void *from, size_t size)
{
	const char *end = (const char *)from + size;

	for (const char *at = (const char *)from - (uintptr_t)from % CACHE_LINE; at < end; at += CACHE_LINE)
		__builtin_prefetch(at, 1, 3);
}

#endif
