/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena: memory that is freed all at once, for data that is built once and then only read (a configuration).
 *
 * Memory is zeroed. If memory runs out, the process ends (see base/memory.h): an arena is for set-up, never
 * for traffic.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena);
void *arena_get(struct arena *arena, size_t size);
char *arena_text(struct arena *arena, const char *text, size_t size);

/* Makes room for one more element after `count` elements of `size` bytes. Returns the array, which may
 * have moved. */
void *arena_grow(struct arena *arena, void *array, size_t count, size_t size);

#endif
