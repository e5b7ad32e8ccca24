/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode: finds the UDP datagram inside a captured packet.
 *
 * Link layers: Ethernet with VLAN tags and PPPoE, PPP with and without HDLC or a direction, Linux cooked v1
 * and v2, raw IP, loopback (NULL, LOOP), NFLOG, PKTAP, unencrypted 802.11 data frames with and without
 * radiotap. IPv4 and IPv6 with extension headers; IP in IP, GRE and GTP-U, of which the inner datagram is
 * used. Fragments are reassembled (capture/fragments.h).
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
	size_t size;        /* bytes of payload on the wire */
	unsigned fragments; /* number of packets that it arrived in: 1 if it was not fragmented */
};

enum decode_result {
	DECODE_UDP,
	DECODE_TCP,
	DECODE_ICMP,
	DECODE_ARP,
	DECODE_FRAGMENT, /* of a datagram that is not complete yet */
	DECODE_LINK_UNKNOWN,
	DECODE_OTHER,
	DECODE_RESULTS
};

/* `fragments` holds the fragments seen before; NULL: every fragment is a DECODE_FRAGMENT. The payload of a
 * reassembled datagram is valid until the next call with the same `fragments`. */
enum decode_result decode_packet(
    int link_type, const uint8_t *bytes, size_t size, struct fragments *fragments, struct decoded *decoded);

#endif
