/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshake: a session's DTLS handshakes, as far as they show without keys.
 *
 * A handshake begins with a ClientHello of another random. Every handshake message is followed for itself,
 * however packed (RFC 6347 section 4.2.2): when it was sent, how often again and how long after the try
 * before, when it first reached the other side. A record that came before, by its number, is a duplicate and
 * no new try. ChangeCipherSpec, which is none, is followed as if it were one. The handshake is done once both
 * Finished have reached their receivers, and all of the last flight with them; behind a connection ID and in
 * DTLS 1.3, where they are hidden, once an encrypted record of either side has.
 *
 * A flight (RFC 6347 section 4.2.4) is what one side sends before the other answers with something new.
 */
#ifndef REPORT_HANDSHAKE_H
#define REPORT_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "rules/dtls.h"

#define FLIGHTS_MAX 12
#define HANDSHAKE_TRIES_MAX 9 /* of a message; of later ones only the number is known */
#define HANDSHAKE_MESSAGES_MAX 64

struct flight {
	enum way way;
	uint32_t kinds; /* bits of enum dtls_kind of its first datagram */
	ns_t first;
};

struct handshake_message {
	enum way way;
	uint8_t flight;
	uint32_t sends;
	struct dtls_message message; /* of its first try */
	ns_t first, latest;          /* tries */
	ns_t delivered;              /* when it first left for its receiver; 0: it never did */
	struct handshake_tries {
		ns_t gaps[HANDSHAKE_TRIES_MAX - 1];
		uint64_t numbers[HANDSHAKE_TRIES_MAX - 1]; /* of records */
	} * again;                                         /* NULL: sent once */
};

enum handshake_kind {
	HANDSHAKE_UNFINISHED, /* when the capture ended */
	HANDSHAKE_ABANDONED,  /* another one followed, or a minute of silence */
	HANDSHAKE_FULL,       /* a certificate or a key exchange was seen */
	HANDSHAKE_RESUMED,    /* there was none, and no record is missing where it would stand */
	HANDSHAKE_UNKNOWN,    /* one may be among the records that the capture lacks */
	HANDSHAKE_1_3
};

struct handshake {
	ns_t began, done; /* 0: it is not */
	ns_t latest;      /* the last message of it */
	enum handshake_kind kind;
	bool is_cut;     /* the capture cut one of its datagrams */
	bool is_untimed; /* the clock was stepped in its course */
	bool is_full, is_1_3, has_server_hello, has_change_cipher_spec;
	ns_t finished[WAYS]; /* when either Finished has reached its receiver */
	/* The server's records of epoch 0, from its ServerHello on: a bit for each. */
	uint64_t first_number, seen_numbers, last_number;
	uint32_t missing;       /* of these, before its ChangeCipherSpec */
	struct flight *flights; /* at most FLIGHTS_MAX */
	size_t flight_count;
	struct handshake_message *messages; /* at most HANDSHAKE_MESSAGES_MAX */
	size_t message_count;
};

struct handshakes {
	struct handshake *all;
	size_t count;
};

/* A datagram of the session arrived; `dtls` has looked at it already, and found `peek`. */
void handshakes_arrived(struct handshakes *handshakes, const struct dtls_session *dtls, enum way way,
    const struct dtls_peek *peek, const uint8_t *bytes, size_t size, ns_t at);
/* One left for its receiver, with its bytes as they came. */
void handshakes_delivered(struct handshakes *handshakes, const struct dtls_session *dtls, enum way way,
    const uint8_t *bytes, size_t size, ns_t at);
/* The capture cut a datagram, of a handshake if one is under way. */
void handshakes_cut(struct handshakes *handshakes);
/* The clock was stepped: how long a handshake that is under way takes is not known. */
void handshakes_step(struct handshakes *handshakes);
/* Decides about each what kind it was. `end`: the last stamp of the session's capture, or of its life if
 * `is_over`. */
void handshakes_end(struct handshakes *handshakes, ns_t end, bool is_over);
void handshakes_free(struct handshakes *handshakes);

/* The message of a flight that was sent most often. */
const struct handshake_message *handshake_flight_max(const struct handshake *handshake, size_t flight);
/* "client_hello", "finished": the most telling of these kinds. */
const char *handshake_kind_name(uint32_t kinds);
/* "full", "resumed", … */
const char *handshake_word(const struct handshake *handshake);

#endif
