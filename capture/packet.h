/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet: a datagram in made-up Ethernet and real IP and UDP headers, as a capture holds it.
 *
 * Addresses, ports, TOS, lengths and checksums are right for the whole datagram, also where the capture keeps
 * only its first bytes. The MAC addresses are local ones: device, proxy and cloud (behaviour:
 * 02:00:00:00:00:01 to 03).
 */
#ifndef CAPTURE_PACKET_H
#define CAPTURE_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

#define PACKET_HEADERS_MAX (14 + 40 + 8)

enum packet_party { PARTY_DEVICE = 1, PARTY_PROXY = 2, PARTY_CLOUD = 3 };

struct packet_ends {
	struct address from, to;
	enum packet_party sender, receiver;
	uint8_t tos;
	uint16_t id; /* IPv4 identification */
};

/* One's complement sum of bytes, to be folded later; `sum` is what came before (an even number of bytes). */
uint64_t packet_sum(uint64_t sum, const uint8_t *bytes, size_t size);

/* Writes the headers of a datagram of `size` bytes whose payload sums up to `payload_sum`; gives their size.
 */
size_t packet_headers(uint8_t *headers, const struct packet_ends *ends, size_t size, uint64_t payload_sum);

#endif
