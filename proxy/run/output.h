/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output: a stream that nobody may be reading: a bounded queue, and one thread that writes it.
 *
 * Whoever puts never waits, so that a full pipe (`subprocess.Popen(stderr=PIPE)`) or a terminal stopped by
 * Ctrl-S holds up the writing thread alone. Any thread may put.
 */
#ifndef PROXY_OUTPUT_H
#define PROXY_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ns.h"

struct output;

/* Begins to write to `fd`, which stays the caller's. NULL if no thread can be started. */
struct output *output_open(int fd);

/* Queues the bytes whole, or returns false if more than `most` bytes would wait then (or memory is out). */
bool output_put(struct output *output, const void *bytes, size_t size, size_t max);

/* Waits until all is written, as long as something is read at least every `patience`; returns how many bytes
 * were not written. An output that is stuck is abandoned: its thread ends with the process. */
size_t output_close(struct output *output, ns_t patience);

#endif
