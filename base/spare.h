/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spare: malloc, realloc and free with a reserve of small pieces, for a library that crashes if malloc
 * returns NULL: the HTTP server of libevent 2.1.12 frees connections and requests that it has not finished
 * setting up.
 *
 * Pieces of up to SPARE_PIECE bytes fail only when the reserve is used up too; larger ones fail with
 * malloc. Libevent uses those for what is sent and received, and handles that they fail.
 *
 * Not thread-safe: one thread uses them. What libevent returns to be freed goes to spare_free.
 */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H

#include <stddef.h>

#define SPARE_PIECE 1024 /* bytes */
#define SPARE_COUNT 1024 /* pieces; a connection takes about ten */

void *spare_malloc(size_t size);
void *spare_realloc(void *old, size_t size);
void spare_free(void *piece);

#endif
