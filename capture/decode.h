/*
 * decode: the UDP datagram inside a captured packet.
 *
 * Link layers: Ethernet with VLAN tags and PPPoE, PPP with and without HDLC or a direction, Linux cooked v1
 * and v2, raw IP, loopback (NULL, LOOP), NFLOG, PKTAP, 802.11 data frames in the clear with and without
 * radiotap. IPv4 and IPv6 with extension headers; IP in IP, GRE and GTP-U, whose inner datagram is taken.
 * Fragments are not put together.
 */
#ifndef CAPTURE_DECODE_H
#define CAPTURE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

struct decoded {
	struct address from, to;
	uint8_t tos;
	const uint8_t *payload;
	size_t kept; /* bytes of payload in the capture */
	size_t size; /* bytes that it had */
};

enum decode_result { DECODE_UDP, DECODE_OTHER, DECODE_FRAGMENT, DECODE_LINK_UNKNOWN };

enum decode_result decode_packet(int link_type, const uint8_t *bytes, size_t size, struct decoded *decoded);

#endif
