/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange: CoAP's reliability like that of coap_channel.cpp in Device OS (test/ota/README.md 1.3).
 *
 * A confirmable message is sent at most four times. The waits are 4 s, 8 s, 16 s and 32 s, each stretched by
 * a newly drawn random factor of 1 to 1.5; after the last one the message is given up, 60 to 90 s after it
 * was first sent. The peer's confirmable messages are remembered for 45 s with their answers, so that a
 * repeated one gets the same answer and is not processed again.
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
	struct link *link; /* set by the owner, and again when it is replaced */
	struct exchange open[EXCHANGE_OPEN_MAX];
	struct answered answered[EXCHANGE_ANSWERED_MAX];
	size_t answered_next;
	uint64_t random;
	uint16_t id; /* of the last message sent */
	unsigned retransmissions;
};

void exchanges_init(struct exchanges *exchanges, const struct clock *clock, uint64_t seed);
void exchanges_clear(struct exchanges *exchanges); /* forgets all that is open and answered */

/* Sends a message that needs no answer. A NON gets an id; an ACK is remembered. */
void exchange_send(struct exchanges *exchanges, struct coap_message *message);
/* Sends a confirmable one and keeps it until acknowledged; `what` names it and must outlive it. Returns its
 * id, or 0. */
uint16_t exchange_confirm(struct exchanges *exchanges, struct coap_message *message, const char *what);

/* Closes what an ACK or RST with this id belongs to; returns its name, or NULL. */
const char *exchange_close(struct exchanges *exchanges, uint16_t id);
bool exchange_is_open(const struct exchanges *exchanges, const char *what);
void exchange_cancel(struct exchanges *exchanges, const char *what);

/* If a confirmable message with this id was answered before, answers it again and returns true. */
bool exchange_repeat(struct exchanges *exchanges, uint16_t id);

uint64_t exchange_due(const struct exchanges *exchanges);
/* Retransmits what is due; returns the name of one that it gives up, or NULL. Call until it returns NULL. */
const char *exchange_tick(struct exchanges *exchanges);

#endif
