/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots: memory for thousands of things of one size, where most are needed again and again.
 *
 * Each begins at a line of the cache. They stand together in large pieces, for which the kernel is asked for
 * huge pages, so that few entries of the TLB reach all of them. Nothing goes back to the system before
 * slots_free. One thread owns them.
 */
#ifndef BASE_SLOTS_H
#define BASE_SLOTS_H

#include <stddef.h>

struct slots;

/* For things of `size` bytes each. */
struct slots *slots_new(size_t size);
/* All must have been given back. */
void slots_free(struct slots *slots);
/* One more, all zero; NULL when memory is out. */
void *slots_get(struct slots *slots);
void slots_put(struct slots *slots, void *slot);

#endif
