/*
 * memory: one policy for when there is none left.
 *
 * Set-up and the offline commands cannot go on without it: the functions here never return NULL; they end the
 * process with a message and exit status 1. Where something else goes on meanwhile (a run that is asked for a
 * reload or over HTTP), a guard turns that end into a failure of this one task.
 *
 * On the traffic's path plain malloc is asked, and its NULL is `overload`.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <setjmp.h>
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

/*
 *   struct memory_guard guard;
 *
 *   if (setjmp(memory_guarded(&guard)) == 0)
 *           … what may run out of memory …
 *   else
 *           … it did; what was made up to there is lost, not given back …
 *   memory_unguarded(&guard);
 *
 * Of this thread; guards nest.
 */
struct memory_guard {
	jmp_buf back;
	struct memory_guard *outer;
};

jmp_buf *memory_guard(struct memory_guard *guard);
#define memory_guarded(guard) (*memory_guard(guard))
void memory_unguarded(struct memory_guard *guard);

/* This thread must go on whatever happens: texts (base/text.h) that find no memory are marked, and end
 * nothing. */
void memory_go_on(void);
bool memory_goes_on(void);

#endif
