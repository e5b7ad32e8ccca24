/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool: the memory of datagrams: slabs of 64 KiB, cut into size classes, with a list of free datagrams for
 * each class. Taking and giving back costs a few nanoseconds, and a datagram that waits takes little more
 * than its bytes. Nothing goes back to the system before pool_free. One thread owns a pool and its datagrams.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/datagram.h"

struct pool;

struct pool *pool_new(void);
void pool_free(struct pool *pool);
/* A datagram with room for `size` bytes and everything else zero; NULL when memory is out. */
struct datagram *pool_get(struct pool *pool, size_t size);
void pool_put(struct pool *pool, struct datagram *datagram);
/* Datagrams taken and not given back. */
size_t pool_taken(const struct pool *pool);
/* Bytes of memory that a datagram of this size takes, and that this one takes. */
size_t pool_weight(size_t size);
size_t datagram_weight(const struct datagram *datagram);

#endif
