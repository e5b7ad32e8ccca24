#include "capture/decode.h"

#include <string.h>

#define LINK_NULL 0
#define LINK_ETHERNET 1
#define LINK_RAW 101
#define LINK_RAW_OLD 12
#define LINK_RAW_BSD 14
#define LINK_LOOP 108
#define LINK_SLL 113
#define LINK_IPV4 228
#define LINK_IPV6 229
#define LINK_SLL2 276

#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_VLAN 0x8100
#define TYPE_VLAN_OUTER 0x88a8
#define PROTOCOL_UDP 17

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* A view that shrinks from the front; skipping more than there is leaves it empty and says so. */
struct view {
	const uint8_t *at;
	size_t size;
};

static bool skip(struct view *view, size_t size)
{
	if (view->size < size)
		return false;
	view->at += size;
	view->size -= size;
	return true;
}

/* Behind a type field at `at`: VLAN tags, until the type of what they carry. */
static unsigned behind_tags(struct view *view, unsigned type)
{
	while ((type == TYPE_VLAN || type == TYPE_VLAN_OUTER) && view->size >= 4) {
		type = get16(view->at + 2);
		skip(view, 4);
	}
	return type;
}

/* Gives the IP version inside, 0 where it is something else, -1 where the link layer is not known. */
static int link_layer(int link_type, struct view *view)
{
	unsigned type = 0;

	switch (link_type) {
	case LINK_ETHERNET:
		if (view->size < 14)
			return 0;
		type = get16(view->at + 12);
		skip(view, 14);
		type = behind_tags(view, type);
		break;
	case LINK_SLL:
		if (view->size < 16)
			return 0;
		type = get16(view->at + 14);
		skip(view, 16);
		type = behind_tags(view, type);
		break;
	case LINK_SLL2:
		if (view->size < 20)
			return 0;
		type = get16(view->at);
		skip(view, 20);
		type = behind_tags(view, type);
		break;
	case LINK_NULL:
	case LINK_LOOP:
		if (!skip(view, 4) || !view->size)
			return 0;
		return view->at[0] >>
		       4; /* the address family's number differs between systems; the version does not */
	case LINK_RAW:
	case LINK_RAW_OLD:
	case LINK_RAW_BSD:
	case LINK_IPV4:
	case LINK_IPV6: return view->size ? view->at[0] >> 4 : 0;
	default: return -1;
	}
	return type == TYPE_IPV4 ? 4 : type == TYPE_IPV6 ? 6 : 0;
}

static enum decode_result udp(struct view view, struct decoded *decoded)
{
	unsigned size;

	if (view.size < 8)
		return DECODE_OTHER;
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

static enum decode_result ipv4(struct view view, struct decoded *decoded)
{
	size_t header, total;

	if (view.size < 20 || view.at[0] >> 4 != 4)
		return DECODE_OTHER;
	header = (size_t)(view.at[0] & 15) * 4;
	total = get16(view.at + 2);
	if (header < 20 || view.at[9] != PROTOCOL_UDP)
		return DECODE_OTHER;
	if (get16(view.at + 6) & 0x3fff)
		return DECODE_FRAGMENT;
	if (total >= header && total < view.size)
		view.size = total; /* what is behind is padding of the link */
	decoded->tos = view.at[1];
	decoded->from.family = decoded->to.family = FAMILY_IPV4;
	memcpy(decoded->from.ip, view.at + 12, 4);
	memcpy(decoded->to.ip, view.at + 16, 4);
	return skip(&view, header) ? udp(view, decoded) : DECODE_OTHER;
}

static bool is_extension(unsigned next)
{
	return next == 0 || next == 43 || next == 60 ||
	       next == 135; /* hop-by-hop, routing, destination, mobility */
}

static enum decode_result ipv6(struct view view, struct decoded *decoded)
{
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
	skip(&view, 40);
	while (is_extension(next)) {
		if (view.size < 8)
			return DECODE_OTHER;
		next = view.at[0];
		if (!skip(&view, ((size_t)view.at[1] + 1) * 8))
			return DECODE_OTHER;
	}
	if (next == 44)
		return DECODE_FRAGMENT;
	return next == PROTOCOL_UDP ? udp(view, decoded) : DECODE_OTHER;
}

enum decode_result decode_packet(int link_type, const uint8_t *bytes, size_t size, struct decoded *decoded)
{
	struct view view = {.at = bytes, .size = size};

	*decoded = (struct decoded){0};
	switch (link_layer(link_type, &view)) {
	case 4: return ipv4(view, decoded);
	case 6: return ipv6(view, decoded);
	case -1: return DECODE_LINK_UNKNOWN;
	default: return DECODE_OTHER;
	}
}
