/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fail: makes the Nth allocation fail, and no other.
 *
 * It is linked into the program with --wrap, so that it works under AddressSanitizer too. It counts the
 * allocations of the program itself, and of jansson and libevent, which are given the program's allocators.
 * $OOM_AT is N, counted from 1; with $OOM_COUNT the count of all is written to that file at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

static atomic_ulong count;
static unsigned long fail_at;
static int counted = -1; /* the file of $OOM_COUNT, opened before the sandbox is entered */

/* Counts an allocation, and returns whether it must fail. */
static int fails(void)
{
	if (atomic_fetch_add(&count, 1) + 1 != fail_at)
		return 0;
	errno = ENOMEM;
	return 1;
}

static void write_count(void)
{
	if (counted >= 0)
		dprintf(counted, "%lu\n", atomic_load(&count));
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t number, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
FILE *__real_open_memstream(char **bytes, size_t *size);
char *__real_realpath(const char *path, char *into);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t number, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
FILE *__wrap_open_memstream(char **bytes, size_t *size);
char *__wrap_realpath(const char *path, char *into);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t number, size_t size)
{
	return fails() ? NULL : __real_calloc(number, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
	return fails() ? NULL : __real_strndup(text, size);
}

FILE *__wrap_open_memstream(char **bytes, size_t *size)
{
	return fails() ? NULL : __real_open_memstream(bytes, size);
}

char *__wrap_realpath(const char *path, char *into)
{
	return fails() ? NULL : __real_realpath(path, into);
}

__attribute__((constructor)) static void start(void)
{
	const char *at = getenv("OOM_AT"), *path = getenv("OOM_COUNT");

	counted = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	fail_at = at ? strtoul(at, NULL, 10) : 0;
	event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
	atexit(write_count);
}
