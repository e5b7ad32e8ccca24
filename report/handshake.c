/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message is identified by its direction and what dtls_message_same compares, and keeps the times and
 * record numbers of its transmissions. A record number that came before marks a duplicate, a new one a
 * retransmission. Whether the handshake is done is looked at after each delivery.
 */
#include "report/handshake.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define SILENCE_MAX (60 * NS_S) /* longest retransmission timer (RFC 6347 section 4.2.4.1) */
#define TYPE_CHANGE_CIPHER_SPEC 20
#define NUMBERS_MAX 64 /* bits of seen_numbers */

static bool has_kind(uint32_t kinds, enum dtls_kind kind)
{
	return kinds >> kind & 1;
}

static struct handshake *begin_handshake(struct handshakes *handshakes, ns_t at)
{
	handshakes->all = memory_grow(handshakes->all, handshakes->count, sizeof(*handshakes->all));
	handshakes->all[handshakes->count] = (struct handshake){.began = at, .latest = at};
	return &handshakes->all[handshakes->count++];
}

static struct handshake *latest_handshake(const struct handshakes *handshakes)
{
	return handshakes->count ? &handshakes->all[handshakes->count - 1] : NULL;
}

/* ---- Messages ---- */

/* Iterator over the handshake messages of a datagram, then its ChangeCipherSpec. */
struct messages {
	struct dtls_walk walk;
	const struct dtls_peek *peek;
	uint32_t next;
	struct dtls_message change;
};

static void messages_begin(struct messages *messages, const struct dtls_session *dtls, enum way way,
    const struct dtls_peek *peek, const uint8_t *bytes, size_t size)
{
	*messages = (struct messages){.peek = peek};
	dtls_walk(&messages->walk, dtls, way, bytes, size);
}

/* Returns NULL after the last message. */
static const struct dtls_message *messages_next(struct messages *messages)
{
	struct dtls_record record;

	if (messages->next < messages->peek->message_count)
		return &messages->peek->messages[messages->next++];
	if (!has_kind(messages->peek->kinds, DTLS_KIND_CHANGE_CIPHER_SPEC))
		return NULL;
	while (dtls_next(&messages->walk, &record)) {
		if (record.type != TYPE_CHANGE_CIPHER_SPEC || record.epoch)
			continue;
		messages->change = (struct dtls_message){.kinds = 1u << DTLS_KIND_CHANGE_CIPHER_SPEC,
		    .sequence = DTLS_SEQUENCE_HIDDEN,
		    .number = record.number};
		return &messages->change;
	}
	return NULL;
}

static struct handshake_message *find_message(
    const struct handshake *handshake, enum way way, const struct dtls_message *message)
{
	for (size_t i = 0; i < handshake->message_count; i++) {
		struct handshake_message *candidate = &handshake->messages[i];

		if (candidate->way == way && dtls_message_same(&candidate->message, message))
			return candidate;
	}
	return NULL;
}

/* Returns the index of the current flight, or of a new one if the direction has changed. */
static uint8_t current_flight(struct handshake *handshake, enum way way, uint32_t kinds, ns_t at)
{
	struct flight *last = handshake->flight_count ? &handshake->flights[handshake->flight_count - 1]
	                                              : NULL;

	if (last && (last->way == way || handshake->flight_count == FLIGHTS_MAX))
		return (uint8_t)(handshake->flight_count - 1);
	handshake->flights = memory_grow(
	    handshake->flights, handshake->flight_count, sizeof(*handshake->flights));
	handshake->flights[handshake->flight_count] = (struct flight){
	    .way = way, .kinds = kinds, .first = at};
	return (uint8_t)handshake->flight_count++;
}

static void add_message(
    struct handshake *handshake, enum way way, const struct dtls_message *message, uint32_t kinds, ns_t at)
{
	if (handshake->message_count == HANDSHAKE_MESSAGES_MAX)
		return;
	handshake->messages = memory_grow(
	    handshake->messages, handshake->message_count, sizeof(*handshake->messages));
	handshake->messages[handshake->message_count++] = (struct handshake_message){.way = way,
	    .flight = current_flight(handshake, way, kinds, at),
	    .sends = 1,
	    .message = *message,
	    .first = at,
	    .latest = at};
}

/* Was a record with this number seen as one of the tries? */
static bool is_duplicate(const struct handshake_message *tracked, uint64_t number)
{
	bool before = tracked->message.number == number;

	for (uint32_t i = 0; i + 1 < tracked->sends && i < HANDSHAKE_TRIES_MAX - 1; i++)
		before |= tracked->again->numbers[i] == number;
	return before;
}

static void add_try(struct handshake_message *tracked, const struct dtls_message *message, ns_t at)
{
	if (!message->is_stateless && is_duplicate(tracked, message->number))
		return;
	if (!tracked->again)
		tracked->again = memory_new(1, sizeof(*tracked->again));
	if (tracked->sends < HANDSHAKE_TRIES_MAX) {
		tracked->again->gaps[tracked->sends - 1] = at - tracked->latest;
		tracked->again->numbers[tracked->sends - 1] = message->number;
	}
	tracked->sends++;
	tracked->latest = at;
}

/* ---- Full or resumed? ---- */

static void note_number(struct handshake *handshake, uint64_t number)
{
	uint64_t bit = number - handshake->first_number;

	if (number < handshake->first_number || bit >= NUMBERS_MAX)
		return;
	handshake->seen_numbers |= UINT64_C(1) << bit;
	if (number > handshake->last_number)
		handshake->last_number = number;
}

/* Notes the numbers of records that the server sent in the clear from its ServerHello on. */
static void note_server_records(struct handshake *handshake, const struct dtls_session *dtls,
    const struct dtls_peek *peek, const uint8_t *bytes, size_t size)
{
	struct dtls_walk walk;
	struct dtls_record record;

	for (uint32_t i = 0; i < peek->message_count && !handshake->has_server_hello; i++)
		if (has_kind(peek->messages[i].kinds, DTLS_KIND_SERVER_HELLO)) {
			handshake->has_server_hello = true;
			handshake->first_number = handshake->last_number = peek->messages[i].number;
		}
	if (!handshake->has_server_hello || handshake->done)
		return;
	dtls_walk(&walk, dtls, WAY_DOWN, bytes, size);
	while (dtls_next(&walk, &record)) {
		if (record.epoch || record.number == DTLS_NUMBER_HIDDEN)
			continue;
		note_number(handshake, record.number);
		handshake->has_change_cipher_spec |= record.type == TYPE_CHANGE_CIPHER_SPEC;
	}
}

/* Returns how many of the server's records the capture lacks, at least. */
static uint32_t count_missing(const struct handshake *handshake)
{
	uint64_t count = handshake->last_number - handshake->first_number + 1;

	if (!handshake->has_server_hello)
		return 1;
	return (uint32_t)(count - (uint64_t)__builtin_popcountll(handshake->seen_numbers)) +
	       !handshake->has_change_cipher_spec;
}

/* ---- Progress ---- */

void handshakes_arrived(struct handshakes *handshakes, const struct dtls_session *dtls, enum way way,
    const struct dtls_peek *peek, const uint8_t *bytes, size_t size, ns_t at)
{
	static const uint32_t full = 1u << DTLS_KIND_CERTIFICATE | 1u << DTLS_KIND_SERVER_KEY_EXCHANGE |
	                             1u << DTLS_KIND_SERVER_HELLO_DONE | 1u << DTLS_KIND_CLIENT_KEY_EXCHANGE;
	struct handshake *handshake = peek->new_hello ? begin_handshake(handshakes, at)
	                                              : latest_handshake(handshakes);
	const struct dtls_message *message;
	struct messages messages;

	if (!handshake)
		return;
	handshake->is_1_3 |= dtls->version_1_3;
	if (way == WAY_DOWN)
		note_server_records(handshake, dtls, peek, bytes, size);
	/* Before its ServerHello a server may still retransmit messages of the previous handshake. */
	handshake->is_full |= (peek->kinds & full) && handshake->has_server_hello;
	messages_begin(&messages, dtls, way, peek, bytes, size);
	while ((message = messages_next(&messages))) {
		struct handshake_message *tracked = find_message(handshake, way, message);

		if (tracked)
			add_try(tracked, message, at);
		else if (!handshake->done)
			add_message(handshake, way, message, peek->kinds, at);
		handshake->latest = at > handshake->latest ? at : handshake->latest;
	}
}

/* Finished is a handshake record of epoch 1; if its type is hidden, any encrypted record counts. */
static bool is_finished(const struct dtls_session *dtls, enum way way, const struct dtls_peek *peek)
{
	bool is_hidden = dtls->version_1_3 ||
	                 (dtls->cid_size[way] != DTLS_CID_UNKNOWN && dtls->cid_size[way] > 0);

	return has_kind(peek->kinds, is_hidden ? DTLS_KIND_ENCRYPTED : DTLS_KIND_FINISHED);
}

/* Returns true if the message was delivered neither as it is nor in other fragments: a retransmission may be
 * fragmented differently. */
static bool is_pending(const struct handshake *handshake, const struct handshake_message *tracked)
{
	for (size_t i = 0; i < handshake->message_count; i++) {
		const struct handshake_message *other = &handshake->messages[i];

		if (other->delivered && other->way == tracked->way &&
		    other->message.type == tracked->message.type &&
		    other->message.sequence == tracked->message.sequence &&
		    other->message.epoch == tracked->message.epoch && other->latest >= tracked->latest)
			return false;
	}
	return true;
}

/* Were both Finished and all of the last flight delivered? */
static bool is_done(const struct handshake *handshake)
{
	if (!handshake->finished[WAY_UP] || !handshake->finished[WAY_DOWN])
		return false;
	for (size_t i = 0; i < handshake->message_count; i++)
		if (handshake->messages[i].flight + 1u == handshake->flight_count &&
		    is_pending(handshake, &handshake->messages[i]))
			return false;
	return true;
}

void handshakes_delivered(struct handshakes *handshakes, const struct dtls_session *dtls, enum way way,
    const uint8_t *bytes, size_t size, ns_t at)
{
	struct handshake *handshake = latest_handshake(handshakes);
	struct dtls_session known = *dtls;
	const struct dtls_message *message;
	struct messages messages;
	struct dtls_peek peek;

	if (!handshake || handshake->done)
		return;
	dtls_parse(&known, way, bytes, size, &peek);
	messages_begin(&messages, dtls, way, &peek, bytes, size);
	while ((message = messages_next(&messages))) {
		struct handshake_message *tracked = find_message(handshake, way, message);

		if (tracked && !tracked->delivered)
			tracked->delivered = at;
	}
	if (!handshake->finished[way] && is_finished(dtls, way, &peek))
		handshake->finished[way] = at;
	if (is_done(handshake))
		handshake->done = at;
}

void handshakes_cut(struct handshakes *handshakes)
{
	if (handshakes->count && !handshakes->all[handshakes->count - 1].done)
		handshakes->all[handshakes->count - 1].is_cut = true;
}

void handshakes_step(struct handshakes *handshakes)
{
	if (handshakes->count && !handshakes->all[handshakes->count - 1].done)
		handshakes->all[handshakes->count - 1].is_untimed = true;
}

void handshakes_end(struct handshakes *handshakes, ns_t end, bool is_over)
{
	for (size_t i = 0; i < handshakes->count; i++) {
		struct handshake *handshake = &handshakes->all[i];
		bool is_last = i + 1 == handshakes->count;

		handshake->missing = count_missing(handshake);
		if (!handshake->done)
			handshake->kind = !is_last || is_over || end - handshake->latest > SILENCE_MAX
			                      ? HANDSHAKE_ABANDONED
			                      : HANDSHAKE_UNFINISHED;
		else if (handshake->is_1_3)
			handshake->kind = HANDSHAKE_1_3;
		else if (handshake->is_full)
			handshake->kind = HANDSHAKE_FULL;
		else
			handshake->kind = handshake->missing || handshake->is_cut ? HANDSHAKE_UNKNOWN
			                                                          : HANDSHAKE_RESUMED;
	}
}

void handshakes_free(struct handshakes *handshakes)
{
	for (size_t i = 0; i < handshakes->count; i++) {
		struct handshake *handshake = &handshakes->all[i];

		for (size_t k = 0; k < handshake->message_count; k++)
			free(handshake->messages[k].again);
		free(handshake->flights);
		free(handshake->messages);
	}
	free(handshakes->all);
	*handshakes = (struct handshakes){0};
}

/* ---- Names ---- */

const struct handshake_message *handshake_flight_max(const struct handshake *handshake, size_t flight)
{
	const struct handshake_message *max = NULL;

	for (size_t i = 0; i < handshake->message_count; i++)
		if (handshake->messages[i].flight == flight &&
		    (!max || handshake->messages[i].sends > max->sends))
			max = &handshake->messages[i];
	return max;
}

const char *handshake_kind_name(uint32_t kinds)
{
	/* From the most to the least specific. */
	static const enum dtls_kind order[] = {DTLS_KIND_CLIENT_HELLO, DTLS_KIND_HELLO_VERIFY_REQUEST,
	    DTLS_KIND_SERVER_HELLO, DTLS_KIND_CERTIFICATE, DTLS_KIND_SERVER_KEY_EXCHANGE,
	    DTLS_KIND_CERTIFICATE_REQUEST, DTLS_KIND_SERVER_HELLO_DONE, DTLS_KIND_CLIENT_KEY_EXCHANGE,
	    DTLS_KIND_CERTIFICATE_VERIFY, DTLS_KIND_NEW_SESSION_TICKET, DTLS_KIND_CERTIFICATE_STATUS,
	    DTLS_KIND_HELLO_REQUEST, DTLS_KIND_FINISHED, DTLS_KIND_CHANGE_CIPHER_SPEC};

	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++)
		if (has_kind(kinds, order[i]))
			return dtls_kinds[order[i]];
	return "handshake";
}

const char *handshake_kind_text(const struct handshake *handshake)
{
	static const char *const words[] = {
	    "unfinished", "abandoned", "full", "resumed", "unknown", "DTLS 1.3"};

	return words[handshake->kind];
}
