/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recorder: one worker's end of a capture. capture.h declares what the worker calls; this is for the capture.
 */
#ifndef CAPTURE_RECORDER_H
#define CAPTURE_RECORDER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "capture/capture.h"
#include "capture/ring.h"

#define RECORDER_RING_SIZE ((size_t)32 << 20) /* bytes */

struct recorder {
	struct ring *ring;
	atomic_uint_fast64_t *lost; /* records that found no room; shared by all recorders */
	uint32_t snaplen;           /* bytes of payload that are kept */
	bool patient;               /* waits for room */
};

/* Asks for a new file after what was recorded so far; false if the ring is full. */
bool recorder_rotate(struct recorder *recorder);

#endif
