/*
 * memory: one policy for when there is none left.
 *
 * Set-up and the offline commands cannot go on without it: the functions here never return NULL; they end the
 * process with a message and exit status 1. Where something else goes on meanwhile (a run that is asked for a
 * reload or over HTTP), memory_try turns that end into the failure of one task.
 *
 * On the traffic's path plain malloc is asked, and its NULL is `overload`.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed; a count times a size that overflows is out of memory too. */
void *memory_new(size_t count, size_t size);
/* Not zeroed, for libraries that take a malloc. */
void *memory_get(size_t size);
void *memory_resize(void *old, size_t count, size_t size);
/* The first `size` bytes of a text, terminated. */
char *memory_text(const char *text, size_t size);
/* For an array of `count` that is full when the count is a power of two, or empty: room for one more. */
void *memory_grow(void *array, size_t count, size_t size);

/* What the functions above do when memory is out. */
void memory_out(void) __attribute__((noreturn));

/* Carries out a task that may run out of memory. False if it did: then it was left where it stood, and what
 * it had made up to there is lost, not given back. Tries nest. */
bool memory_try(void (*task)(void *user), void *user);

/* This thread must go on whatever happens: texts (base/text.h) that find no memory are marked, and end
 * nothing. */
void memory_go_on(void);
bool memory_goes_on(void);

#endif
