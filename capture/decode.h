/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode: the UDP datagram inside a captured packet.
 *
 * Link layers: Ethernet with VLAN tags and PPPoE, PPP with and without HDLC or a direction, Linux cooked v1
 * and v2, raw IP, loopback (NULL, LOOP), NFLOG, PKTAP, 802.11 data frames in the clear with and without
 * radiotap. IPv4 and IPv6 with extension headers; IP in IP, GRE and GTP-U, whose inner datagram is taken.
 * Fragments are put together (capture/fragments.h).
 */
#ifndef CAPTURE_DECODE_H
#define CAPTURE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "capture/fragments.h"

struct decoded {
	struct address from, to;
	uint8_t tos;
	const uint8_t *payload;
	size_t kept;        /* bytes of payload in the capture */
	size_t size;        /* bytes that it had */
	unsigned fragments; /* packets that it came in: 1 if it was not fragmented */
};

enum decode_result {
	DECODE_UDP,
	DECODE_TCP,
	DECODE_ICMP,
	DECODE_ARP,
	DECODE_FRAGMENT, /* of a datagram that is not whole yet */
	DECODE_LINK_UNKNOWN,
	DECODE_OTHER,
	DECODE_RESULTS
};

/* `fragments`: those that came before, or NULL: then one is a DECODE_FRAGMENT for itself. The payload of a
 * datagram that was put together lives until the next call with them. */
enum decode_result decode_packet(
    int link_type, const uint8_t *bytes, size_t size, struct fragments *fragments, struct decoded *decoded);

#endif
