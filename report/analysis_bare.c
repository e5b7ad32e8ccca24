/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis_bare: reads captures without comments.
 *
 * A classic pcap file of deadzone shows both sides of the proxy (report/sides.h). Arrivals and departures are
 * paired by their bytes, oldest first: an arrival that never left was lost, one that left twice was copied.
 * A port towards the cloud belongs to the session of the first datagram that left from it.
 *
 * Any other file is the view of one place: each datagram counts as sent the moment it arrived.
 */
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/memory.h"
#include "report/flows.h"
#include "report/sides.h"
#include "report/analysis_inside.h"

#define CANDIDATES_MAX 64 /* records with equal bytes that are tried */
#define WAIT_MIN NS_S     /* a datagram that waits longer than this at the end was lost */
#define NEXT_NONE UINT32_MAX

/* List of the records with equal bytes and direction, in order of arrival. */
struct same_bytes {
	uint32_t first, last;
};

struct bare {
	struct analysis *analysis;
	struct index by_bytes; /* hash of direction and bytes to index into `lists` */
	struct same_bytes *lists;
	size_t list_count;
	uint32_t *next; /* for each record: the next one with equal bytes */
	size_t next_cap;
	struct index by_device, by_port; /* hash of addresses to session number */
	uint32_t sessions;
};

static uint64_t bytes_key(enum way way, const struct decoded *decoded)
{
	return chance_hash((uint64_t)way + 2 * decoded->size, decoded->payload, decoded->kept);
}

/* ---- Pairing ---- */

static void add_arrival(struct bare *bare, const struct packet_record *record, const struct decoded *decoded)
{
	uint64_t key = bytes_key((enum way)record->way, decoded);
	uint32_t number = (uint32_t)(record - bare->analysis->records),
	         list = index_find(&bare->by_bytes, key);

	if (number >= bare->next_cap) {
		bare->next_cap = 2 * ((size_t)number + 1);
		bare->next = memory_resize(bare->next, bare->next_cap, sizeof(*bare->next));
	}
	bare->next[number] = NEXT_NONE;
	if (list != INDEX_NONE) {
		bare->next[bare->lists[list].last] = number;
		bare->lists[list].last = number;
		return;
	}
	bare->lists = memory_grow(bare->lists, bare->list_count, sizeof(*bare->lists));
	bare->lists[bare->list_count] = (struct same_bytes){number, number};
	index_add(&bare->by_bytes, key, (uint32_t)bare->list_count++);
}

/* Finds the arrival of a departing datagram: the oldest one with equal bytes that has not left, of `session`
 * if that is known. Failing that, returns one that has left: then this is a copy. NULL if there is none. */
static struct packet_record *find_arrival(
    struct bare *bare, enum way way, const struct decoded *decoded, const struct analysis_session *session)
{
	struct analysis *analysis = bare->analysis;
	uint32_t list = index_find(&bare->by_bytes, bytes_key(way, decoded));
	struct packet_record *sent_record = NULL;

	if (list == INDEX_NONE)
		return NULL;
	/* A sent record stays at the head of its list only until the next one has been sent too. */
	while (bare->next[bare->lists[list].first] != NEXT_NONE &&
	       analysis->records[bare->lists[list].first].fate == FATE_SENT &&
	       analysis->records[bare->next[bare->lists[list].first]].fate == FATE_SENT)
		bare->lists[list].first = bare->next[bare->lists[list].first];
	for (uint32_t i = bare->lists[list].first, tried = 0; i != NEXT_NONE && tried < CANDIDATES_MAX;
	     i = bare->next[i], tried++) {
		struct packet_record *record = &analysis->records[i];

		if (session && &analysis->sessions[record->session] != session)
			continue;
		if (record->fate == FATE_OPEN)
			return record;
		sent_record = record;
	}
	return sent_record;
}

static void handle_departure(
    struct bare *bare, enum way way, const struct decoded *decoded, struct analysis_session *session, ns_t at)
{
	struct packet_record *record = find_arrival(bare, way, decoded, session);
	struct account *account;

	if (!record) {
		bare->analysis->strange++;
		return;
	}
	if (record->fate == FATE_OPEN) {
		analysis_sent(bare->analysis, record, at);
		analysis_add_delay(bare->analysis, record, at - record->at >= NS_MS);
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
	analysis_count_wire(&bare->analysis->sessions[record->session], way, decoded);
	analysis_delivered(bare->analysis, &bare->analysis->sessions[record->session], way, decoded, at);
	if (way == WAY_UP && !session) {
		session = &bare->analysis->sessions[record->session];
		index_add(&bare->by_port, address_hash(&decoded->from), session->number);
		session->rebinds += session->cloud_port != 0;
		session->cloud_port = decoded->from.port;
		session->cloud = decoded->to;
	}
}

/* ---- Sessions ---- */

/* Identifies sessions as the proxy does: by the device's address and the address it sends to. */
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

static struct packet_record *handle_arrival(
    struct bare *bare, struct analysis_session *session, enum way way, const struct decoded *decoded, ns_t at)
{
	struct packet_record *record = analysis_add_arrival(
	    bare->analysis, session, way, ++session->bare_n[way], decoded, at);

	if (session->steps != bare->analysis->steps)
		handshakes_step(&session->handshakes);
	session->steps = bare->analysis->steps;
	analysis_inspect(bare->analysis, session, record, decoded);
	record->words = analysis_words_add(&bare->analysis->words, "", 0);
	return record;
}

static void handle_two_sided(
    struct bare *bare, const struct saved_packet *packet, const struct decoded *decoded)
{
	struct analysis_session *session;
	enum party from, to;

	sides_parties(packet, &from, &to);
	if (from == PARTY_IS_DEVICE && to == PARTY_IS_PROXY) {
		session = session_of_device(bare, &decoded->from, &decoded->to, packet->at);
		add_arrival(bare, handle_arrival(bare, session, WAY_UP, decoded, packet->at), decoded);
	} else if (from == PARTY_IS_CLOUD && to == PARTY_IS_PROXY &&
	           (session = session_of_port(bare, &decoded->to))) {
		add_arrival(bare, handle_arrival(bare, session, WAY_DOWN, decoded, packet->at), decoded);
	} else if (from == PARTY_IS_PROXY && to == PARTY_IS_CLOUD) {
		handle_departure(bare, WAY_UP, decoded, session_of_port(bare, &decoded->from), packet->at);
	} else if (from == PARTY_IS_PROXY && to == PARTY_IS_DEVICE) {
		session = session_of_device(bare, &decoded->to, &decoded->from, packet->at);
		handle_departure(bare, WAY_DOWN, decoded, session, packet->at);
	} else if (from != PARTY_IS_PROXY || to != PARTY_IS_PROXY) { /* else an event of deadzone */
		bare->analysis->strange++;
	}
}

/* Drops records that waited longer at the end than WAIT_MIN and than any other in their direction. */
static void drop_waiting(struct analysis *analysis)
{
	for (size_t i = 0; i < analysis->record_count; i++) {
		struct packet_record *record = &analysis->records[i];
		ns_t slowest = analysis->sessions[record->session].ways[record->way].slowest;
		ns_t wait = slowest > WAIT_MIN ? slowest : WAIT_MIN;

		if (record->fate == FATE_OPEN && record->at < analysis->last - wait)
			analysis_dropped(analysis, record, REASON_LOSS, "", 0, record->at);
	}
}

/* ---- Reading ---- */

static void handle_packet(
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
		handle_two_sided(bare, packet, &decoded);
	} else if (flows_match(flows, packet, &decoded, &flow)) {
		session = session_of_device(bare, &flow.device, &flow.device_side, packet->at);
		session->cloud = flow.cloud;
		record = handle_arrival(bare, session, flow.way, &decoded, packet->at);
		analysis_sent(analysis, record, packet->at);
		analysis_count_wire(session, flow.way, &decoded);
		analysis_delivered(analysis, session, flow.way, &decoded, packet->at);
		analysis_release_record(analysis, record);
	} else {
		analysis->strange++;
	}
}

static int read_packets(
    struct bare *bare, struct inputs *inputs, const struct flows *flows, struct error *error)
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
		handle_packet(bare, flows, reader, &packet);
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
	analysis->brief &= analysis->kind == ANALYSIS_ONE_SIDE; /* pairing by bytes needs all records */
	if (analysis->kind == ANALYSIS_ONE_SIDE) {
		flows = flows_new(inputs, &flows_filter, error);
		if (!flows)
			return -1;
		if (*flows_notice(flows))
			text_add(&analysis->notes, "%s\n", flows_notice(flows));
	}
	status = read_packets(&bare, inputs, flows, error);
	if (!status && analysis->kind == ANALYSIS_TWO_SIDES)
		drop_waiting(analysis);
	if (flows)
		flows_free(flows);
	free(bare.lists);
	free(bare.next);
	index_free(&bare.by_bytes);
	index_free(&bare.by_device);
	index_free(&bare.by_port);
	return status;
}
