/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtls: a peek at the records of a datagram: what can be told without keys.
 *
 * Read are DTLS 1.0 and 1.2 records (RFC 4347, RFC 6347), several in a datagram, handshake messages in the
 * clear with their fragments; DTLS 1.3 (RFC 9147) plaintext records, unified headers with and without
 * connection ID, and ACKs; records with a connection ID (RFC 9146, content type 25); content types 253 (laid
 * out as 25) and 254 (laid out as any other), which Particle's Device OS uses.
 *
 * What is taken for a record:
 *   - thirteen bytes of header, whole, with one of the content types 20-26, 253 or 254 and the version of
 * DTLS 1.0, 1.2, 1.3 or of OpenSSL's old "bad" one (0x0100);
 *   - the same with any other content type, if it is the datagram's first record and its length fits the
 * datagram: a type of a vendor's own;
 *   - a unified header (first bits 001), in a session whose hellos agreed on DTLS 1.3; in any other only
 * where it carries lengths and these lead exactly to the datagram's end: a byte of noise is not enough. A
 * record whose length points past the datagram's end is taken as one that was cut: it is the last, its kind
 * stands, and nothing past the end is read. Bytes behind the last record that are no record (Particle's
 * device id behind a moved record) are passed over. Where nothing is a record the datagram is `none`, as
 * plain CoAP is: its first byte (0x40-0x7f) is neither a content type nor a unified header.
 *
 * The length of a connection ID is learned from the hellos (extension 54); without them a record that has one
 * is taken to reach to the datagram's end.
 */
#ifndef RULES_DTLS_H
#define RULES_DTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"

/* Kinds of records, as the condition `dtls` names them; dtls_kinds has the words in this order. */
enum dtls_kind {
	DTLS_KIND_HANDSHAKE,
	DTLS_KIND_CLIENT_HELLO,
	DTLS_KIND_CLIENT_HELLO_COOKIE, /* one with a cookie (RFC 6347 4.2.1, RFC 8446 4.2.2) */
	DTLS_KIND_SERVER_HELLO,
	DTLS_KIND_HELLO_VERIFY_REQUEST,
	DTLS_KIND_HELLO_REQUEST,
	DTLS_KIND_CERTIFICATE,
	DTLS_KIND_SERVER_KEY_EXCHANGE,
	DTLS_KIND_CERTIFICATE_REQUEST,
	DTLS_KIND_SERVER_HELLO_DONE,
	DTLS_KIND_CERTIFICATE_VERIFY,
	DTLS_KIND_CLIENT_KEY_EXCHANGE,
	DTLS_KIND_NEW_SESSION_TICKET,
	DTLS_KIND_CERTIFICATE_STATUS,
	DTLS_KIND_FINISHED,
	DTLS_KIND_CHANGE_CIPHER_SPEC,
	DTLS_KIND_ALERT,
	DTLS_KIND_APPLICATION_DATA,
	DTLS_KIND_CID,
	DTLS_KIND_ENCRYPTED,
	DTLS_KIND_ACK,
	DTLS_KIND_HEARTBEAT,
	DTLS_KIND_UNIFIED,
	DTLS_KIND_SESSION_MOVE,
	DTLS_KIND_NONE,
	DTLS_KIND_COUNT
};

extern const char *const dtls_kinds[DTLS_KIND_COUNT];

#define DTLS_CID_UNKNOWN 0xff
#define DTLS_RANDOM_SIZE 32

/* What a session's hellos told. Zeroed at first by dtls_init. */
struct dtls_session {
	uint8_t cid_size[WAYS]; /* in records of that way; DTLS_CID_UNKNOWN */
	bool version_1_3;       /* a ServerHello chose it */
	bool hello_seen;
	uint32_t random, previous; /* hashes of those of the last ClientHellos of epoch 0 */
};

struct dtls_record {
	uint16_t type;   /* content type, or DTLS_UNIFIED */
	uint16_t epoch;  /* of a unified header the two bits that it shows */
	uint64_t number; /* DTLS_NUMBER_HIDDEN in a unified header */
	const uint8_t *cid;
	uint8_t cid_size; /* 0 where there is none, or its length is not known */
	const uint8_t *body;
	size_t body_size; /* what is there of it */
};

/* Steps through the records of a datagram. */
struct dtls_walk {
	const uint8_t *at, *end;
	const struct dtls_session *session;
	enum way way;
	bool is_first;
	bool unified_sure; /* lengths lead exactly to the end */
};

#define DTLS_TYPE_HANDSHAKE 22
#define DTLS_SEQUENCE_HIDDEN UINT32_MAX
#define DTLS_MESSAGES_MAX 16 /* of a datagram; what stands behind them is not looked at */

/* A handshake message: in the clear each fragment of one, encrypted each record of type handshake. */
struct dtls_message {
	uint32_t kinds;    /* bits of enum dtls_kind: its own and its record's */
	uint32_t sequence; /* message_seq; DTLS_SEQUENCE_HIDDEN if it is encrypted */
	uint32_t place;    /* fragment offset; of an encrypted one the record's size */
	uint16_t epoch;
	uint8_t type;      /* 0 if it is encrypted */
	bool is_stateless; /* a server asks for a cookie, without counting its records */
	uint64_t number;   /* of its record */
};

struct dtls_peek {
	uint32_t kinds; /* a bit for each enum dtls_kind */
	uint32_t records;
	struct dtls_record first;
	bool new_hello; /* a ClientHello of epoch 0 with another random than the last: a handshake begins */
	uint32_t message_count;
	struct dtls_message messages[DTLS_MESSAGES_MAX];
};

/* The same message, whether or not sent anew: by epoch, type, message_seq and fragment offset, an encrypted
 * one by epoch and record size. */
static inline bool dtls_message_same(const struct dtls_message *a, const struct dtls_message *b)
{
	return a->epoch == b->epoch && a->type == b->type && a->sequence == b->sequence &&
	       a->place == b->place;
}

void dtls_init(struct dtls_session *session);
/* Does a datagram begin with a server's request to come again with a cookie: HelloVerifyRequest (RFC 6347
 * section 4.2.1) or HelloRetryRequest (RFC 8446 section 4.1.4)? The server keeps no state of such a client.
 */
bool dtls_asks_cookie(const uint8_t *bytes, size_t size);
void dtls_walk(struct dtls_walk *walk, const struct dtls_session *session, enum way way, const uint8_t *bytes,
    size_t size);
bool dtls_next(struct dtls_walk *walk, struct dtls_record *record);
/* Looks at a datagram of the session, in order of arrival, and learns from its hellos. */
void dtls_look(
    struct dtls_session *session, enum way way, const uint8_t *bytes, size_t size, struct dtls_peek *peek);

#endif
