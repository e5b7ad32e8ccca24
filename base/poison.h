/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * poison: lets the project's own allocators tell AddressSanitizer which memory is free, so that it reports a
 * use after free. Without that sanitizer these are no-ops.
 */
#ifndef BASE_POISON_H
#define BASE_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define POISON_IS_ON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_IS_ON 1
#endif
#endif

#ifdef POISON_IS_ON
#include <sanitizer/asan_interface.h>
#define poison(memory, size) __asan_poison_memory_region(memory, size)
#define unpoison(memory, size) __asan_unpoison_memory_region(memory, size)
#else
#define POISON_IS_ON 0
#define poison(memory, size) ((void)(memory), (void)(size))
#define unpoison(memory, size) ((void)(memory), (void)(size))
#endif

#endif
