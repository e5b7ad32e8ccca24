/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory: one policy for failed allocations.
 *
 * Set-up and the offline commands cannot go on without it: the functions here never return NULL; they end the
 * process with a message and exit status 1. Where something else goes on meanwhile (a run that is asked for a
 * reload or over HTTP), memory_try turns that end into the failure of one task.
 *
 * The datagram path uses plain malloc, and drops the datagram as `overload` when it returns NULL.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed; an overflowing product counts as a failed allocation. */
void *memory_new(size_t count, size_t size);
/* Not zeroed, for libraries that take a malloc. */
void *memory_get(size_t size);
void *memory_resize(void *old, size_t count, size_t size);
/* The first `size` bytes of a text, terminated. */
char *memory_text(const char *text, size_t size);
/* For an array of `count` that is full when the count is a power of two, or empty: room for one more. */
void *memory_grow(void *array, size_t count, size_t size);

/* Called by the functions above when an allocation fails: returns to the innermost memory_try, or exits. */
void memory_out(void) __attribute__((noreturn));

/* Runs a task that may run out of memory. Returns false if it did: the task was then abandoned by longjmp,
 * and whatever it had allocated leaks. Calls may nest. */
bool memory_try(void (*task)(void *user), void *user);

/* The calling thread must survive: a text (base/text.h) whose allocation fails is marked `failed` instead of
 * ending the process. */
void memory_go_on(void);
bool memory_goes_on(void);

#endif
