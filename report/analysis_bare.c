/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis_bare: a tale without comments.
 *
 * Classic pcap of ours has the two sides of the proxy (report/sides.h). What came and
 * what left are paired by their bytes, the older first: what never left was lost, what left twice was copied.
 * The session that a port towards the cloud belongs to is learned from the first datagram that left by it.
 *
 * Any other file is one place's view: its datagrams are counted as come and gone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/memory.h"
#include "report/flows.h"
#include "report/sides.h"
#include "report/analysis_inside.h"

#define LOOKS_MAX 64    /* among datagrams of the same bytes */
#define LEAST_WAIT NS_S /* what has not left by so long before the end was lost */
#define NEXT_NONE UINT32_MAX

/* Marks of the same bytes and way, in order of arrival. */
struct same {
	uint32_t first, last;
};

struct bare {
	struct analysis *analysis;
	struct index by_bytes; /* into `sames` */
	struct same *sames;
	size_t same_count;
	uint32_t *next; /* for each mark: the next one of the same bytes */
	size_t next_cap;
	struct index by_device, by_port; /* addresses to sessions' numbers */
	uint32_t sessions;
};

static uint64_t key_of(enum way way, const struct decoded *decoded)
{
	return chance_hash((uint64_t)way + 2 * decoded->size, decoded->payload, decoded->kept);
}

/* ---- Pairing ---- */

static void remember(struct bare *bare, const struct packet_record *record, const struct decoded *decoded)
{
	uint64_t key = key_of((enum way)record->way, decoded);
	uint32_t number = (uint32_t)(record - bare->analysis->records), at = index_find(&bare->by_bytes, key);

	if (number >= bare->next_cap) {
		bare->next_cap = 2 * ((size_t)number + 1);
		bare->next = memory_resize(bare->next, bare->next_cap, sizeof(*bare->next));
	}
	bare->next[number] = NEXT_NONE;
	if (at != INDEX_NONE) {
		bare->next[bare->sames[at].last] = number;
		bare->sames[at].last = number;
		return;
	}
	bare->sames = memory_grow(bare->sames, bare->same_count, sizeof(*bare->sames));
	bare->sames[bare->same_count] = (struct same){number, number};
	index_add(&bare->by_bytes, key, (uint32_t)bare->same_count++);
}

/* The oldest one of these bytes that has not left (of this session, where it is known); else one that has:
 * then this is a copy. */
static struct packet_record *pair(
    struct bare *bare, enum way way, const struct decoded *decoded, const struct analysis_session *session)
{
	struct analysis *analysis = bare->analysis;
	uint32_t at = index_find(&bare->by_bytes, key_of(way, decoded));
	struct packet_record *gone = NULL;

	if (at == INDEX_NONE)
		return NULL;
	/* What has left stays at the head only until the next one has left too. */
	while (bare->next[bare->sames[at].first] != NEXT_NONE &&
	       analysis->records[bare->sames[at].first].fate == FATE_SENT &&
	       analysis->records[bare->next[bare->sames[at].first]].fate == FATE_SENT)
		bare->sames[at].first = bare->next[bare->sames[at].first];
	for (uint32_t i = bare->sames[at].first, looks = 0; i != NEXT_NONE && looks < LOOKS_MAX;
	     i = bare->next[i], looks++) {
		struct packet_record *record = &analysis->records[i];

		if (session && &analysis->sessions[record->session] != session)
			continue;
		if (record->fate == FATE_WAITS)
			return record;
		gone = record;
	}
	return gone;
}

static void departed(
    struct bare *bare, enum way way, const struct decoded *decoded, struct analysis_session *session, ns_t at)
{
	struct packet_record *record = pair(bare, way, decoded, session);
	struct account *account;

	if (!record) {
		bare->analysis->strange++;
		return;
	}
	if (record->fate == FATE_WAITS) {
		analysis_sent(bare->analysis, record, at);
		analysis_measured(bare->analysis, record, at - record->at >= NS_MS);
		record->delay_us = (at - record->at) / NS_US;
	} else {
		account = &bare->analysis->sessions[record->session].accounts[way];
		account->copies++;
		account->sent++;
		record->copies++;
		record->copies_sent++;
		bare->analysis->sessions[record->session].ways[way].copies_sent[ORIGIN_DUPLICATE]++;
		analysis_copied(bare->analysis, record, at);
	}
	analysis_left(&bare->analysis->sessions[record->session], way, decoded);
	analysis_delivered(bare->analysis, &bare->analysis->sessions[record->session], way, decoded, at);
	if (way == WAY_UP && !session) {
		session = &bare->analysis->sessions[record->session];
		index_add(&bare->by_port, address_hash(&decoded->from), session->number);
		session->rebinds += session->cloud_port != 0;
		session->cloud_port = decoded->from.port;
	}
}

/* ---- Sessions ---- */

/* As a core tells sessions apart: by the device's address and the one that it spoke to. */
static struct analysis_session *session_of_device(
    struct bare *bare, const struct address *device, const struct address *device_side, ns_t at)
{
	uint64_t key = address_hash(device) * 3 + address_hash(device_side);
	uint32_t number = index_find(&bare->by_device, key);
	struct analysis_session *session;

	if (number != INDEX_NONE)
		return analysis_session(bare->analysis, number, at);
	number = ++bare->sessions;
	index_add(&bare->by_device, key, number);
	session = analysis_session(bare->analysis, number, at);
	session->device = *device;
	session->header = device->family == FAMILY_IPV6 ? ANALYSIS_HEADER_IPV6 : ANALYSIS_HEADER_IPV4;
	return session;
}

static struct analysis_session *session_of_port(struct bare *bare, const struct address *port)
{
	uint32_t number = index_find(&bare->by_port, address_hash(port));

	return number == INDEX_NONE ? NULL : analysis_session(bare->analysis, number, 0);
}

static struct packet_record *arrived(
    struct bare *bare, struct analysis_session *session, enum way way, const struct decoded *decoded, ns_t at)
{
	struct packet_record *record = analysis_arrived(
	    bare->analysis, session, way, ++session->bare_n[way], decoded, at);

	if (session->steps != bare->analysis->steps)
		handshakes_step(&session->handshakes);
	session->steps = bare->analysis->steps;
	analysis_inspect(bare->analysis, session, record, decoded);
	record->words = analysis_words_add(&bare->analysis->words, "", 0);
	return record;
}

static void take_two_sided(
    struct bare *bare, const struct saved_packet *packet, const struct decoded *decoded)
{
	struct analysis_session *session;
	enum party from, to;

	sides_parties(packet, &from, &to);
	if (from == PARTY_IS_DEVICE && to == PARTY_IS_PROXY) {
		session = session_of_device(bare, &decoded->from, &decoded->to, packet->at);
		remember(bare, arrived(bare, session, WAY_UP, decoded, packet->at), decoded);
	} else if (from == PARTY_IS_CLOUD && to == PARTY_IS_PROXY &&
	           (session = session_of_port(bare, &decoded->to))) {
		remember(bare, arrived(bare, session, WAY_DOWN, decoded, packet->at), decoded);
	} else if (from == PARTY_IS_PROXY && to == PARTY_IS_CLOUD) {
		departed(bare, WAY_UP, decoded, session_of_port(bare, &decoded->from), packet->at);
	} else if (from == PARTY_IS_PROXY && to == PARTY_IS_DEVICE) {
		session = session_of_device(bare, &decoded->to, &decoded->from, packet->at);
		departed(bare, WAY_DOWN, decoded, session, packet->at);
	} else if (from != PARTY_IS_PROXY || to != PARTY_IS_PROXY) { /* else an event of ours */
		bare->analysis->strange++;
	}
}

/* What never left, though others did that came long after it. */
static void bury(struct analysis *analysis)
{
	for (size_t i = 0; i < analysis->record_count; i++) {
		struct packet_record *record = &analysis->records[i];
		ns_t slowest = analysis->sessions[record->session].ways[record->way].slowest;
		ns_t wait = slowest > LEAST_WAIT ? slowest : LEAST_WAIT;

		if (record->fate == FATE_WAITS && record->at < analysis->last - wait)
			analysis_dropped(analysis, record, REASON_LOSS, "", 0, record->at);
	}
}

/* ---- */

static void take(
    struct bare *bare, const struct flows *flows, struct reader *reader, const struct reader_packet *from)
{
	const struct saved_packet *packet = &from->saved;
	struct analysis *analysis = bare->analysis;
	struct analysis_session *session;
	struct decoded decoded;
	struct packet_record *record;
	struct flow flow;

	analysis->steps += from->follows_step;
	if (reader_decode(reader, from, &decoded) != DECODE_UDP)
		return;
	if (analysis->kind == ANALYSIS_TWO_SIDES) {
		take_two_sided(bare, packet, &decoded);
	} else if (flows_take(flows, packet, &decoded, &flow)) {
		session = session_of_device(bare, &flow.device, &flow.device_side, packet->at);
		record = arrived(bare, session, flow.way, &decoded, packet->at);
		analysis_sent(analysis, record, packet->at);
		analysis_left(session, flow.way, &decoded);
		analysis_delivered(analysis, session, flow.way, &decoded, packet->at);
		analysis_done(analysis, record);
	} else {
		analysis->strange++;
	}
}

static int feed(struct bare *bare, struct inputs *inputs, const struct flows *flows, struct error *error)
{
	struct analysis *analysis = bare->analysis;
	struct reader *reader = reader_open(inputs, error);
	struct reader_packet packet;

	if (!reader)
		return -1;
	while (reader_next(reader, &packet)) {
		if (!analysis->packets++)
			analysis->first = packet.saved.at;
		analysis->last = packet.saved.at > analysis->last ? packet.saved.at : analysis->last;
		take(bare, flows, reader, &packet);
	}
	analysis_reader_done(analysis, reader);
	reader_close(reader);
	return 0;
}

int analysis_read_bare(struct analysis *analysis, struct inputs *inputs, const struct analysis_filter *filter,
    struct error *error)
{
	struct bare bare = {.analysis = analysis};
	struct flows_filter flows_filter = {.device = filter->device, .cloud = filter->cloud};
	struct flows *flows = NULL;
	int status = 0;

	struct sides *sides = sides_new(inputs);

	analysis->kind = sides ? ANALYSIS_TWO_SIDES : ANALYSIS_ONE_SIDE;
	sides_free(sides);
	analysis->brief &= analysis->kind ==
	                   ANALYSIS_ONE_SIDE; /* what left is paired with what came by its bytes */
	if (analysis->kind == ANALYSIS_ONE_SIDE) {
		flows = flows_new(inputs, &flows_filter, error);
		if (!flows)
			return -1;
		if (*flows_notice(flows))
			text_add(&analysis->notes, "%s\n", flows_notice(flows));
	}
	status = feed(&bare, inputs, flows, error);
	if (!status && analysis->kind == ANALYSIS_TWO_SIDES)
		bury(analysis);
	if (flows)
		flows_free(flows);
	free(bare.sames);
	free(bare.next);
	index_free(&bare.by_bytes);
	index_free(&bare.by_device);
	index_free(&bare.by_port);
	return status;
}
