/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Layers are decoded from the outside in: decode_link_layer finds the network protocol, decode_network
 * decodes IP, decode_protocol what IP carries. A tunnel leads back to decode_network (decode_tunnel). Each
 * step advances a view of the packet past its own header.
 */
#include "capture/decode.h"

#include <stdbool.h>
#include <string.h>

/* https://www.tcpdump.org/linktypes.html */
#define LINK_NULL 0
#define LINK_ETHERNET 1
#define LINK_PPP 9
#define LINK_RAW_OLD 12
#define LINK_RAW_BSD 14
#define LINK_PPP_HDLC 50
#define LINK_PPP_ETHER 51
#define LINK_RAW 101
#define LINK_IEEE802_11 105
#define LINK_LOOP 108
#define LINK_SLL 113
#define LINK_RADIOTAP 127
#define LINK_PPP_WITH_DIR 204
#define LINK_IPV4 228
#define LINK_IPV6 229
#define LINK_NFLOG 239
#define LINK_PKTAP 258
#define LINK_SLL2 276

#define TYPE_ARP 0x0806
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_VLAN 0x8100
#define TYPE_VLAN_OUTER 0x88a8
#define TYPE_VLAN_9100 0x9100
#define TYPE_VLAN_9200 0x9200
#define TYPE_PPPOE 0x8864
#define PPP_IPV4 0x21
#define PPP_IPV6 0x57
#define NFLOG_PAYLOAD 9
#define PROTOCOL_ICMP 1
#define PROTOCOL_IPV4 4
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_IPV6 41
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_GRE 47
#define PROTOCOL_ICMPV6 58
#define GTP_U_PORT 2152
#define GTP_U_DATA 255
#define NESTED_MAX 4 /* nested tunnels, and nested link layers */

/* The network protocol of a packet. */
enum network {
	NETWORK_LINK_UNKNOWN = -1,
	NETWORK_OTHER = 0,
	NETWORK_ARP = 1,
	NETWORK_IPV4 = 4,
	NETWORK_IPV6 = 6
};

/* State of decoding one packet, shared by all layers. */
struct decoding {
	struct fragments *fragments; /* NULL: fragments are not reassembled */
	struct decoded *decoded;
	unsigned depth; /* of tunnels */
};

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* The part of a packet that was not decoded yet. */
struct view {
	const uint8_t *at;
	size_t size;
};

/* Removes `size` bytes from the front. Returns false, and leaves the view unchanged, if there are fewer. */
static bool skip(struct view *view, size_t size)
{
	if (view->size < size)
		return false;
	view->at += size;
	view->size -= size;
	return true;
}

static enum network network_of(unsigned type)
{
	return type == TYPE_IPV4   ? NETWORK_IPV4
	       : type == TYPE_IPV6 ? NETWORK_IPV6
	       : type == TYPE_ARP  ? NETWORK_ARP
	                           : NETWORK_OTHER;
}

/* Returns the network protocol from the version field of an IP packet. */
static enum network network_inside(const struct view *view)
{
	unsigned version = view->size ? view->at[0] >> 4 : 0;

	return version == 4 ? NETWORK_IPV4 : version == 6 ? NETWORK_IPV6 : NETWORK_OTHER;
}

/* Decodes PPP (RFC 1661): address and control may be absent, and the protocol may be one byte. */
static enum network decode_ppp(struct view *view)
{
	unsigned protocol;

	if (view->size >= 2 && view->at[0] == 0xff && view->at[1] == 0x03)
		skip(view, 2);
	if (!view->size)
		return NETWORK_OTHER;
	if (view->at[0] & 1) {
		protocol = view->at[0];
		skip(view, 1);
	} else {
		protocol = view->size < 2 ? 0 : get16(view->at);
		skip(view, 2);
	}
	return protocol == PPP_IPV4 ? NETWORK_IPV4 : protocol == PPP_IPV6 ? NETWORK_IPV6 : NETWORK_OTHER;
}

/* Decodes what follows an Ethernet type: VLAN tags, then IP or PPPoE (RFC 2516). */
static enum network decode_ethertype(struct view *view, unsigned type)
{
	while ((type == TYPE_VLAN || type == TYPE_VLAN_OUTER || type == TYPE_VLAN_9100 ||
	           type == TYPE_VLAN_9200) &&
	       view->size >= 4) {
		type = get16(view->at + 2);
		skip(view, 4);
	}
	if (type == TYPE_PPPOE)
		return skip(view, 6) ? decode_ppp(view) : NETWORK_OTHER;
	return network_of(type);
}

/* Decodes Cisco HDLC, or PPP in HDLC-like framing. */
static enum network decode_hdlc(struct view *view)
{
	unsigned type;

	if (view->size < 4 || (view->at[0] != 0x0f && view->at[0] != 0x8f))
		return decode_ppp(view);
	type = get16(view->at + 2);
	skip(view, 4);
	return network_of(type);
}

/* Decodes NFLOG: attributes with length and type in the byte order of the capturing host. Little-endian is
 * assumed, which nearly all are. */
static enum network decode_nflog(struct view *view)
{
	if (!skip(view, 4))
		return NETWORK_OTHER;
	while (view->size >= 4) {
		size_t size = view->at[0] | (size_t)view->at[1] << 8;
		unsigned type = (view->at[2] | (unsigned)view->at[3] << 8) & 0x7fff;

		if (size < 4 || size > view->size)
			return NETWORK_OTHER;
		if (type == NFLOG_PAYLOAD) {
			view->size = size;
			return skip(view, 4) ? network_inside(view) : NETWORK_OTHER;
		}
		if (!skip(view, (size + 3) & ~(size_t)3))
			return NETWORK_OTHER;
	}
	return NETWORK_OTHER;
}

/* Decodes an unencrypted IEEE 802.11 data frame, with LLC and SNAP after its header. */
static enum network decode_wireless(struct view *view)
{
	static const uint8_t snap[] = {0xaa, 0xaa, 0x03, 0, 0, 0};
	bool has_four_addresses, has_qos;
	unsigned type;

	if (view->size < 24 || (view->at[0] >> 2 & 3) != 2 || view->at[0] & 0x40 || view->at[1] & 0x40)
		return NETWORK_OTHER; /* not a data frame, without data, or encrypted */
	has_four_addresses = (view->at[1] & 3) == 3;
	has_qos = view->at[0] & 0x80;
	if (!skip(view, 24u + (has_four_addresses ? 6 : 0) + (has_qos ? 2 : 0) +
	                    (has_qos && view->at[1] & 0x80 ? 4 : 0)) ||
	    view->size < 8 || memcmp(view->at, snap, sizeof(snap)) != 0)
		return NETWORK_OTHER;
	type = get16(view->at + 6);
	skip(view, 8);
	return decode_ethertype(view, type);
}

static enum network decode_link_layer(int link_type, struct view *view, unsigned depth)
{
	size_t size;
	unsigned type;

	switch (link_type) {
	case LINK_ETHERNET:
		if (view->size < 14)
			return NETWORK_OTHER;
		type = get16(view->at + 12);
		skip(view, 14);
		return decode_ethertype(view, type);
	case LINK_SLL:
		if (view->size < 16)
			return NETWORK_OTHER;
		type = get16(view->at + 14);
		skip(view, 16);
		return decode_ethertype(view, type);
	case LINK_SLL2:
		if (view->size < 20)
			return NETWORK_OTHER;
		type = get16(view->at);
		skip(view, 20);
		return decode_ethertype(view, type);
	case LINK_PPP: return decode_ppp(view);
	case LINK_PPP_HDLC: return decode_hdlc(view);
	case LINK_PPP_WITH_DIR: return skip(view, 1) ? decode_hdlc(view) : NETWORK_OTHER;
	case LINK_PPP_ETHER: return skip(view, 6) ? decode_ppp(view) : NETWORK_OTHER;
	case LINK_NFLOG: return decode_nflog(view);
	case LINK_IEEE802_11: return decode_wireless(view);
	case LINK_RADIOTAP:
		size = view->size < 4 ? 0 : view->at[2] | (size_t)view->at[3] << 8;
		return size >= 4 && skip(view, size) ? decode_wireless(view) : NETWORK_OTHER;
	case LINK_PKTAP: /* header length, and type of the inner link layer, both little-endian */
		size = view->size < 12 ? 0 : view->at[0] | (size_t)view->at[1] << 8;
		type = size ? view->at[8] | (unsigned)view->at[9] << 8 : 0;
		return size >= 12 && depth < NESTED_MAX && skip(view, size)
		           ? decode_link_layer((int)type, view, depth + 1)
		           : NETWORK_OTHER;
	case LINK_NULL:
	case LINK_LOOP:
		if (!skip(view, 4))
			return NETWORK_OTHER;
		/* The number of an address family depends on the system; the IP version does not. */
		return network_inside(view);
	case LINK_RAW:
	case LINK_RAW_OLD:
	case LINK_RAW_BSD:
	case LINK_IPV4:
	case LINK_IPV6: return network_inside(view);
	default: return NETWORK_LINK_UNKNOWN;
	}
}

static enum decode_result decode_network(enum network network, struct view view, struct decoding *decoding);

static enum decode_result decode_tunnel(enum network network, struct view view, struct decoding *decoding)
{
	decoding->depth++;
	return decode_network(network, view, decoding);
}

/* Skips the header of GTP-U (3GPP TS 29.281), which mobile networks use between their nodes. Returns false
 * for anything else on its port, which is then an ordinary datagram. */
static bool skip_gtp(struct view *view)
{
	size_t header;

	if (view->size < 8 || view->at[0] >> 4 != 3 || view->at[1] != GTP_U_DATA)
		return false;
	header = view->at[0] & 7 ? 12 : 8;
	while (view->at[0] & 4 && header <= view->size && view->at[header - 1]) { /* extension headers */
		size_t size = header < view->size ? 4u * view->at[header] : 0;

		if (!size)
			return false;
		header += size;
	}
	return skip(view, header) && network_inside(view) != NETWORK_OTHER;
}

/* Decodes GRE (RFC 2784, RFC 2890). */
static enum decode_result decode_gre(struct view view, struct decoding *decoding)
{
	unsigned flags, type;

	if (view.size < 4)
		return DECODE_OTHER;
	flags = view.at[0];
	type = get16(view.at + 2);
	if (view.at[1] & 7 ||
	    !skip(&view, 4u + (flags & 0x80 ? 4 : 0) + (flags & 0x20 ? 4 : 0) + (flags & 0x10 ? 4 : 0)))
		return DECODE_OTHER;
	return decode_tunnel(network_of(type), view, decoding);
}

static enum decode_result decode_udp(struct view view, struct decoding *decoding)
{
	struct decoded *decoded = decoding->decoded;
	struct view inside = view;
	unsigned size;

	if (view.size < 8)
		return DECODE_OTHER;
	if (decoding->depth < NESTED_MAX && get16(view.at + 2) == GTP_U_PORT && skip(&inside, 8) &&
	    skip_gtp(&inside))
		return decode_tunnel(network_inside(&inside), inside, decoding);
	decoded->from.port = (uint16_t)get16(view.at);
	decoded->to.port = (uint16_t)get16(view.at + 2);
	size = get16(view.at + 4);
	if (size < 8)
		return DECODE_OTHER;
	decoded->payload = view.at + 8;
	decoded->size = size - 8;
	decoded->kept = view.size - 8 < decoded->size ? view.size - 8 : decoded->size;
	return DECODE_UDP;
}

/* Decodes the payload of an IP packet by its protocol number. */
static enum decode_result decode_protocol(unsigned protocol, struct view view, struct decoding *decoding)
{
	switch (protocol) {
	case PROTOCOL_UDP: return decode_udp(view, decoding);
	case PROTOCOL_IPV4: return decode_tunnel(NETWORK_IPV4, view, decoding);
	case PROTOCOL_IPV6: return decode_tunnel(NETWORK_IPV6, view, decoding);
	case PROTOCOL_GRE: return decode_gre(view, decoding);
	case PROTOCOL_TCP: return DECODE_TCP;
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6: return DECODE_ICMP;
	default: return DECODE_OTHER;
	}
}

/* Adds a fragment to those of its datagram. If the datagram is complete now, sets *view to it and returns
 * true. */
static bool assemble(const struct decoding *decoding, struct fragment *fragment, struct view *view)
{
	struct fragments_whole whole;

	fragment->packets = decoding->decoded->fragments;
	if (!decoding->fragments || !fragments_add(decoding->fragments, fragment, &whole))
		return false;
	*view = (struct view){.at = whole.bytes, .size = whole.kept};
	decoding->decoded->fragments = whole.packets;
	return true;
}

static enum decode_result decode_ipv4(struct view view, struct decoding *decoding)
{
	struct decoded *decoded = decoding->decoded;
	struct fragment fragment = {0};
	size_t header, total;
	unsigned protocol, flags;

	if (view.size < 20 || view.at[0] >> 4 != 4)
		return DECODE_OTHER;
	header = (size_t)(view.at[0] & 15) * 4;
	total = get16(view.at + 2);
	if (header < 20)
		return DECODE_OTHER;
	if (total >= header && total < view.size)
		view.size = total; /* the rest is padding of the link layer */
	decoded->tos = view.at[1];
	decoded->from.family = decoded->to.family = FAMILY_IPV4;
	memcpy(decoded->from.ip, view.at + 12, 4);
	memcpy(decoded->to.ip, view.at + 16, 4);
	protocol = view.at[9];
	flags = get16(view.at + 6);
	fragment.key[0] = 4;
	fragment.key[1] = (uint8_t)protocol;
	memcpy(fragment.key + 2, view.at + 4, 2);
	memcpy(fragment.key + 4, view.at + 12, 8);
	if (!skip(&view, header))
		return DECODE_OTHER;
	if (flags & 0x3fff) { /* more fragments, or an offset */
		if (total < header)
			return DECODE_FRAGMENT;
		fragment.offset = (size_t)(flags & 0x1fff) * 8;
		fragment.size = total - header;
		fragment.bytes = view.at;
		fragment.kept = view.size;
		fragment.is_last = !(flags & 0x2000);
		if (!assemble(decoding, &fragment, &view))
			return DECODE_FRAGMENT;
	}
	return decode_protocol(protocol, view, decoding);
}

static bool is_extension(unsigned next)
{
	/* hop-by-hop, routing, destination, mobility */
	return next == 0 || next == 43 || next == 60 || next == 135;
}

/* Skips extension headers. Returns false if they are truncated. */
static bool skip_extensions(struct view *view, unsigned *next)
{
	while (is_extension(*next)) {
		if (view->size < 8)
			return false;
		*next = view->at[0];
		if (!skip(view, ((size_t)view->at[1] + 1) * 8))
			return false;
	}
	return true;
}

static enum decode_result decode_ipv6(struct view view, struct decoding *decoding)
{
	struct decoded *decoded = decoding->decoded;
	struct fragment fragment = {0};
	const uint8_t *start = view.at;
	unsigned next;
	size_t total;

	if (view.size < 40 || view.at[0] >> 4 != 6)
		return DECODE_OTHER;
	next = view.at[6];
	total = 40 + (size_t)get16(view.at + 4);
	if (total > 40 && total < view.size)
		view.size = total;
	decoded->tos = (uint8_t)(view.at[0] << 4 | view.at[1] >> 4);
	decoded->from.family = decoded->to.family = FAMILY_IPV6;
	memcpy(decoded->from.ip, view.at + 8, 16);
	memcpy(decoded->to.ip, view.at + 24, 16);
	fragment.key[0] = 6;
	memcpy(fragment.key + 8, view.at + 8, 32);
	skip(&view, 40);
	if (!skip_extensions(&view, &next))
		return DECODE_OTHER;
	if (next == PROTOCOL_FRAGMENT) {
		unsigned flags;

		if (view.size < 8)
			return DECODE_FRAGMENT;
		next = view.at[0];
		flags = get16(view.at + 2);
		memcpy(fragment.key + 4, view.at + 4, 4);
		skip(&view, 8);
		/* Offset or more-fragments flag; with neither it is an atomic fragment (RFC 6946). */
		if (flags & 0xfff9) {
			if (total < (size_t)(view.at - start))
				return DECODE_FRAGMENT;
			fragment.offset = flags & 0xfff8;
			fragment.size = total - (size_t)(view.at - start);
			fragment.bytes = view.at;
			fragment.kept = view.size;
			fragment.is_last = !(flags & 1);
			if (!assemble(decoding, &fragment, &view))
				return DECODE_FRAGMENT;
		}
		if (!skip_extensions(&view, &next))
			return DECODE_OTHER;
	}
	return decode_protocol(next, view, decoding);
}

static enum decode_result decode_network(enum network network, struct view view, struct decoding *decoding)
{
	if (decoding->depth > NESTED_MAX)
		return DECODE_OTHER;
	switch (network) {
	case NETWORK_IPV4: return decode_ipv4(view, decoding);
	case NETWORK_IPV6: return decode_ipv6(view, decoding);
	case NETWORK_ARP: return DECODE_ARP;
	case NETWORK_LINK_UNKNOWN: return DECODE_LINK_UNKNOWN;
	default: return DECODE_OTHER;
	}
}

enum decode_result decode_packet(
    int link_type, const uint8_t *bytes, size_t size, struct fragments *fragments, struct decoded *decoded)
{
	struct view view = {.at = bytes, .size = size};
	struct decoding decoding = {.fragments = fragments, .decoded = decoded};
	enum network network = decode_link_layer(link_type, &view, 0);

	*decoded = (struct decoded){.fragments = 1};
	return decode_network(network, view, &decoding);
}
