/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sides: a classic pcap of ours. It has no comments; its made-up MAC addresses (capture/packet.h) tell the
 * two sides of the proxy apart.
 *
 * Others use such addresses too, so one packet proves nothing: a file is ours if all of its packets are
 * between the device and the proxy or between the proxy and the cloud, and some datagram that came in on one
 * side left on the other with the same bytes.
 */
#ifndef REPORT_SIDES_H
#define REPORT_SIDES_H

#include <stdbool.h>

#include "base/address.h"
#include "capture/reader.h"

enum party { PARTY_NONE, PARTY_IS_DEVICE, PARTY_IS_PROXY, PARTY_IS_CLOUD };

/* Of an Ethernet packet; PARTY_NONE of any other. */
void sides_parties(const struct saved_packet *packet, enum party *from, enum party *to);

/* Who is on either side of the proxy for one device and the address that it spoke to; the last two are not
 * known before anything has left. */
struct sides_ends {
	struct address device, device_side, cloud_side, cloud;
};

struct sides;

/* Reads the files whole; NULL if they are none of these. */
struct sides *sides_new(struct inputs *inputs);
void sides_free(struct sides *sides);
/* NULL if there is none. */
const struct sides_ends *sides_of_device(
    const struct sides *sides, const struct address *device, const struct address *device_side);
const struct sides_ends *sides_of_port(const struct sides *sides, const struct address *cloud_side);
size_t sides_count(const struct sides *sides);
const struct sides_ends *sides_at(const struct sides *sides, size_t index);

#endif
