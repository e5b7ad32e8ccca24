/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtls_next reads one record after another: a plain header, a unified header, or (with a connection ID of
 * unknown length) whichever reading ends exactly at the end of the datagram. dtls_parse collects kinds and
 * the first record for the rules, and learns from hellos what later records look like. All lengths come from
 * strangers: `bounded` is a view that no reader leaves.
 */
#include "rules/dtls.h"

#include <string.h>

#include "base/chance.h"

const char *const dtls_kinds[DTLS_KIND_COUNT] = {"handshake", "client_hello", "client_hello_cookie",
    "server_hello", "hello_verify_request", "hello_request", "certificate", "server_key_exchange",
    "certificate_request", "server_hello_done", "certificate_verify", "client_key_exchange",
    "new_session_ticket", "certificate_status", "finished", "change_cipher_spec", "alert", "application_data",
    "cid", "encrypted", "ack", "heartbeat", "unified", "session_move", "none"};

#define HEADER 13
#define HANDSHAKE_HEADER 12
#define TYPE_CHANGE_CIPHER_SPEC 20
#define TYPE_ALERT 21
#define TYPE_HANDSHAKE DTLS_TYPE_HANDSHAKE
#define TYPE_APPLICATION_DATA 23
#define TYPE_HEARTBEAT 24
#define TYPE_CID 25
#define TYPE_ACK 26
#define TYPE_CID_MOVED 253
#define TYPE_SESSION_MOVE 254
#define UNIFIED_MASK 0xe0
#define UNIFIED_BITS 0x20
#define UNIFIED_CID 0x10
#define UNIFIED_LONG_NUMBER 0x08
#define UNIFIED_LENGTH 0x04
#define MESSAGE_CLIENT_HELLO 1
#define MESSAGE_SERVER_HELLO 2
#define MESSAGE_HELLO_VERIFY_REQUEST 3
#define EXTENSION_SUPPORTED_VERSIONS 43
#define EXTENSION_COOKIE 44
#define EXTENSION_CONNECTION_ID 54
#define EXTENSION_CONNECTION_ID_DRAFT 254 /* used by Mbed TLS 2.x */
#define VERSION_1_3 0xfefc

static unsigned read16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static uint32_t read24(const uint8_t *at)
{
	return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

static uint64_t read48(const uint8_t *at)
{
	return (uint64_t)read24(at) << 24 | read24(at + 3);
}

void dtls_init(struct dtls_session *session)
{
	*session = (struct dtls_session){.cid_size = {DTLS_CID_UNKNOWN, DTLS_CID_UNKNOWN}};
}

static bool type_has_cid(unsigned type)
{
	return type == TYPE_CID || type == TYPE_CID_MOVED;
}

static bool is_known_version(unsigned version)
{
	return version == 0xfeff || version == 0xfefd || version == VERSION_1_3 || version == 0x0100;
}

static bool is_known_type(unsigned type)
{
	return (type >= TYPE_CHANGE_CIPHER_SPEC && type <= TYPE_ACK) || type == TYPE_CID_MOVED ||
	       type == TYPE_SESSION_MOVE;
}

static bool is_plain_header(const struct dtls_walk *walk)
{
	const uint8_t *at = walk->at;
	size_t left = (size_t)(walk->end - at);

	if (left < HEADER || !is_known_version(read16(at + 1)))
		return false;
	if (is_known_type(at[0]))
		return true;
	/* OpenSSL's old version may also be a CoAP message ID (RFC 7252 section 3: version 1 in the first
	 * byte). */
	return walk->is_first && read16(at + 11) <= left - HEADER &&
	       !(at[0] >> 6 == 1 && read16(at + 1) == 0x0100);
}

static void read_body(struct dtls_walk *walk, struct dtls_record *record, size_t length)
{
	size_t left = (size_t)(walk->end - walk->at);

	record->body = walk->at;
	record->body_size = length < left ? length : left;
	walk->at += record->body_size;
}

static void read_plain(struct dtls_walk *walk, struct dtls_record *record)
{
	const uint8_t *at = walk->at;
	size_t cid = 0;

	*record = (struct dtls_record){
	    .type = at[0], .epoch = (uint16_t)read16(at + 3), .number = read48(at + 5)};
	if (type_has_cid(at[0])) {
		cid = walk->session->cid_size[walk->way];
		record->cid = at + 11;
		if (cid == DTLS_CID_UNKNOWN || (size_t)(walk->end - at) < HEADER + cid) {
			walk->at = at + 11;
			read_body(walk, record, SIZE_MAX);
			return;
		}
		record->cid_size = (uint8_t)cid;
	}
	walk->at = at + HEADER + cid;
	read_body(walk, record, read16(at + 11 + cid));
}

/* Reads a unified header with a connection ID of `cid` bytes; returns false if it is truncated. */
static bool read_unified(struct dtls_walk *walk, struct dtls_record *record, size_t cid)
{
	const uint8_t *at = walk->at;
	uint8_t bits = at[0];
	size_t size = 1 + cid + (bits & UNIFIED_LONG_NUMBER ? 2 : 1) + (bits & UNIFIED_LENGTH ? 2 : 0);
	size_t left = (size_t)(walk->end - at);

	if (left < size)
		return false;
	*record = (struct dtls_record){.type = DTLS_UNIFIED,
	    .epoch = bits & 3,
	    .number = DTLS_NUMBER_HIDDEN,
	    .cid = bits & UNIFIED_CID ? at + 1 : NULL,
	    .cid_size = (uint8_t)cid};
	walk->at = at + size;
	read_body(walk, record, bits & UNIFIED_LENGTH ? read16(at + size - 2) : SIZE_MAX);
	return true;
}

static size_t unified_cid(const struct dtls_walk *walk)
{
	size_t cid = walk->session->cid_size[walk->way];

	if (!(walk->at[0] & UNIFIED_CID))
		return 0;
	return cid == DTLS_CID_UNKNOWN ? 0 : cid;
}

/* If no hello was seen: returns whether records with lengths and CIDs of `cid` bytes lead exactly to the end.
 */
static bool lengths_reach_end(const struct dtls_walk *from, size_t cid)
{
	struct dtls_walk walk = *from;

	while (walk.at < walk.end) {
		size_t own = walk.at[0] & UNIFIED_CID ? cid : 0;
		size_t header = 1 + own + (walk.at[0] & UNIFIED_LONG_NUMBER ? 2 : 1) + 2;
		size_t left = (size_t)(walk.end - walk.at), length;

		if ((walk.at[0] & UNIFIED_MASK) != UNIFIED_BITS || !(walk.at[0] & UNIFIED_LENGTH) ||
		    left < header)
			return false;
		length = read16(walk.at + header - 2);
		if (length < 16 ||
		    length > left - header) /* RFC 9147 4.2.3: at least 16 bytes of ciphertext */
			return false;
		walk.at += header + length;
	}
	return true;
}

static bool find_unified(struct dtls_walk *walk, struct dtls_record *record)
{
	if (walk->session->version_1_3 || walk->unified_sure)
		return read_unified(walk, record, unified_cid(walk));
	for (size_t cid = 0; cid <= (walk->at[0] & UNIFIED_CID ? 20u : 0u); cid++) {
		if (lengths_reach_end(walk, cid)) {
			walk->unified_sure = true;
			return read_unified(walk, record, walk->at[0] & UNIFIED_CID ? cid : 0);
		}
	}
	return false;
}

void dtls_walk(struct dtls_walk *walk, const struct dtls_session *session, enum way way, const uint8_t *bytes,
    size_t size)
{
	*walk = (struct dtls_walk){
	    .at = bytes, .end = bytes + size, .session = session, .way = way, .is_first = true};
}

bool dtls_next(struct dtls_walk *walk, struct dtls_record *record)
{
	if (walk->at >= walk->end)
		return false;
	if (is_plain_header(walk)) {
		read_plain(walk, record);
		walk->is_first = false;
		return true;
	}
	walk->is_first = false;
	return (walk->at[0] & UNIFIED_MASK) == UNIFIED_BITS && find_unified(walk, record);
}

/* ---- Handshake messages in the clear ---- */

static uint32_t kind_bit(enum dtls_kind kind)
{
	return UINT32_C(1) << kind;
}

static uint32_t message_kind(unsigned type)
{
	switch (type) {
	case 0: return kind_bit(DTLS_KIND_HELLO_REQUEST);
	case 1: return kind_bit(DTLS_KIND_CLIENT_HELLO);
	case 2: return kind_bit(DTLS_KIND_SERVER_HELLO);
	case 3: return kind_bit(DTLS_KIND_HELLO_VERIFY_REQUEST);
	case 4: return kind_bit(DTLS_KIND_NEW_SESSION_TICKET);
	case 11: return kind_bit(DTLS_KIND_CERTIFICATE);
	case 12: return kind_bit(DTLS_KIND_SERVER_KEY_EXCHANGE);
	case 13: return kind_bit(DTLS_KIND_CERTIFICATE_REQUEST);
	case 14: return kind_bit(DTLS_KIND_SERVER_HELLO_DONE);
	case 15: return kind_bit(DTLS_KIND_CERTIFICATE_VERIFY);
	case 16: return kind_bit(DTLS_KIND_CLIENT_KEY_EXCHANGE);
	case 22: return kind_bit(DTLS_KIND_CERTIFICATE_STATUS);
	default: return 0;
	}
}

/* A bounds-checked reader of a hello's body; past the end everything reads as empty. */
struct bounded {
	const uint8_t *at, *end;
};

/* Skips `size` bytes and returns their start, or NULL if fewer are left. */
static const uint8_t *bounded_skip(struct bounded *in, size_t size)
{
	const uint8_t *at = in->at;

	if ((size_t)(in->end - in->at) < size) {
		in->at = in->end;
		return NULL;
	}
	in->at += size;
	return at;
}

/* Skips a vector and returns its length. */
static size_t bounded_skip_vector(struct bounded *in, size_t length_size)
{
	const uint8_t *at = bounded_skip(in, length_size);
	size_t size = !at ? 0 : length_size == 1 ? at[0] : read16(at);

	return bounded_skip(in, size) ? size : 0;
}

static void learn_extension(
    struct dtls_session *session, enum way way, unsigned type, const uint8_t *at, size_t size)
{
	/* A peer announces the connection ID that it wants to receive, so it appears in records of the other
	 * way. */
	if ((type == EXTENSION_CONNECTION_ID || type == EXTENSION_CONNECTION_ID_DRAFT) && size >= 1 &&
	    at[0] == size - 1)
		session->cid_size[way_back(way)] = at[0];
	if (type == EXTENSION_SUPPORTED_VERSIONS && way == WAY_DOWN && size == 2 && read16(at) == VERSION_1_3)
		session->version_1_3 = true;
}

/* Learns from a hello; returns whether it contains a cookie. */
static bool learn_hello(struct dtls_session *session, enum way way, unsigned message, const uint8_t *body,
    size_t size, struct dtls_peek *peek)
{
	struct bounded in = {.at = body, .end = body + size};
	const uint8_t *random, *header;
	bool has_cookie = false;
	uint32_t hash;

	if (!bounded_skip(&in, 2) || !(random = bounded_skip(&in, DTLS_RANDOM_SIZE)))
		return false;
	hash = (uint32_t)chance_hash(0, random, DTLS_RANDOM_SIZE);
	if (message == MESSAGE_CLIENT_HELLO && session->hello_seen && hash == session->previous)
		return false; /* a late copy, of a handshake that was abandoned */
	if (message == MESSAGE_CLIENT_HELLO && (!session->hello_seen || hash != session->random)) {
		uint32_t previous = session->random;

		dtls_init(session);
		session->hello_seen = true;
		session->previous = previous;
		session->random = hash;
		peek->new_hello = true;
	}
	bounded_skip_vector(&in, 1); /* session_id */
	if (message == MESSAGE_CLIENT_HELLO) {
		has_cookie = bounded_skip_vector(&in, 1) > 0;
		bounded_skip_vector(&in, 2); /* cipher_suites */
		bounded_skip_vector(&in, 1); /* compression_methods */
	} else {
		bounded_skip(&in, 3); /* cipher_suite, compression_method */
	}
	bounded_skip(&in, 2); /* length of all extensions */
	while ((header = bounded_skip(&in, 4))) {
		const uint8_t *value = bounded_skip(&in, read16(header + 2));

		if (!value)
			continue;
		has_cookie |= message == MESSAGE_CLIENT_HELLO && read16(header) == EXTENSION_COOKIE;
		learn_extension(session, way, read16(header), value, read16(header + 2));
	}
	return has_cookie;
}

static uint32_t record_kinds(const struct dtls_record *record)
{
	uint32_t kinds = 0;

	if (record->type == DTLS_UNIFIED)
		kinds |= kind_bit(DTLS_KIND_UNIFIED) | kind_bit(DTLS_KIND_ENCRYPTED);
	else if (record->epoch > 0)
		kinds |= kind_bit(DTLS_KIND_ENCRYPTED);
	if (record->cid || record->cid_size)
		kinds |= kind_bit(DTLS_KIND_CID);
	switch (record->type) {
	case TYPE_CHANGE_CIPHER_SPEC: kinds |= kind_bit(DTLS_KIND_CHANGE_CIPHER_SPEC); break;
	case TYPE_ALERT: kinds |= kind_bit(DTLS_KIND_ALERT); break;
	case TYPE_HANDSHAKE: kinds |= kind_bit(DTLS_KIND_HANDSHAKE); break;
	case TYPE_APPLICATION_DATA: kinds |= kind_bit(DTLS_KIND_APPLICATION_DATA); break;
	case TYPE_HEARTBEAT: kinds |= kind_bit(DTLS_KIND_HEARTBEAT); break;
	case TYPE_ACK: kinds |= kind_bit(DTLS_KIND_ACK); break;
	case TYPE_SESSION_MOVE: kinds |= kind_bit(DTLS_KIND_SESSION_MOVE); break;
	default: break;
	}
	if (record->type == TYPE_HANDSHAKE && record->epoch == 1)
		kinds |= kind_bit(DTLS_KIND_FINISHED);
	return kinds;
}

/* Returns whether a handshake message, given without its header, asks for a cookie. */
static bool asks_cookie(unsigned type, const uint8_t *body, size_t size)
{
	static const uint8_t retry[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11}; /* RFC 8446 4.1.3 */

	return type == MESSAGE_HELLO_VERIFY_REQUEST ||
	       (type == MESSAGE_SERVER_HELLO && size >= 2 + sizeof(retry) &&
	           memcmp(body + 2, retry, sizeof(retry)) == 0);
}

bool dtls_asks_cookie(const uint8_t *bytes, size_t size)
{
	const size_t body = HEADER + HANDSHAKE_HEADER;

	return size > HEADER && bytes[0] == TYPE_HANDSHAKE &&
	       asks_cookie(bytes[HEADER], size > body ? bytes + body : bytes, size > body ? size - body : 0);
}

static void add_message(struct dtls_peek *peek, const struct dtls_message *message)
{
	peek->kinds |= message->kinds;
	if (peek->message_count < DTLS_MESSAGES_MAX)
		peek->messages[peek->message_count++] = *message;
}

static void parse_messages(struct dtls_session *session, enum way way, const struct dtls_record *record,
    uint32_t kinds, struct dtls_peek *peek)
{
	const uint8_t *at = record->body, *end = record->body + record->body_size;

	while (end - at >= HANDSHAKE_HEADER) {
		uint32_t length = read24(at + 9);
		size_t left = (size_t)(end - at) - HANDSHAKE_HEADER;
		size_t size = length < left ? length : left;
		struct dtls_message message = {.kinds = kinds | message_kind(at[0]),
		    .sequence = read16(at + 4),
		    .place = read24(at + 6),
		    .epoch = record->epoch,
		    .type = at[0],
		    .is_stateless = asks_cookie(at[0], at + HANDSHAKE_HEADER, size),
		    .number = record->number};

		if (message.place == 0 && (at[0] == MESSAGE_CLIENT_HELLO || at[0] == MESSAGE_SERVER_HELLO) &&
		    learn_hello(session, way, at[0], at + HANDSHAKE_HEADER, size, peek))
			message.kinds |= kind_bit(DTLS_KIND_CLIENT_HELLO_COOKIE);
		add_message(peek, &message);
		at += HANDSHAKE_HEADER + size;
	}
}

void dtls_parse(
    struct dtls_session *session, enum way way, const uint8_t *bytes, size_t size, struct dtls_peek *peek)
{
	struct dtls_walk walk;
	struct dtls_record record;

	peek->kinds = peek->records = peek->message_count = 0; /* `messages` needs no clearing */
	peek->first = (struct dtls_record){.type = DTLS_NONE};
	peek->new_hello = false;
	dtls_walk(&walk, session, way, bytes, size);
	while (dtls_next(&walk, &record)) {
		uint32_t kinds = record_kinds(&record);

		if (!peek->records++)
			peek->first = record;
		peek->kinds |= kinds;
		if (record.type != TYPE_HANDSHAKE)
			continue;
		if (record.epoch == 0)
			parse_messages(session, way, &record, kinds, peek);
		else
			add_message(peek, &(struct dtls_message){.kinds = kinds,
			                      .sequence = DTLS_SEQUENCE_HIDDEN,
			                      .place = (uint32_t)record.body_size,
			                      .epoch = record.epoch,
			                      .number = record.number});
	}
	if (!peek->records)
		peek->kinds = kind_bit(DTLS_KIND_NONE);
}
