/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring: records from one thread to another, in order, without a lock or a wait.
 *
 * One thread puts, one takes. A record that does not fit is refused; it is for the caller to count it.
 */
#ifndef CAPTURE_RING_H
#define CAPTURE_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring;

/* `size` bytes, a power of two. */
struct ring *ring_new(size_t size);
void ring_free(struct ring *ring);

/* Room for a record of `size` bytes (with its head at most half the ring, or it is always refused), to be
 * filled and handed over by ring_put; NULL where there is none now.
 */
void *ring_cap(struct ring *ring, size_t size);
void ring_put(struct ring *ring);

/* The oldest record, or NULL; it stays until ring_taken. */
void *ring_peek(struct ring *ring);
void ring_taken(struct ring *ring);

#endif
