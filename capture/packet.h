/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet: writes the headers of a datagram as a capture holds it: invented Ethernet, real IP and UDP headers.
 *
 * Addresses, ports, TOS, lengths and checksums are those of the whole datagram, even if the capture keeps
 * only its first bytes. The MAC addresses are locally administered: 02:00:00:00:00:01 to 03 for device, proxy
 * and cloud.
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

/* Adds bytes to a one's complement sum that is not folded yet; `sum` is the sum of the preceding bytes, an
 * even number of them. */
uint64_t packet_sum(uint64_t sum, const uint8_t *bytes, size_t size);

/* Writes the headers of a datagram of `size` bytes whose payload has the sum `payload_sum`. Returns their
 * size. */
size_t packet_headers(uint8_t *headers, const struct packet_ends *ends, size_t size, uint64_t payload_sum);

#endif
