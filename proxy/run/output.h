/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output: writes to a stream that perhaps nobody reads: a bounded queue, and a thread that writes it.
 *
 * output_put never blocks, so that a full pipe (`subprocess.Popen(stderr=PIPE)`) or a terminal stopped by
 * Ctrl-S only blocks the writing thread. Any thread may call it.
 */
#ifndef PROXY_OUTPUT_H
#define PROXY_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ns.h"

struct output;

/* Starts a thread that writes to `fd`, which remains owned by the caller. Returns NULL on failure. */
struct output *output_open(int fd);

/* Queues all of the bytes. Returns false, with none queued, if more than `max` bytes would be waiting then,
 * if the reader is gone, or if out of memory. */
bool output_put(struct output *output, const void *bytes, size_t size, size_t max);

/* Waits until everything is written, but gives up after `patience` without progress. Returns how many bytes
 * were not written. After giving up, the thread is left alone, and ends with the process. */
size_t output_close(struct output *output, ns_t patience);

#endif
