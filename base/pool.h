/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool: an allocator for datagrams: slabs of 64 KiB, cut into size classes, with a free list for each class.
 * Allocating and freeing cost a few nanoseconds, and a queued datagram uses little more memory than its
 * bytes. Memory is only returned to the system by pool_free. A pool and its datagrams belong to one thread.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/datagram.h"

struct pool;

struct pool *pool_new(void);
void pool_free(struct pool *pool);
/* Returns a datagram with room for `size` bytes, its other members zero; NULL if memory runs out. */
struct datagram *pool_get(struct pool *pool, size_t size);
void pool_put(struct pool *pool, struct datagram *datagram);
/* Returns the number of datagrams in use. */
size_t pool_taken(const struct pool *pool);
/* Return the bytes of memory used by a datagram of `size` bytes, and by this datagram. */
size_t pool_weight(size_t size);
size_t datagram_weight(const struct datagram *datagram);

#endif
