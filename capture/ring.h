/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring: a lock-free queue of records from one thread to another.
 *
 * One thread puts, one thread takes. A record that does not fit is refused; the caller counts it.
 */
#ifndef CAPTURE_RING_H
#define CAPTURE_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring;

/* `size` is in bytes and a power of two. */
struct ring *ring_new(size_t size);
void ring_free(struct ring *ring);

/* Reserves room for a record of `size` bytes, to be filled and then published by ring_commit. Returns NULL if
 * there is no room now. A record larger than half the ring, with its length field, is always refused. */
void *ring_reserve(struct ring *ring, size_t size);
void ring_commit(struct ring *ring);

/* Returns the oldest record, or NULL; it is valid until ring_pop. */
void *ring_peek(struct ring *ring);
void ring_pop(struct ring *ring);

#endif
