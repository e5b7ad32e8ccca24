/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flows_new reads the capture and learns from each packet; then it fails if nothing fits the filter. There
 * are three kinds of capture, each with its own learn_ and match_ functions: pcapng of deadzone (own),
 * classic pcap of deadzone (report/sides.h), and any other.
 */
#include "report/flows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "capture/pcapng.h"
#include "report/index.h"
#include "report/sides.h"
#include "rules/dtls.h"

#define COAPS_PORT 5684   /* RFC 7252 */
#define OPENSSL_PORT 4433 /* default of the OpenSSL and Mbed TLS example servers */

#define PORTS_MAX 64
#define TALKS_MAX 1024 /* pairs of addresses that are counted; later ones are ignored */
#define TALKS_LISTED 3 /* in an error message */

/* The addresses of a session in a capture of deadzone, and its source ports in order of appearance. */
struct ends {
	struct address device, device_side, cloud_side, cloud;
	uint16_t ports[PORTS_MAX];
	unsigned port_count;
};

/* Returns the position of `port` among the session's source ports, from 1; 0: unknown. */
static uint32_t port_number(struct ends *ends, uint16_t port)
{
	for (unsigned i = 0; i < ends->port_count; i++)
		if (ends->ports[i] == port)
			return i + 1;
	return 0;
}

/* Two addresses whose ports do not show which of them is the device. */
struct pair {
	struct address device;
	bool by_hello; /* it sent a ClientHello; otherwise it only sent the first datagram */
};

struct flows {
	struct address_pattern device;
	bool device_named, ours, seed_known;
	struct sides *sides;  /* NULL unless the capture is a classic pcap of deadzone */
	struct address cloud; /* FAMILY_NONE: by port */
	uint64_t seed;
	uint64_t arrivals; /* in a capture of deadzone: those whose device is known */
	struct ends *sessions;
	size_t session_count;
	struct index by_number;
	struct pair *pairs;
	size_t pair_count;
	struct index by_pair;
	/* Datagrams per sender and receiver, for error messages. */
	struct talk {
		struct address from, to;
		uint64_t count;
	} talks[TALKS_MAX];
	size_t talk_count;
	struct index by_talk;
	char notice[160];
};

/* Returns the session's number from a comment "s=3 …", or 0. */
static uint32_t comment_session(const char *comment)
{
	return strncmp(comment, "s=", 2) == 0 ? (uint32_t)strtoul(comment + 2, NULL, 10) : 0;
}

static bool is_dtls_port(const struct address *address)
{
	return address->port == COAPS_PORT || address->port == OPENSSL_PORT;
}

static bool is_client_hello(const struct decoded *decoded)
{
	struct dtls_session session;
	struct dtls_peek peek;

	dtls_init(&session);
	dtls_parse(&session, WAY_UP, decoded->payload, decoded->kept, &peek);
	return peek.kinds >> DTLS_KIND_CLIENT_HELLO & 1;
}

static struct ends *get_ends(struct flows *flows, uint32_t session)
{
	uint32_t index = index_find(&flows->by_number, session);

	if (index != INDEX_NONE)
		return &flows->sessions[index];
	flows->sessions = memory_grow(flows->sessions, flows->session_count, sizeof(*flows->sessions));
	index_add(&flows->by_number, session, (uint32_t)flows->session_count);
	flows->sessions[flows->session_count] = (struct ends){0};
	return &flows->sessions[flows->session_count++];
}

/* Learns from a packet of deadzone; both interfaces together show the four addresses of a session. */
static void learn_own(struct flows *flows, const struct saved_packet *packet, const struct decoded *decoded)
{
	uint32_t number = comment_session(packet->comment);
	bool inbound = (packet->flags & 3) == PCAPNG_INBOUND;
	bool is_device = strcmp(packet->interface, "device") == 0;
	struct ends *ends;

	/* An arrival from the cloud is of no use until a packet shows the session's device. */
	flows->arrivals += inbound && packet->comment[0] &&
	                   (is_device || (number && get_ends(flows, number)->device.family));

	if (!number)
		return;
	ends = get_ends(flows, number);
	if (is_device) {
		ends->device = inbound ? decoded->from : decoded->to;
		ends->device_side = inbound ? decoded->to : decoded->from;
	} else if (strcmp(packet->interface, "cloud") == 0) {
		ends->cloud_side = inbound ? decoded->to : decoded->from;
		ends->cloud = inbound ? decoded->from : decoded->to;
		if (!port_number(ends, ends->cloud_side.port) && ends->port_count < PORTS_MAX)
			ends->ports[ends->port_count++] = ends->cloud_side.port;
	}
}

/* The key is the same in both directions. */
static uint64_t pair_key(const struct decoded *decoded)
{
	return address_hash(&decoded->from) + address_hash(&decoded->to);
}

static const struct pair *find_pair(const struct flows *flows, const struct decoded *decoded)
{
	uint32_t index = index_find(&flows->by_pair, pair_key(decoded));

	return index == INDEX_NONE ? NULL : &flows->pairs[index];
}

static void learn_pair(struct flows *flows, const struct decoded *decoded, bool is_hello)
{
	uint32_t index = index_find(&flows->by_pair, pair_key(decoded));

	if (index == INDEX_NONE) {
		flows->pairs = memory_grow(flows->pairs, flows->pair_count, sizeof(*flows->pairs));
		index = (uint32_t)flows->pair_count++;
		index_add(&flows->by_pair, pair_key(decoded), index);
	} else if (!is_hello || flows->pairs[index].by_hello) {
		return;
	}
	flows->pairs[index] = (struct pair){decoded->from, is_hello};
}

/* Learns from a packet of another capture; returns true if one end has a DTLS port. */
static bool learn_other(struct flows *flows, const struct decoded *decoded, struct address *hello_to)
{
	bool from_port = is_dtls_port(&decoded->from), to_port = is_dtls_port(&decoded->to);
	bool is_hello = is_client_hello(decoded);

	if (!hello_to->family && is_hello)
		*hello_to = decoded->to;
	if ((from_port && to_port) || (!to_port && is_hello))
		learn_pair(flows, decoded, is_hello);
	return to_port || from_port;
}

static void count_talk(struct flows *flows, const struct decoded *decoded)
{
	uint64_t key = address_hash(&decoded->from) * 3 + address_hash(&decoded->to);
	uint32_t index = index_find(&flows->by_talk, key);

	if (index == INDEX_NONE && flows->talk_count < TALKS_MAX) {
		index = (uint32_t)flows->talk_count++;
		flows->talks[index] = (struct talk){.from = decoded->from, .to = decoded->to};
		index_add(&flows->by_talk, key, index);
	}
	if (index != INDEX_NONE)
		flows->talks[index].count++;
}

static int compare_talks(const void *a, const void *b)
{
	const struct talk *x = a, *y = b;

	return x->count > y->count ? -1 : x->count < y->count;
}

/* Appends "10.0.0.1:4000 to 10.0.0.2:5683 (12), …". */
static void add_busiest(struct flows *flows, struct text *text)
{
	char from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE];

	qsort(flows->talks, flows->talk_count, sizeof(*flows->talks), compare_talks);
	for (size_t i = 0; i < flows->talk_count && i < TALKS_LISTED; i++)
		text_add(text, "%s%s to %s (%" PRIu64 ")", i ? ", " : "",
		    address_text(&flows->talks[i].from, from, sizeof(from)),
		    address_text(&flows->talks[i].to, to, sizeof(to)), flows->talks[i].count);
}

/* Error: the capture does not have the device or cloud that the user named. */
static int error_nothing_fits(struct flows *flows, struct error *error)
{
	struct text text = {0};

	text_add(&text, "no datagram belongs to that device or cloud; the busiest are ");
	add_busiest(flows, &text);
	error_set(error, "%s", text.at);
	text_free(&text);
	return -1;
}

/* Error: nothing shows which end is the cloud. */
static int error_no_cloud(struct flows *flows, struct error *error)
{
	struct text text = {0};

	text_add(&text,
	    "it has neither a DTLS port (%d, %d) nor a ClientHello; name the cloud with --cloud ADDR:PORT or "
	    "the device with --device ADDR[:PORT]; the busiest are ",
	    COAPS_PORT, OPENSSL_PORT);
	add_busiest(flows, &text);
	error_set(error, "%s", text.at);
	text_free(&text);
	return -1;
}

static int error_no_datagrams(const struct reader *reader, struct error *error)
{
	struct text text = {0};

	reader_count_others(reader, &text);
	error_set(error, "it holds no UDP datagrams%s%s", text.size ? ", but " : " and no other packets",
	    text.size ? text.at : "");
	text_free(&text);
	return -1;
}

static bool device_fits(const struct flows *flows, const struct address *address)
{
	return !flows->device_named || address_pattern_matches(&flows->device, address);
}

static bool cloud_fits(const struct flows *flows, const struct address *address)
{
	return !flows->cloud.family || address_equal(&flows->cloud, address);
}

/* For captures of others. Returns true also if there were too many pairs to be sure. */
static bool any_fits(const struct flows *flows)
{
	for (size_t i = 0; i < flows->talk_count; i++) {
		const struct talk *talk = &flows->talks[i];

		if ((device_fits(flows, &talk->from) && cloud_fits(flows, &talk->to)) ||
		    (device_fits(flows, &talk->to) && cloud_fits(flows, &talk->from)))
			return true;
	}
	return flows->talk_count == TALKS_MAX;
}

static bool any_session_fits(const struct flows *flows)
{
	for (size_t i = 0; i < flows->session_count; i++)
		if (device_fits(flows, &flows->sessions[i].device) &&
		    cloud_fits(flows, &flows->sessions[i].cloud))
			return true;
	return false;
}

static bool any_side_fits(const struct flows *flows)
{
	for (size_t i = 0; i < sides_count(flows->sides); i++)
		if (device_fits(flows, &sides_at(flows->sides, i)->device) &&
		    cloud_fits(flows, &sides_at(flows->sides, i)->cloud))
			return true;
	return false;
}

static bool has_filter(const struct flows *flows)
{
	return flows->device_named || flows->cloud.family;
}

static int learn_capture(
    struct flows *flows, struct inputs *inputs, struct reader *reader, struct error *error)
{
	bool is_filtered = has_filter(flows);
	struct reader_packet packet;
	struct decoded decoded;
	struct address hello_to = {0};
	bool by_port = false, has_datagrams = false;
	char text[ADDRESS_TEXT_SIZE];

	flows->ours = reader_is_ours(reader);
	while (reader_next(reader, &packet)) {
		if (reader_decode(reader, &packet, &decoded) != DECODE_UDP)
			continue;
		has_datagrams = true;
		if (is_filtered || !flows->ours)
			count_talk(flows, &decoded);
		if (flows->ours)
			learn_own(flows, &packet.saved, &decoded);
		else
			by_port |= learn_other(flows, &decoded, &hello_to);
	}
	flows->seed_known = reader_seed(reader, &flows->seed);
	if (!has_datagrams)
		return error_no_datagrams(reader, error);
	if (!flows->ours)
		flows->sides = sides_new(inputs);
	if (is_filtered && !flows->ours && !(flows->sides ? any_side_fits(flows) : any_fits(flows)))
		return error_nothing_fits(flows, error);
	if (flows->ours && !flows->arrivals)
		return error_set(error,
		    "it holds no datagram that arrived%s; a simulation needs those of both interfaces",
		    flows->session_count ? ", only what left" : "");
	if (is_filtered && flows->ours && !any_session_fits(flows))
		return error_nothing_fits(flows, error);
	if (flows->ours || flows->sides || flows->cloud.family || flows->device_named)
		return 0;
	if (by_port) {
		snprintf(flows->notice, sizeof(flows->notice),
		    "assuming that the cloud has port %d or %d (to name it: --cloud ADDR:PORT)", COAPS_PORT,
		    OPENSSL_PORT);
		return 0;
	}
	if (!hello_to.family)
		return error_no_cloud(flows, error);
	flows->cloud = hello_to;
	snprintf(flows->notice, sizeof(flows->notice),
	    "assuming that the cloud is %s, the receiver of the first ClientHello (to name it: --cloud)",
	    address_text(&hello_to, text, sizeof(text)));
	return 0;
}

struct flows *flows_new(struct inputs *inputs, const struct flows_filter *filter, struct error *error)
{
	struct flows *flows = memory_new(1, sizeof(*flows));
	struct reader *reader = NULL;
	struct error reason;

	flows->device_named = filter->device != NULL;
	if ((filter->device && address_pattern_read(filter->device, &flows->device, error)) ||
	    (filter->cloud && address_read(filter->cloud, &flows->cloud, error)) ||
	    !(reader = reader_open(inputs, error))) {
		free(flows);
		return NULL;
	}
	if (learn_capture(flows, inputs, reader, &reason)) {
		error_set(error, "`%s`: %s", inputs_name(inputs, 0), reason.text);
		flows_free(flows);
		flows = NULL;
	}
	reader_close(reader);
	return flows;
}

void flows_free(struct flows *flows)
{
	free(flows->sessions);
	sides_free(flows->sides);
	index_free(&flows->by_number);
	index_free(&flows->by_talk);
	free(flows->pairs);
	index_free(&flows->by_pair);
	free(flows);
}

static bool matches_filter(const struct flows *flows, const struct flow *flow)
{
	return device_fits(flows, &flow->device) && cloud_fits(flows, &flow->cloud);
}

static bool match_own(const struct flows *flows, const struct saved_packet *packet,
    const struct decoded *decoded, struct flow *flow)
{
	uint32_t number = comment_session(packet->comment),
	         index = number ? index_find(&flows->by_number, number) : INDEX_NONE;
	bool is_device = strcmp(packet->interface, "device") == 0;

	if ((packet->flags & 3) != PCAPNG_INBOUND || !packet->comment[0])
		return false;
	*flow = (struct flow){.way = is_device ? WAY_UP : WAY_DOWN};
	if (index != INDEX_NONE) {
		struct ends *ends = &flows->sessions[index];

		/* A device may move (follow_cid); its latest address counts. */
		if (is_device)
			ends->device = decoded->from;
		flow->device = ends->device;
		flow->device_side = ends->device_side;
		flow->cloud_side = ends->cloud_side;
		flow->cloud = ends->cloud;
		if (!is_device)
			flow->mapping = port_number(ends, decoded->to.port);
	} else if (is_device) { /* refused before it had a session */
		flow->device = decoded->from;
		flow->device_side = decoded->to;
	}
	return flow->device.family && matches_filter(flows, flow);
}

static bool match_sides(const struct flows *flows, const struct saved_packet *packet,
    const struct decoded *decoded, struct flow *flow)
{
	const struct sides_ends *ends = NULL;
	enum party from, to;

	sides_parties(packet, &from, &to);
	if (from == PARTY_IS_DEVICE)
		ends = sides_of_device(flows->sides, &decoded->from, &decoded->to);
	else if (from == PARTY_IS_CLOUD)
		ends = sides_of_port(flows->sides, &decoded->to);
	if (!ends)
		return false;
	*flow = (struct flow){.way = from == PARTY_IS_DEVICE ? WAY_UP : WAY_DOWN,
	    .device = ends->device,
	    .device_side = ends->device_side,
	    .cloud_side = ends->cloud_side,
	    .cloud = ends->cloud};
	return matches_filter(flows, flow);
}

static bool is_up(const struct flows *flows, const struct decoded *decoded)
{
	const struct pair *pair = find_pair(flows, decoded);

	if (flows->cloud.family)
		return address_equal(&decoded->to, &flows->cloud);
	if (flows->device_named && !address_pattern_matches(&flows->device, &decoded->to))
		return address_pattern_matches(&flows->device, &decoded->from);
	if (flows->device_named && !address_pattern_matches(&flows->device, &decoded->from))
		return false;
	/* Nothing is named, or both ends match the named prefix. */
	if (pair && (flows->device_named || is_dtls_port(&decoded->from) || is_dtls_port(&decoded->to)))
		return address_equal(&pair->device, &decoded->from);
	return is_dtls_port(&decoded->to);
}

bool flows_match(const struct flows *flows, const struct saved_packet *packet, const struct decoded *decoded,
    struct flow *flow)
{
	struct decoded back = *decoded;

	if (flows->ours)
		return match_own(flows, packet, decoded, flow);
	if (flows->sides)
		return match_sides(flows, packet, decoded, flow);
	back.from = decoded->to;
	back.to = decoded->from;
	if (is_up(flows, decoded))
		*flow = (struct flow){.way = WAY_UP, .device = decoded->from, .cloud = decoded->to};
	else if (is_up(flows, &back))
		*flow = (struct flow){.way = WAY_DOWN, .device = decoded->to, .cloud = decoded->from};
	else
		return false;
	/* Without a proxy, use the addresses of the ends that its two sides would stand in for. */
	flow->device_side = flow->cloud;
	flow->cloud_side = flow->device;
	return matches_filter(flows, flow);
}

bool flows_seed(const struct flows *flows, uint64_t *seed)
{
	*seed = flows->seed;
	return flows->seed_known;
}

bool flows_recorded(const struct flows *flows)
{
	return !flows->ours && !flows->sides;
}

const char *flows_notice(const struct flows *flows)
{
	return flows->notice;
}
