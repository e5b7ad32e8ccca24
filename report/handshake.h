/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshake: tracks the DTLS handshakes of a session, as far as they are visible without keys.
 *
 * A handshake begins with a ClientHello that has a new random. Each handshake message is tracked by itself,
 * however it is packed into datagrams (RFC 6347 section 4.2.2): when it was sent, its retransmissions and the
 * gaps between them, and when it was first delivered. ChangeCipherSpec is tracked like a handshake message. A
 * record whose number was seen before is a duplicate, not a retransmission.
 *
 * A handshake is done once both Finished and all messages of the last flight are delivered. If Finished
 * cannot be recognized (with a connection ID, and in DTLS 1.3), an encrypted record from either side takes
 * its place.
 *
 * A flight (RFC 6347 section 4.2.4) is what one side sends before the other answers with something new.
 *
 * Zero-initialize a struct handshakes. Call handshakes_arrived and handshakes_delivered for each datagram in
 * the order of the capture, then handshakes_end, then read the members; handshakes_free releases all. Times
 * are in ns.
 */
#ifndef REPORT_HANDSHAKE_H
#define REPORT_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "rules/dtls.h"

#define FLIGHTS_MAX 12
#define HANDSHAKE_TRIES_MAX 9 /* tries of a message that are kept; later ones are only counted */
#define HANDSHAKE_MESSAGES_MAX 64

struct flight {
	enum way way;
	uint32_t kinds; /* bit mask by enum dtls_kind of its first datagram */
	ns_t first;
};

struct handshake_message {
	enum way way;
	uint8_t flight;
	uint32_t sends;
	struct dtls_message message; /* as in its first try */
	ns_t first, latest;          /* arrivals of its first and latest try */
	ns_t delivered;              /* when it first left for its receiver; 0: never */
	struct handshake_tries {
		ns_t gaps[HANDSHAKE_TRIES_MAX - 1];
		uint64_t numbers[HANDSHAKE_TRIES_MAX - 1]; /* record numbers */
	} * again;                                         /* NULL: sent once */
};

enum handshake_kind {
	HANDSHAKE_UNFINISHED, /* when the capture ended */
	HANDSHAKE_ABANDONED,  /* another one followed, the session ended, or a minute of silence followed */
	HANDSHAKE_FULL,       /* a certificate or a key exchange was seen */
	HANDSHAKE_RESUMED,    /* neither was seen, and no record is missing */
	HANDSHAKE_UNKNOWN,    /* neither was seen, but the capture lacks records */
	HANDSHAKE_1_3
};

struct handshake {
	ns_t began, done; /* done 0: not done */
	ns_t latest;      /* arrival of its last message */
	enum handshake_kind kind;
	bool is_cut;     /* the capture truncated one of its datagrams */
	bool is_untimed; /* the clock was stepped meanwhile */
	bool is_full, is_1_3, has_server_hello, has_change_cipher_spec;
	ns_t finished[WAYS]; /* when each Finished was delivered; 0: never */
	/* Numbers of the server's epoch 0 records from its ServerHello on, also as a bit mask. */
	uint64_t first_number, seen_numbers, last_number;
	uint32_t missing;       /* records up to its ChangeCipherSpec that were not seen */
	struct flight *flights; /* at most FLIGHTS_MAX */
	size_t flight_count;
	struct handshake_message *messages; /* at most HANDSHAKE_MESSAGES_MAX */
	size_t message_count;
};

struct handshakes {
	struct handshake *all;
	size_t count;
};

/* Handles an arrival. `dtls` and `peek` are the state and the result after dtls_parse. */
void handshakes_arrived(struct handshakes *handshakes, const struct dtls_session *dtls, enum way way,
    const struct dtls_peek *peek, const uint8_t *bytes, size_t size, ns_t at);
/* Handles a datagram that left for its receiver with the bytes of its arrival. */
void handshakes_delivered(struct handshakes *handshakes, const struct dtls_session *dtls, enum way way,
    const uint8_t *bytes, size_t size, ns_t at);
/* Notes that the capture truncated a datagram; it may be part of a handshake that is under way. */
void handshakes_cut(struct handshakes *handshakes);
/* Notes a clock step: the duration of a handshake that is under way becomes unknown. */
void handshakes_step(struct handshakes *handshakes);
/* Sets the kind of each handshake. `end` is the last time stamp of the capture, or of the session if it ended
 * before (`is_over`). */
void handshakes_end(struct handshakes *handshakes, ns_t end, bool is_over);
void handshakes_free(struct handshakes *handshakes);

/* Returns the message of a flight with the most tries. */
const struct handshake_message *handshake_flight_max(const struct handshake *handshake, size_t flight);
/* Returns the name of the most specific of these kinds: "client_hello", "finished", … */
const char *handshake_kind_name(uint32_t kinds);
/* Returns the name of its kind: "full", "resumed", … */
const char *handshake_kind_text(const struct handshake *handshake);

#endif
