/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flows: which packets of a capture went from a device to its cloud, and which came back.
 *
 * In one of our own captures that is written down: what arrived on its two interfaces, session by session. In
 * any other the device, the cloud or both are named on the command line; else the cloud is whoever has one of
 * the DTLS ports 5684 and 4433, or the receiver of the first ClientHello. If both ends have such a port, the
 * device is the one that sent the ClientHello, or if none was seen the first datagram.
 *
 * A session, in all that reads a capture, is a device's address and the address that it spoke to.
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

/* A datagram that arrived. */
struct flow {
	enum way way;
	struct address device, device_side; /* as the capture has them */
	struct address cloud_side, cloud;
	uint32_t mapping; /* down: number of the session's source port that it came to; 0: not known */
};

/* Reads the captures once to learn what belongs together. Returns NULL and fills `error` if no flow is found.
 */
struct flows *flows_new(struct inputs *inputs, const struct flows_filter *filter, struct error *error);
void flows_free(struct flows *flows);

/* Is this packet an arrival of one of the flows? */
bool flows_take(const struct flows *flows, const struct saved_packet *packet, const struct decoded *decoded,
    struct flow *flow);
bool flows_seed(const struct flows *flows, uint64_t *seed);
/* It is a recording of peers without deadzone between them: one point of view. */
bool flows_recorded(const struct flows *flows);
/* Words for the user of how the flows were found. */
const char *flows_notice(const struct flows *flows);

#endif
