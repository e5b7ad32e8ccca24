/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots: an allocator for thousands of objects of one size that are freed and allocated again and again.
 *
 * Each slot begins at a cache line. Slots are carved from large pieces, for which the kernel is asked for
 * huge pages, so that few TLB entries cover all of them. Memory is only returned to the system by slots_free.
 * All slots belong to one thread.
 */
#ifndef BASE_SLOTS_H
#define BASE_SLOTS_H

#include <stddef.h>

struct slots;

/* Returns an allocator of slots of `size` bytes. */
struct slots *slots_new(size_t size);
/* All slots must have been returned by slots_put. */
void slots_free(struct slots *slots);
/* Returns a zeroed slot; NULL if memory runs out. */
void *slots_get(struct slots *slots);
void slots_put(struct slots *slots, void *slot);

#endif
