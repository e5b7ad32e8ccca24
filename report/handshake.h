/*
 * handshake: the story of a session's DTLS handshakes, told from what is in the clear.
 *
 * A handshake begins with a ClientHello of another random. It is done when an encrypted record has come from
 * either side (both Finished are among them). It was resumed where the server went on without
 * ServerHelloDone, full where there was one; DTLS 1.3 hides that. One that another ClientHello cuts short, or
 * the end, is abandoned.
 *
 * A flight (RFC 6347 section 4.2.4) is what one side says before the other answers with something new. When
 * its first message comes again, that is a retransmission; the gaps between are the sender's retry timer.
 */
#ifndef REPORT_HANDSHAKE_H
#define REPORT_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "rules/dtls.h"

#define FLIGHTS_MAX 12
#define FLIGHT_GAPS_MAX 8
#define MESSAGES_MAX 64

struct flight {
	enum way way;
	uint32_t kinds; /* bits of enum dtls_kind of its first datagram */
	ns_t first, latest;
	uint32_t sends;
	ns_t gaps[FLIGHT_GAPS_MAX]; /* between its sends, the first ones */
};

enum handshake_kind { HANDSHAKE_UNKNOWN, HANDSHAKE_FULL, HANDSHAKE_RESUMED, HANDSHAKE_1_3 };

struct handshake {
	ns_t began, done; /* 0: abandoned, or it goes on */
	enum handshake_kind kind;
	bool server_done, encrypted[WAYS];
	struct flight *flights; /* at most FLIGHTS_MAX */
	size_t flight_count;
	struct handshake_message {
		enum way way;
		struct dtls_message message;
		uint8_t flight;
	} * messages; /* at most MESSAGES_MAX */
	size_t message_count;
};

struct handshakes {
	struct handshake *all;
	size_t count;
};

/* A datagram of the session arrived; `dtls` has looked at it already. */
void handshakes_look(struct handshakes *handshakes, const struct dtls_session *dtls, enum way way,
    const struct dtls_peek *peek, ns_t at);
void handshakes_free(struct handshakes *handshakes);

/* "client_hello", "finished": what a flight begins with. */
const char *flight_name(const struct flight *flight);
const char *handshake_word(const struct handshake *handshake);

#endif
