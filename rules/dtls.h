/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtls: parses the records of a datagram as far as that is possible without keys.
 *
 * It understands
 *   - DTLS 1.0 and 1.2 records (RFC 4347, RFC 6347), several in a datagram, and handshake messages in the
 *     clear with their fragments;
 *   - DTLS 1.3 (RFC 9147) plaintext records, unified headers with and without connection ID, and ACKs;
 *   - records with a connection ID (RFC 9146, content type 25);
 *   - content types 253 (laid out as 25) and 254 (laid out as any other), used by Particle's Device OS.
 *
 * These count as a record:
 *   - a complete 13-byte header with content type 20-26, 253 or 254 and the version of DTLS 1.0, 1.2, 1.3 or
 *     of OpenSSL's old "bad" one (0x0100);
 *   - the same with any other (vendor-specific) content type, if it is the datagram's first record and its
 *     length fits the datagram;
 *   - a unified header (first bits 001), in a session whose hellos agreed on DTLS 1.3; in any other session
 *     only if it carries lengths that lead exactly to the datagram's end, so that a byte of noise is not
 *     taken for a record.
 *
 * A record whose length points past the datagram's end counts as truncated: it is the last, it keeps its
 * kind, and nothing past the end is read. Trailing bytes that are no record (Particle's device id after a
 * moved record) are ignored. A datagram without any record is of kind `none`. Plain CoAP is: its first byte
 * (0x40-0x7f) is neither a content type nor a unified header.
 *
 * The length of a connection ID is learned from the hellos (extension 54). If no hello was seen, a record
 * with a connection ID is assumed to extend to the datagram's end.
 */
#ifndef RULES_DTLS_H
#define RULES_DTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"

/* Kinds of records for the condition `dtls`; dtls_kinds holds their names in this order. */
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

/* What a session's hellos revealed. Initialized by dtls_init. */
struct dtls_session {
	uint8_t cid_size[WAYS]; /* bytes, in records of that way, or DTLS_CID_UNKNOWN */
	bool version_1_3;       /* a ServerHello chose it */
	bool hello_seen;
	uint32_t random, previous; /* hashes of the randoms of the last two ClientHellos of epoch 0 */
};

struct dtls_record {
	uint16_t type;   /* content type, or DTLS_UNIFIED */
	uint16_t epoch;  /* in a unified header, only its low two bits */
	uint64_t number; /* DTLS_NUMBER_HIDDEN in a unified header */
	const uint8_t *cid;
	uint8_t cid_size; /* 0 if there is no CID or its length is unknown */
	const uint8_t *body;
	size_t body_size; /* bytes present; less than the record's length if it is truncated */
};

/* Iterates over the records of a datagram. */
struct dtls_walk {
	const uint8_t *at, *end;
	const struct dtls_session *session;
	enum way way;
	bool is_first;
	bool unified_sure; /* the lengths lead exactly to the end */
};

#define DTLS_TYPE_HANDSHAKE 22
#define DTLS_SEQUENCE_HIDDEN UINT32_MAX
#define DTLS_MESSAGES_MAX 16 /* per datagram; later ones are ignored */

/* A fragment of a handshake message in the clear, or an encrypted record of type handshake. */
struct dtls_message {
	uint32_t kinds;    /* bits of enum dtls_kind: its own and its record's */
	uint32_t sequence; /* message_seq; DTLS_SEQUENCE_HIDDEN if it is encrypted */
	uint32_t place;    /* fragment offset; if it is encrypted, the record's size */
	uint16_t epoch;
	uint8_t type;      /* 0 if it is encrypted */
	bool is_stateless; /* a server's cookie request, whose record numbers do not count up */
	uint64_t number;   /* of its record: the sequence number */
};

struct dtls_peek {
	uint32_t kinds; /* a bit for each enum dtls_kind */
	uint32_t records;
	struct dtls_record first;
	bool new_hello; /* a ClientHello of epoch 0 with a new random: a handshake begins */
	uint32_t message_count;
	struct dtls_message messages[DTLS_MESSAGES_MAX];
};

/* Returns whether `a` and `b` are transmissions of the same message: same epoch, type, message_seq and
 * fragment offset, or, if encrypted, same epoch and record size. */
static inline bool dtls_message_same(const struct dtls_message *a, const struct dtls_message *b)
{
	return a->epoch == b->epoch && a->type == b->type && a->sequence == b->sequence &&
	       a->place == b->place;
}

void dtls_init(struct dtls_session *session);
/* Returns whether a datagram begins with a server's cookie request: HelloVerifyRequest (RFC 6347
 * section 4.2.1) or HelloRetryRequest (RFC 8446 section 4.1.4). The server keeps no state for such a client.
 */
bool dtls_asks_cookie(const uint8_t *bytes, size_t size);
void dtls_walk(struct dtls_walk *walk, const struct dtls_session *session, enum way way, const uint8_t *bytes,
    size_t size);
bool dtls_next(struct dtls_walk *walk, struct dtls_record *record);
/* Parses a datagram into *peek and updates *session from its hellos. Call it in order of arrival. */
void dtls_parse(
    struct dtls_session *session, enum way way, const uint8_t *bytes, size_t size, struct dtls_peek *peek);

#endif
