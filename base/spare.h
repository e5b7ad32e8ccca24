/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spare: malloc, realloc and free with a reserve, for a library that does not get by without memory: the HTTP
 * server of libevent 2.1.12 frees connections and requests that it has not finished setting up, and takes a
 * header line that it cannot copy for one that has not come yet.
 *
 * The reserve lasts for some hundred requests at a time. Larger pieces fail with malloc: they are bodies and
 * answers, whose senders check.
 *
 * Not thread-safe: one thread uses them. What libevent returns to be freed goes to spare_free.
 */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H

#include <stddef.h>

#define SPARE_SMALL 1024 /* bytes; a connection takes about ten of these */
#define SPARE_SMALL_COUNT 1024
#define SPARE_LARGE 32768 /* header lines, query strings */
#define SPARE_LARGE_COUNT 16

void *spare_malloc(size_t size);
void *spare_realloc(void *old, size_t size);
void spare_free(void *piece);

#endif
