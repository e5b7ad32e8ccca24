/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis_ours: reads captures of deadzone, whose comments (capture/fields.h) give each datagram's fate.
 *
 * The comment of an arrival has the decision: dropped, or passed with so many copies. The comment of a
 * departure names the session, direction and ordinal of the arrival, which may be one of several in a joint
 * datagram (action `pack`). A drop after the arrival has a comment of the kind FIELDS_UNSENT.
 */
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/memory.h"
#include "capture/fields.h"
#include "report/analysis_inside.h"

#define HEX_MAX 80 /* longest copy, in bytes, that is kept as hex */

/* Interns the fields that have no member in the record: "by=… hold=… did=… dev=… dtls=TYPE/EPOCH/". */
static uint32_t intern_rest(struct analysis *analysis, const struct fields *fields)
{
	const struct {
		const char *key;
		struct word word;
	} rows[] = {
	    {"by", fields->by}, {"hold", fields->hold}, {"did", fields->did}, {"dev", fields->device}};
	struct word dtls = fields->dtls;
	struct text *text = &analysis->scratch;

	text_clear(text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].word.at)
			text_add(text, "%s%s=%.*s", text->size ? " " : "", rows[i].key,
			    (int)rows[i].word.size, rows[i].word.at);
	while (dtls.size && dtls.at[dtls.size - 1] != '/')
		dtls.size--;
	if (!dtls.size)
		dtls = fields->dtls;
	if (dtls.at)
		text_add(text, "%sdtls=%.*s", text->size ? " " : "", (int)dtls.size, dtls.at);
	return analysis_words_add(&analysis->words, text->at ? text->at : "", text->size);
}

/* Interns the mutations in a form that rules can repeat: "set:57:12,truncate:100", or "corrupt:57" for a byte
 * that the capture lacks. Returns the index plus 1, or 0 if there are none or the analysis is brief. */
static uint32_t intern_mutations(
    struct analysis *analysis, const struct fields *fields, const struct decoded *decoded)
{
	struct text *text = &analysis->scratch;
	struct word rest = fields->did, mutation;
	uint8_t *bytes;

	if (!fields->did.at || analysis->brief)
		return 0;
	text_clear(text);
	bytes = memory_malloc(decoded->kept + 1);
	memcpy(bytes, decoded->payload, decoded->kept);
	while ((mutation = word_first(rest)).size) {
		unsigned byte = 0, value = 0;
		char word[40];

		analysis_copy_word(word, sizeof(word), mutation);
		text_add(text, "%s", text->size ? "," : "");
		if (sscanf(word, "corrupt:%u.%u", &byte, &value) == 2 && byte < decoded->kept && value < 8) {
			bytes[byte] ^= (uint8_t)(1u << value);
			text_add(text, "set:%u:%u", byte, bytes[byte]);
		} else if (sscanf(word, "set:%u:%u", &byte, &value) == 2 && byte < decoded->kept) {
			bytes[byte] = (uint8_t)value;
			text_add(text, "set:%u:%u", byte, bytes[byte]);
		} else if (sscanf(word, "corrupt:%u.", &byte) == 1) {
			text_add(text, "corrupt:%u", byte);
		} else {
			text_add(text, "%s", word);
		}
		if (mutation.size == rest.size)
			break;
		rest = (struct word){rest.at + mutation.size + 1, rest.size - mutation.size - 1};
	}
	free(bytes);
	return analysis_words_add(&analysis->words, text->at, text->size) + 1;
}

static uint32_t payload_hash(const struct decoded *decoded)
{
	return (uint32_t)chance_hash(decoded->size, decoded->payload, decoded->kept);
}

/* Notes the name of the link that is among the deciders: "link:NAME,rule:NAME". */
static void note_link(struct analysis_session *session, struct word by)
{
	struct word name;

	while ((name = word_first(by)).size) {
		if (name.size > 5 && memcmp(name.at, "link:", 5) == 0)
			analysis_copy_word(
			    session->link, sizeof(session->link), (struct word){name.at + 5, name.size - 5});
		if (name.size == by.size)
			return;
		by = (struct word){by.at + name.size + 1, by.size - name.size - 1};
	}
}

static bool contains(struct word word, const char *text)
{
	return word.at && memmem(word.at, word.size, text, strlen(text));
}

/* Counts a datagram that was refused before it had a session. */
static void handle_refused(
    struct analysis *analysis, const struct fields *fields, const struct decoded *decoded)
{
	struct account *account = &analysis->refused[fields->way];

	account->received++;
	account->bytes += decoded->size;
	account->dropped[fields->reason]++;
}

/* Notes the device's address or the port towards the cloud. */
static void note_addresses(
    struct analysis_session *session, const struct fields *fields, const struct decoded *decoded)
{
	bool device_side = (fields->kind == FIELDS_ARRIVED) == (fields->way == WAY_UP);
	bool from_proxy = fields->kind != FIELDS_ARRIVED;

	if (device_side) {
		session->device = from_proxy ? decoded->to : decoded->from;
		session->header = session->device.family == FAMILY_IPV6 ? ANALYSIS_HEADER_IPV6
		                                                        : ANALYSIS_HEADER_IPV4;
	} else if ((fields->kind != FIELDS_ARRIVED || !session->cloud_port) &&
	           fields->reason != REASON_FILTERED) {
		/* Without an address, the cloud was not known. */
		if ((from_proxy ? decoded->to : decoded->from).port)
			session->cloud = from_proxy ? decoded->to : decoded->from;
		session->cloud_port = from_proxy ? decoded->from.port : decoded->to.port;
	}
}

static void handle_arrival(struct analysis *analysis, struct analysis_session *session,
    const struct fields *fields, const struct decoded *decoded, ns_t at)
{
	struct packet_record *record;

	if (analysis_record(analysis, session, fields->way, fields->n)) {
		analysis->strange++;
		return;
	}
	if (session->move_count && fields->way == WAY_DOWN && fields->reason != REASON_FILTERED &&
	    !session->moves[session->move_count - 1].answered)
		session->moves[session->move_count - 1].answered = at;
	record = analysis_add_arrival(analysis, session, fields->way, fields->n, decoded, at);
	/* Datagrams dropped for these reasons reach no rule, so the proxy did not parse them either. */
	if (fields->reason != REASON_OVERLOAD && fields->reason != REASON_NAT_EXPIRED &&
	    fields->reason != REASON_FILTERED)
		analysis_inspect(analysis, session, record, decoded);
	record->words = analysis->brief ? 0 : intern_rest(analysis, fields);
	record->mutations = intern_mutations(analysis, fields, decoded);
	record->altered = fields->did.at != NULL;
	record->hash = record->mutations ? payload_hash(decoded) : 0;
	record->copies = (uint16_t)(fields->copies < UINT16_MAX ? fields->copies : UINT16_MAX);
	session->accounts[fields->way].copies += record->copies;
	session->accounts[fields->way].queued += record->copies;
	session->ways[fields->way].copies_due += record->copies;
	session->accounts[fields->way].corrupted += contains(fields->did, "corrupt:");
	if (fields->delay != NS_UNKNOWN)
		record->delay_us = fields->delay / NS_US;
	note_link(session, fields->by);
	if (fields->device.at)
		analysis_copy_word(session->section, sizeof(session->section), fields->device);
	if (fields->reason) {
		struct word by = word_first(fields->by);

		analysis_dropped(analysis, record, fields->reason, by.at ? by.at : "", by.size, at);
		analysis_release_record(analysis, record);
	}
}

/* Interns the payload as hex; returns the index plus 1, or 0 if it is too long or truncated. */
static uint32_t intern_hex(struct analysis *analysis, const struct decoded *decoded)
{
	char hex[2 * HEX_MAX + 1];

	if (decoded->kept < decoded->size || decoded->size > HEX_MAX || !decoded->size)
		return 0;
	for (size_t i = 0; i < decoded->size; i++)
		snprintf(hex + 2 * i, 3, "%02x", decoded->payload[i]);
	return analysis_words_add(&analysis->words, hex, 2 * decoded->size) + 1;
}

static void keep_copy(struct analysis *analysis, const struct packet_record *record,
    const struct fields *fields, const struct decoded *decoded, ns_t at)
{
	bool has_own_bytes = fields->origin == ORIGIN_INJECT || fields->origin == ORIGIN_DECOY;

	analysis_copied(analysis, record, at);
	analysis->copies[analysis->copy_count - 1].origin = (uint8_t)fields->origin;
	analysis->copies[analysis->copy_count - 1].hex = has_own_bytes ? intern_hex(analysis, decoded) : 0;
	analysis->copies[analysis->copy_count - 1].untouched = record->mutations &&
	                                                       record->hash == payload_hash(decoded);
}

static void handle_copy_departure(struct analysis *analysis, struct analysis_session *session,
    const struct fields *fields, const struct decoded *decoded, ns_t at)
{
	struct account *account = &session->accounts[fields->way];
	struct analysis_way *way = &session->ways[fields->way],
	                    *other = &session->ways[way_back(fields->way)];
	struct packet_record *record = analysis_record(analysis, session, fields->way, fields->n);
	bool is_unannounced = fields->origin == ORIGIN_LINK && (!record || fields->copy > record->copies);

	/* A copy made later, of a joint datagram, is in no arrival's `copies`. A copy made by a datagram of
	 * the other direction (`replay KIND`) is in the `copies` of that one. */
	if (!is_unannounced && !way->copies_due && other->copies_due) {
		other->copies_due--;
		session->accounts[way_back(fields->way)].copies--;
		session->accounts[way_back(fields->way)].queued--;
		is_unannounced = true;
	}
	if (is_unannounced || !way->copies_due) {
		account->copies++;
		account->queued++;
	} else {
		way->copies_due--;
	}
	account->queued--;
	if (record && record->copies_done < UINT16_MAX)
		record->copies_done++;
	if (fields->kind == FIELDS_UNSENT) {
		account->dropped[fields->reason]++;
		way->copies_lost++;
	} else {
		account->sent++;
		way->copies_sent[fields->origin]++;
		analysis_count_wire(session, fields->way, decoded);
		session->last = at > session->last ? at : session->last;
		if (record && record->copies_sent < UINT16_MAX)
			record->copies_sent++;
		if (fields->origin != ORIGIN_DECOY && fields->origin != ORIGIN_INJECT &&
		    !(record && record->altered))
			analysis_delivered(analysis, session, fields->way, decoded, at);
		if (record && !analysis->brief)
			keep_copy(analysis, record, fields, decoded, at);
	}
	if (record)
		analysis_release_record(analysis, record);
}

/* Records the departure of an original, with its delay and lateness if the comment has them. */
static void record_departure(struct analysis *analysis, struct analysis_session *session,
    struct packet_record *record, const struct fields *fields, ns_t at)
{
	struct analysis_way *way = &session->ways[record->way];

	analysis_sent(analysis, record, at);
	if (fields->delay == NS_UNKNOWN || fields->late == NS_UNKNOWN)
		return;
	analysis_add_delay(analysis, record, fields->delay > 0);
	record->delay_us = fields->delay / NS_US;
	record->late_us = (int32_t)(fields->late / NS_US < INT32_MAX ? fields->late / NS_US : INT32_MAX);
	record->timed = true;
	sparse_add(&way->asked, record->delay_us * NS_US);
	sparse_add(&way->late, record->late_us * NS_US);
}

/* Records the fate of original `n`. Returns true if it was sent with the bytes of its arrival. */
static bool settle_original(struct analysis *analysis, struct analysis_session *session,
    const struct fields *fields, uint32_t n, ns_t at)
{
	struct packet_record *record = analysis_record(analysis, session, fields->way, n);
	bool delivered;

	if (!record || record->fate != FATE_OPEN) {
		analysis->strange++;
		return false;
	}
	delivered = fields->kind == FIELDS_SENT && !record->altered;
	if (fields->kind == FIELDS_UNSENT)
		analysis_dropped(analysis, record, fields->reason, "", 0, at);
	else
		record_departure(analysis, session, record, fields, at);
	analysis_release_record(analysis, record);
	return delivered;
}

static void handle_departure(struct analysis *analysis, struct analysis_session *session,
    const struct fields *fields, const struct decoded *decoded, ns_t at)
{
	struct word packed = fields->packed;
	struct packet_record *record;
	bool delivered = true;
	uint32_t n;

	if (fields->copy) {
		handle_copy_departure(analysis, session, fields, decoded, at);
		return;
	}
	if (fields->kind == FIELDS_SENT)
		analysis_count_wire(session, fields->way, decoded);
	record = packed.at ? NULL : analysis_record(analysis, session, fields->way, fields->n);
	if (record && record->altered)
		analysis_update_data(analysis, session, record, decoded);
	session->accounts[fields->way].corrupted += contains(fields->did, "corrupt");
	if (packed.at) {
		analysis->joints++;
		while (fields_packed(&packed, &n))
			delivered &= settle_original(analysis, session, fields, n, at);
	} else {
		delivered = settle_original(analysis, session, fields, fields->n, at);
	}
	delivered &= !fields->did.at;
	if (delivered)
		analysis_delivered(analysis, session, fields->way, decoded, at);
}

/* Returns false if the packet has no comment of deadzone. */
static bool handle_commented(
    struct analysis *analysis, const struct saved_packet *packet, const struct decoded *decoded)
{
	struct analysis_session *session;
	struct fields fields;

	if (!fields_read(packet->comment, &fields))
		return false;
	analysis->arrivals += fields.kind == FIELDS_ARRIVED;
	analysis->departures += fields.kind != FIELDS_ARRIVED;
	analysis->device_packets += strcmp(packet->interface, "device") == 0;
	analysis->cloud_packets += strcmp(packet->interface, "cloud") == 0;
	if (!fields.session) {
		handle_refused(analysis, &fields, decoded);
		return true;
	}
	session = analysis_session(analysis, fields.session, packet->at);
	note_addresses(session, &fields, decoded);
	if (fields.kind == FIELDS_ARRIVED)
		handle_arrival(analysis, session, &fields, decoded, packet->at);
	else
		handle_departure(analysis, session, &fields, decoded, packet->at);
	return true;
}

static void handle_packet(struct analysis *analysis, struct reader *reader, const struct reader_packet *from)
{
	const struct saved_packet *packet = &from->saved;
	struct decoded decoded;

	if (!analysis->packets++)
		analysis->first = packet->at;
	analysis->last = packet->at > analysis->last ? packet->at : analysis->last;
	if (reader_decode(reader, from, &decoded) != DECODE_UDP)
		return;
	if (strcmp(packet->interface, "events") == 0)
		analysis_event(analysis, &decoded, packet->at);
	else if (!handle_commented(analysis, packet, &decoded))
		analysis->strange++;
}

/* Adds notes if the capture lacks an interface or a direction, as after an export with a filter. */
static void note_missing_parts(struct analysis *analysis)
{
	uint64_t dropped = 0;

	for (int way = 0; way < WAYS; way++)
		dropped += account_dropped(&analysis->refused[way]);
	for (size_t i = 0; i < analysis->session_count; i++)
		for (int way = 0; way < WAYS; way++)
			dropped += account_dropped(&analysis->sessions[i].accounts[way]);
	if (analysis->departures && !analysis->arrivals)
		text_add(&analysis->notes,
		    "only what left is in it: what arrived, and what was dropped, is not known\n");
	else if (analysis->arrivals > dropped && !analysis->departures)
		text_add(&analysis->notes, "only what arrived is in it: what left, and when, is not known\n");
	if (analysis->cloud_packets && !analysis->device_packets)
		text_add(&analysis->notes,
		    "nothing of the interface `device` is in it: devices and what they sent are not known\n");
	else if (analysis->device_packets && !analysis->cloud_packets && analysis->departures)
		text_add(&analysis->notes,
		    "nothing of the interface `cloud` is in it: what the cloud sent, and "
		    "what left for it, is not "
		    "known; datagrams up that were not dropped count as queued\n");
}

void analysis_read_ours(struct analysis *analysis, struct reader *reader)
{
	struct reader_packet packet;

	analysis->kind = ANALYSIS_OURS;
	while (reader_next(reader, &packet))
		handle_packet(analysis, reader, &packet);
	analysis_header(analysis, reader);
	if (reader_closing(reader))
		analysis_closing(analysis, reader_closing(reader));
	note_missing_parts(analysis);
	analysis_reader_done(analysis, reader);
}
