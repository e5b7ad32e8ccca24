/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recorder: one worker's end of a capture. capture.h declares the functions for the worker; this header is
 * for the capture itself.
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
	atomic_uint_fast64_t *lost; /* records that did not fit; shared by all recorders */
	uint32_t snaplen;           /* bytes of payload that are kept */
	bool patient;               /* wait for room */
};

/* Requests a new file after what was recorded so far. Returns false if the ring is full. */
bool recorder_rotate(struct recorder *recorder);

#endif
