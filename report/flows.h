/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flows: determines which packets of a capture are arrivals from a device, and which are arrivals from its
 * cloud.
 *
 * In a capture of deadzone the interfaces and comments say so. In any other capture the user may name the
 * device, the cloud or both. Otherwise the cloud is the end with one of the DTLS ports 5684 and 4433, or else
 * the receiver of the first ClientHello. If both ends have such a port, the device is the sender of the first
 * ClientHello, or else of the first datagram.
 *
 * A session is identified by the address of the device and the address it sends to.
 *
 * flows_new reads the whole capture once; the caller then reads it again and passes each packet to
 * flows_match.
 */
#ifndef REPORT_FLOWS_H
#define REPORT_FLOWS_H

#include <stdbool.h>

#include "base/address.h"
#include "base/error.h"
#include "base/verdict.h"
#include "capture/decode.h"
#include "capture/reader.h"

struct flows;

struct flows_filter {
	const char *device; /* ADDR[:PORT] or prefix; NULL: any */
	const char *cloud;  /* ADDR:PORT; NULL: any */
};

/* The session and direction of a datagram that arrived. */
struct flow {
	enum way way;
	struct address device, device_side; /* as in the capture */
	struct address cloud_side, cloud;
	uint32_t mapping; /* down: which of the session's source ports it came to, from 1; 0: unknown */
};

/* Reads the captures to find their flows. Returns NULL and sets *error if there is none. */
struct flows *flows_new(struct inputs *inputs, const struct flows_filter *filter, struct error *error);
void flows_free(struct flows *flows);

/* Returns true and fills *flow if the packet is an arrival of one of the flows. */
bool flows_match(const struct flows *flows, const struct saved_packet *packet, const struct decoded *decoded,
    struct flow *flow);
/* Returns false if the capture has no seed. */
bool flows_seed(const struct flows *flows, uint64_t *seed);
/* Returns true if the capture was recorded without deadzone between the peers. */
bool flows_recorded(const struct flows *flows);
/* Returns a message for the user about an assumption that was made, or "". */
const char *flows_notice(const struct flows *flows);

#endif
