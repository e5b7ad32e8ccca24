/*
 * tale_ours: a tale from our own comments, which tell each datagram's fate.
 */
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/memory.h"
#include "capture/fields.h"
#include "report/tale_inside.h"

#define HEX_MAX 80 /* bytes of a copy that are kept */

/* What the mark has no number for: "by=… hold=… did=… dev=… dtls=TYPE/EPOCH/". */
static uint32_t rest_of(struct tale *tale, const struct fields *fields)
{
	const struct {
		const char *key;
		struct word word;
	} rows[] = {
	    {"by", fields->by}, {"hold", fields->hold}, {"did", fields->did}, {"dev", fields->device}};
	struct word dtls = fields->dtls;
	struct text *text = &tale->scratch;

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
	return tale_words_add(&tale->words, text->at ? text->at : "", text->size);
}

/* "set:57:12,truncate:100": what its bytes became, as rules can do it again. The bytes of a deed that the
 * capture did not keep are not known: "corrupt:57". */
static uint32_t deeds_of(struct tale *tale, const struct fields *fields, const struct decoded *decoded)
{
	struct text *text = &tale->scratch;
	struct word left = fields->did, deed;
	uint8_t *bytes;

	if (!fields->did.at || tale->brief)
		return 0;
	text_clear(text);
	bytes = memory_get(decoded->kept + 1);
	memcpy(bytes, decoded->payload, decoded->kept);
	while ((deed = word_first(left)).size) {
		unsigned byte = 0, value = 0;
		char one[40];

		tale_copy_word(one, sizeof(one), deed);
		text_add(text, "%s", text->size ? "," : "");
		if (sscanf(one, "corrupt:%u.%u", &byte, &value) == 2 && byte < decoded->kept && value < 8) {
			bytes[byte] ^= (uint8_t)(1u << value);
			text_add(text, "set:%u:%u", byte, bytes[byte]);
		} else if (sscanf(one, "set:%u:%u", &byte, &value) == 2 && byte < decoded->kept) {
			bytes[byte] = (uint8_t)value;
			text_add(text, "set:%u:%u", byte, bytes[byte]);
		} else if (sscanf(one, "corrupt:%u.", &byte) == 1) {
			text_add(text, "corrupt:%u", byte);
		} else {
			text_add(text, "%s", one);
		}
		if (deed.size == left.size)
			break;
		left = (struct word){left.at + deed.size + 1, left.size - deed.size - 1};
	}
	free(bytes);
	return tale_words_add(&tale->words, text->at, text->size) + 1;
}

static uint32_t hash_of(const struct decoded *decoded)
{
	return (uint32_t)chance_hash(decoded->size, decoded->payload, decoded->kept);
}

static void link_named(struct tale_session *session, struct word by)
{
	struct word one;

	while ((one = word_first(by)).size) {
		if (one.size > 5 && memcmp(one.at, "link:", 5) == 0)
			tale_copy_word(
			    session->link, sizeof(session->link), (struct word){one.at + 5, one.size - 5});
		if (one.size == by.size)
			return;
		by = (struct word){by.at + one.size + 1, by.size - one.size - 1};
	}
}

static bool contains(struct word word, const char *text)
{
	return word.at && memmem(word.at, word.size, text, strlen(text));
}

static void refused(struct tale *tale, const struct fields *fields, const struct decoded *decoded)
{
	struct account *account = &tale->refused[fields->way];

	account->received++;
	account->bytes += decoded->size;
	account->dropped[fields->reason]++;
}

static void ends_learn(
    struct tale_session *session, const struct fields *fields, const struct decoded *decoded)
{
	bool device_side = (fields->kind == FIELDS_ARRIVED) == (fields->way == WAY_UP);
	bool from_proxy = fields->kind != FIELDS_ARRIVED;

	if (device_side) {
		session->device = from_proxy ? decoded->to : decoded->from;
		session->header = session->device.family == FAMILY_IPV6 ? TALE_HEADER_IPV6 : TALE_HEADER_IPV4;
	} else if (fields->kind != FIELDS_ARRIVED || !session->cloud_port) {
		session->cloud_port = from_proxy ? decoded->from.port : decoded->to.port;
	}
}

static void arrived(struct tale *tale, struct tale_session *session, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	struct mark *mark;

	if (tale_mark(tale, session, fields->way, fields->n)) {
		tale->strange++;
		return;
	}
	mark = tale_arrived(tale, session, fields->way, fields->n, decoded, at);
	/* What dies of these is seen by no rule: no hello is learned from it. */
	if (fields->reason != REASON_OVERLOAD && fields->reason != REASON_NAT_EXPIRED)
		tale_look(tale, session, mark, decoded);
	mark->words = tale->brief ? 0 : rest_of(tale, fields);
	mark->deeds = deeds_of(tale, fields, decoded);
	mark->altered = fields->did.at != NULL;
	mark->hash = mark->deeds ? hash_of(decoded) : 0;
	mark->copies = (uint16_t)(fields->copies < UINT16_MAX ? fields->copies : UINT16_MAX);
	session->accounts[fields->way].copies += mark->copies;
	session->accounts[fields->way].queued += mark->copies;
	session->ways[fields->way].copies_due += mark->copies;
	session->accounts[fields->way].corrupted += contains(fields->did, "corrupt:");
	if (fields->delay != NS_UNKNOWN)
		mark->delay_us = fields->delay / NS_US;
	link_named(session, fields->by);
	if (fields->device.at)
		tale_copy_word(session->section, sizeof(session->section), fields->device);
	if (fields->reason) {
		struct word by = word_first(fields->by);

		tale_dropped(tale, mark, fields->reason, by.at ? by.at : "", by.size, at);
		tale_done(tale, mark);
	}
}

/* Bytes that no rule could make again from the datagram's own, as hex where an ini line has room for them. */
static uint32_t hex_of(struct tale *tale, const struct decoded *decoded)
{
	char hex[2 * HEX_MAX + 1];

	if (decoded->kept < decoded->size || decoded->size > HEX_MAX || !decoded->size)
		return 0;
	for (size_t i = 0; i < decoded->size; i++)
		snprintf(hex + 2 * i, 3, "%02x", decoded->payload[i]);
	return tale_words_add(&tale->words, hex, 2 * decoded->size) + 1;
}

static void copy_keep(struct tale *tale, const struct mark *mark, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	bool own_bytes = fields->origin == ORIGIN_INJECT || fields->origin == ORIGIN_DECOY;

	tale_copied(tale, mark, at);
	tale->copies[tale->copy_count - 1].origin = (uint8_t)fields->origin;
	tale->copies[tale->copy_count - 1].hex = own_bytes ? hex_of(tale, decoded) : 0;
	tale->copies[tale->copy_count - 1].untouched = mark->deeds && mark->hash == hash_of(decoded);
}

static void copy_left(struct tale *tale, struct tale_session *session, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	struct account *account = &session->accounts[fields->way];
	struct tale_way *way = &session->ways[fields->way], *other = &session->ways[way_back(fields->way)];
	struct mark *mark = tale_mark(tale, session, fields->way, fields->n);
	bool later = fields->origin == ORIGIN_LINK && (!mark || fields->copy > mark->copies);

	/* One that was made later, of a joint datagram, stands in no arrival's `copies`; one that a datagram
	 * of the other way asked for (`replay KIND`) stands in that one's. */
	if (!later && !way->copies_due && other->copies_due) {
		other->copies_due--;
		session->accounts[way_back(fields->way)].copies--;
		session->accounts[way_back(fields->way)].queued--;
		later = true;
	}
	if (later || !way->copies_due) {
		account->copies++;
		account->queued++;
	} else {
		way->copies_due--;
	}
	account->queued--;
	if (mark && mark->copies_done < UINT16_MAX)
		mark->copies_done++;
	if (fields->kind == FIELDS_UNSENT) {
		account->dropped[fields->reason]++;
		way->copies_lost++;
	} else {
		account->sent++;
		way->copies_sent[fields->origin]++;
		tale_left(session, fields->way, decoded);
		session->last = at > session->last ? at : session->last;
		if (mark && mark->copies_sent < UINT16_MAX)
			mark->copies_sent++;
		if (fields->origin != ORIGIN_DECOY && fields->origin != ORIGIN_INJECT &&
		    !(mark && mark->altered))
			tale_delivered(tale, session, fields->way, decoded, at);
		if (mark && !tale->brief)
			copy_keep(tale, mark, fields, decoded, at);
	}
	if (mark)
		tale_done(tale, mark);
}

static void measured(
    struct tale *tale, struct tale_session *session, struct mark *mark, const struct fields *fields, ns_t at)
{
	struct tale_way *way = &session->ways[mark->way];

	tale_sent(tale, mark, at);
	if (fields->delay == NS_UNKNOWN || fields->late == NS_UNKNOWN)
		return;
	tale_measured(tale, mark, fields->delay > 0);
	mark->delay_us = fields->delay / NS_US;
	mark->late_us = (int32_t)(fields->late / NS_US < INT32_MAX ? fields->late / NS_US : INT32_MAX);
	mark->timed = true;
	sparse_add(&way->asked, mark->delay_us * NS_US);
	sparse_add(&way->late, mark->late_us * NS_US);
}

/* Returns whether it reached its receiver as it came. */
static bool one_left(
    struct tale *tale, struct tale_session *session, const struct fields *fields, uint32_t n, ns_t at)
{
	struct mark *mark = tale_mark(tale, session, fields->way, n);
	bool delivered;

	if (!mark || mark->fate != FATE_WAITS) {
		tale->strange++;
		return false;
	}
	delivered = fields->kind == FIELDS_SENT && !mark->altered;
	if (fields->kind == FIELDS_UNSENT)
		tale_dropped(tale, mark, fields->reason, "", 0, at);
	else
		measured(tale, session, mark, fields, at);
	tale_done(tale, mark);
	return delivered;
}

static void left(struct tale *tale, struct tale_session *session, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	struct word packed = fields->packed;
	struct mark *mark;
	bool delivered = true;
	uint32_t n;

	if (fields->copy) {
		copy_left(tale, session, fields, decoded, at);
		return;
	}
	if (fields->kind == FIELDS_SENT)
		tale_left(session, fields->way, decoded);
	mark = packed.at ? NULL : tale_mark(tale, session, fields->way, fields->n);
	if (mark && mark->altered)
		tale_changed(tale, session, mark, decoded);
	session->accounts[fields->way].corrupted += contains(fields->did, "corrupt");
	if (packed.at) {
		tale->joints++;
		while (fields_packed(&packed, &n))
			delivered &= one_left(tale, session, fields, n, at);
	} else {
		delivered = one_left(tale, session, fields, fields->n, at);
	}
	delivered &= !fields->did.at;
	if (delivered)
		tale_delivered(tale, session, fields->way, decoded, at);
}

static bool take_commented(
    struct tale *tale, const struct saved_packet *packet, const struct decoded *decoded)
{
	struct tale_session *session;
	struct fields fields;

	if (!fields_read(packet->comment, &fields))
		return false;
	tale->arrivals += fields.kind == FIELDS_ARRIVED;
	tale->departures += fields.kind != FIELDS_ARRIVED;
	tale->device_packets += strcmp(packet->interface, "device") == 0;
	tale->cloud_packets += strcmp(packet->interface, "cloud") == 0;
	if (!fields.session) {
		refused(tale, &fields, decoded);
		return true;
	}
	session = tale_session(tale, fields.session, packet->at);
	ends_learn(session, &fields, decoded);
	if (fields.kind == FIELDS_ARRIVED)
		arrived(tale, session, &fields, decoded, packet->at);
	else
		left(tale, session, &fields, decoded, packet->at);
	return true;
}

static void take_packet(struct tale *tale, struct reader *reader, const struct reader_packet *from)
{
	const struct saved_packet *packet = &from->saved;
	struct decoded decoded;

	if (!tale->packets++)
		tale->first = packet->at;
	tale->last = packet->at > tale->last ? packet->at : tale->last;
	if (reader_decode(reader, from, &decoded) != DECODE_UDP)
		return;
	if (strcmp(packet->interface, "events") == 0)
		tale_event(tale, &decoded, packet->at);
	else if (!take_commented(tale, packet, &decoded))
		tale->strange++;
}

/* Somebody may have exported a part: one interface, or one direction. */
static void note_parts(struct tale *tale)
{
	uint64_t dropped = 0;

	for (int way = 0; way < WAYS; way++)
		dropped += account_dropped(&tale->refused[way]);
	for (size_t i = 0; i < tale->session_count; i++)
		for (int way = 0; way < WAYS; way++)
			dropped += account_dropped(&tale->sessions[i].accounts[way]);
	if (tale->departures && !tale->arrivals)
		text_add(&tale->notes,
		    "only what left is in it: what arrived, and what was dropped, is not known\n");
	else if (tale->arrivals > dropped && !tale->departures)
		text_add(&tale->notes, "only what arrived is in it: what left, and when, is not known\n");
	if (tale->cloud_packets && !tale->device_packets)
		text_add(&tale->notes,
		    "nothing of the interface `device` is in it: devices and what they sent are not known\n");
	else if (tale->device_packets && !tale->cloud_packets && tale->departures)
		text_add(&tale->notes, "nothing of the interface `cloud` is in it: what the cloud sent, and "
		                       "what left for it, is not "
		                       "known; datagrams up that were not dropped count as queued\n");
}

void tale_read_ours(struct tale *tale, struct reader *reader)
{
	struct reader_packet packet;

	tale->kind = TALE_OURS;
	while (reader_next(reader, &packet))
		take_packet(tale, reader, &packet);
	tale_header(tale, reader);
	if (reader_closing(reader))
		tale_closing(tale, reader_closing(reader));
	note_parts(tale);
	tale_reader_done(tale, reader);
}
