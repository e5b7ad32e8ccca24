/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena: memory that is given back all at once, for what is built whole and then only read (a configuration).
 *
 * Memory comes zeroed. Out of memory ends the process by assert: an arena serves set-up, never traffic.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena);
void *arena_get(struct arena *arena, size_t size);
char *arena_text(struct arena *arena, const char *text, size_t size);

/* Room for one more element behind `count` elements of `size` bytes; gives the array, which may have moved.
 */
void *arena_grow(struct arena *arena, void *array, size_t count, size_t size);

#endif
