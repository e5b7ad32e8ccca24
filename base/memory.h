/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory: one policy for failed allocations.
 *
 * Set-up and the offline commands cannot continue without memory: the functions here never return NULL; they
 * end the process with a message and exit status 1. If something else must keep running (a proxy that gets a
 * reload or an HTTP request), memory_try turns that exit into the failure of one task.
 *
 * The datagram path uses plain malloc, and drops the datagram as `overload` when it returns NULL.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Returns zeroed memory; a product that overflows counts as a failed allocation. */
void *memory_new(size_t count, size_t size);
/* Returns memory that is not zeroed, for libraries that take a malloc. */
void *memory_malloc(size_t size);
void *memory_resize(void *old, size_t count, size_t size);
/* Returns a NUL-terminated copy of the first `size` bytes of `text`. */
char *memory_text(const char *text, size_t size);
/* Makes room for one more element in an array that doubles: it is full when `count` is a power of two, or
 * 0. Returns the array, which may have moved. */
void *memory_grow(void *array, size_t count, size_t size);

/* Called by the functions above when an allocation fails: returns to the innermost memory_try, or exits. */
void memory_out(void) __attribute__((noreturn));

/* Runs a task that may run out of memory. Returns false if it did: the task was then abandoned by longjmp,
 * and whatever it had allocated leaks. Calls may nest.
 *
 * So what outlives the task must be whole at each allocation: allocate first, then change it; or undo the
 * change and call memory_out again. A lock must not be held. */
bool memory_try(void (*task)(void *user), void *user);

/* If set, a text (base/text.h) that cannot grow is marked `failed`, and the thread goes on. It is set in
 * workers, and while the main thread does their work; memory_try clears it for its task. Returns what was set
 * before. */
bool memory_set_nonfatal(bool nonfatal);
bool memory_is_nonfatal(void);

#endif
