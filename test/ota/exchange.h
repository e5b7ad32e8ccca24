/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange: CoAP's reliability as coap_channel.cpp of Device OS has it (test/ota/README.md 1.3).
 *
 * A confirmable message is sent at most four times. The Nth wait is 4 s, 8 s, 16 s, 32 s, each stretched by a
 * random factor of 1 to 1.5 that is drawn anew; after the last one it is given up, 60 to 90 s after it began.
 * Confirmable messages of the peer are remembered for 45 s with what was answered, so that a repeated one
 * gets the same answer and is not processed again.
 */
#ifndef OTA_EXCHANGE_H
#define OTA_EXCHANGE_H

#include "coap.h"
#include "clock.h"
#include "link.h"

#define EXCHANGE_OPEN_MAX 4
#define EXCHANGE_ANSWERED_MAX 32

struct exchange {
	const char *what; /* NULL: this place is free */
	uint16_t id;
	unsigned sent; /* times */
	uint64_t began_ms, due_ms;
	uint8_t bytes[COAP_SIZE_MAX];
	size_t size;
};

struct answered {
	uint16_t id;
	uint64_t until_ms; /* 0: free */
	uint8_t bytes[64];
	size_t size;
};

struct exchanges {
	const struct clock *clock;
	struct link *link; /* set by the owner, changed when it is replaced */
	struct exchange open[EXCHANGE_OPEN_MAX];
	struct answered answered[EXCHANGE_ANSWERED_MAX];
	size_t answered_next;
	uint64_t random;
	uint16_t id; /* of the last message sent */
	unsigned retransmissions;
};

void exchanges_init(struct exchanges *exchanges, const struct clock *clock, uint64_t seed);
void exchanges_clear(struct exchanges *exchanges); /* forgets all that is open and answered */

/* Sends a message that needs no answer. A NON gets an id; what it is an answer to is remembered. */
void exchange_send(struct exchanges *exchanges, struct coap_message *message);
/* Sends a confirmable one and keeps it until it is acknowledged; `what` names it and must last. Gives its id.
 */
uint16_t exchange_confirm(struct exchanges *exchanges, struct coap_message *message, const char *what);

/* An ACK or RST with this id came: what it belongs to, or NULL. */
const char *exchange_close(struct exchanges *exchanges, uint16_t id);
bool exchange_is_open(const struct exchanges *exchanges, const char *what);
void exchange_cancel(struct exchanges *exchanges, const char *what);

/* A confirmable message with this id came: answers it again and gives true if it was answered before. */
bool exchange_repeat(struct exchanges *exchanges, uint16_t id);

uint64_t exchange_due(const struct exchanges *exchanges);
/* Sends again what is due; gives what was given up, or NULL. Call until it gives NULL. */
const char *exchange_tick(struct exchanges *exchanges);

#endif
