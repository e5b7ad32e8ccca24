/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sides: recognizes a classic pcap file of deadzone and the sessions in it. Such a file has no comments, but
 * its synthetic MAC addresses (capture/packet.h) show which side of the proxy a packet is on.
 *
 * Others use such addresses too. So a file counts as deadzone's only if all of its packets are between the
 * device and the proxy or between the proxy and the cloud, and at least one datagram left on the other side
 * with the bytes of its arrival.
 */
#ifndef REPORT_SIDES_H
#define REPORT_SIDES_H

#include <stdbool.h>

#include "base/address.h"
#include "capture/reader.h"

enum party { PARTY_NONE, PARTY_IS_DEVICE, PARTY_IS_PROXY, PARTY_IS_CLOUD };

/* Reads sender and receiver from the MAC addresses; PARTY_NONE unless it is an Ethernet packet. */
void sides_parties(const struct saved_packet *packet, enum party *from, enum party *to);

/* The addresses on both sides of the proxy of a session, which is identified by the first two. The last two
 * are unset (FAMILY_NONE) until a datagram has left for the cloud. */
struct sides_ends {
	struct address device, device_side, cloud_side, cloud;
};

struct sides;

/* Reads the whole files. Returns NULL if they are not such a capture or cannot be read. */
struct sides *sides_new(struct inputs *inputs);
void sides_free(struct sides *sides);
/* Return the session of a device, or of a port of the proxy towards the cloud; NULL if there is none. */
const struct sides_ends *sides_of_device(
    const struct sides *sides, const struct address *device, const struct address *device_side);
const struct sides_ends *sides_of_port(const struct sides *sides, const struct address *cloud_side);
size_t sides_count(const struct sides *sides);
const struct sides_ends *sides_at(const struct sides *sides, size_t index);

#endif
