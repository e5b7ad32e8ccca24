/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fail: makes the Nth allocation fail, and no other.
 *
 * It is linked into the program with --wrap, so that it works under AddressSanitizer too. It counts the
 * allocations of the program itself, and of jansson and libevent, which are given the program's allocators.
 * $OOM_FILE names a file of three 64-bit numbers, which is mapped: how many allocations there were; which one
 * fails, counted from 1 (0: none); and whether only those of the first thread are counted. A test reads the
 * first and sets the others, also while the program runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct numbers {
	_Atomic uint64_t count, fail_at, first_thread;
};

static struct numbers unmapped, *numbers = &unmapped;

/* Counts an allocation, and returns whether it must fail. */
static int fails(void)
{
	if (atomic_load(&numbers->first_thread) && gettid() != getpid())
		return 0;
	if (atomic_fetch_add(&numbers->count, 1) + 1 != atomic_load(&numbers->fail_at))
		return 0;
	errno = ENOMEM;
	return 1;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t number, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
FILE *__real_fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions);
char *__real_realpath(const char *path, char *into);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t number, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
FILE *__wrap_fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions);
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

FILE *__wrap_fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions)
{
	return fails() ? NULL : __real_fopencookie(cookie, mode, functions);
}

char *__wrap_realpath(const char *path, char *into)
{
	return fails() ? NULL : __real_realpath(path, into);
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("OOM_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped = mmap(NULL, sizeof(*numbers), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (mapped == MAP_FAILED && path)
		abort();
	if (mapped != MAP_FAILED)
		numbers = mapped;
}
