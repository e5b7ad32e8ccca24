/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/memory.h"

#include <poll.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The point in memory_try to which memory_out returns. */
struct guard {
	jmp_buf back;
	struct guard *outer;
};

static _Thread_local struct guard *innermost;
static _Thread_local bool goes_on;

void memory_out(void)
{
	static const char text[] = "deadzone: out of memory\n";
	struct pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (innermost)
		longjmp(innermost->back, 1);
	if (poll(&stderr_poll, 1, 100) != 1 || write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		exit(1); /* standard error is closed or blocked */
	exit(1);
}

/* Returns count * size, but at least 1; does not return if that overflows. */
static size_t checked_product(size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		memory_out();
	size *= count;
	return size ? size : 1;
}

void *memory_new(size_t count, size_t size)
{
	void *memory = calloc(1, checked_product(count, size));

	if (!memory)
		memory_out();
	return memory;
}

void *memory_malloc(size_t size)
{
	void *memory = malloc(size ? size : 1);

	if (!memory)
		memory_out();
	return memory;
}

void *memory_resize(void *old, size_t count, size_t size)
{
	void *memory = realloc(old, checked_product(count, size));

	if (!memory)
		memory_out();
	return memory;
}

char *memory_text(const char *text, size_t size)
{
	char *copy = memory_malloc(size + 1);

	memcpy(copy, text, size);
	copy[size] = '\0';
	return copy;
}

void *memory_grow(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	return memory_resize(array, count ? 2 * count : 1, size);
}

bool memory_try(void (*task)(void *user), void *user)
{
	struct guard guard = {.outer = innermost};
	const bool nonfatal = memory_set_nonfatal(false); /* not changed after setjmp */
	volatile bool done = false;

	innermost = &guard;
	if (setjmp(guard.back) == 0) {
		task(user);
		done = true;
	}
	innermost = guard.outer;
	memory_set_nonfatal(nonfatal);
	return done;
}

bool memory_set_nonfatal(bool nonfatal)
{
	bool before = goes_on;

	goes_on = nonfatal;
	return before;
}

bool memory_is_nonfatal(void)
{
	return goes_on;
}
