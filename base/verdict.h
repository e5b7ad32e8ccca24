/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict: the words that deciding, relaying and recording share: ways, reasons, holds, copies, and what
 * became of one datagram.
 *
 * rules/ fills a verdict, capture/ writes it down, proxy/ carries it from one to the other. Names of links
 * and rules stand in it as numbers of base/names.
 */
#ifndef BASE_VERDICT_H
#define BASE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ns.h"

/* up: device to cloud; down: cloud to device. */
enum way { WAY_UP, WAY_DOWN };
#define WAYS 2

static inline enum way way_back(enum way way)
{
	return way == WAY_UP ? WAY_DOWN : WAY_UP;
}

/* Why a datagram was not sent. REASON_COUNT ends the list; verdict_reasons has the words. */
enum reason {
	REASON_NONE,
	REASON_LOSS,
	REASON_RULE,
	REASON_BLACKOUT,
	REASON_QUEUE,
	REASON_MTU,
	REASON_NAT_EXPIRED,
	REASON_OVERLOAD,
	REASON_NOT_ALLOWED,
	REASON_MAX_SESSIONS,
	REASON_ERROR,
	REASON_COUNT
};

/* What a datagram waits for whose time is not known when it arrives. */
enum hold { HOLD_NONE, HOLD_LOOKUP, HOLD_BLACKOUT, HOLD_RULE, HOLD_PACK, HOLD_SLEEP, HOLD_REORDER };

/* Where a copy comes from. */
enum origin {
	ORIGIN_ARRIVED,
	ORIGIN_DUPLICATE,
	ORIGIN_DECOY,
	ORIGIN_REPLAY,
	ORIGIN_INJECT,
	ORIGIN_LINK,
	ORIGIN_COUNT
};

/* What was done to a datagram's bytes: a flipped bit, a byte set, the rest cut off. */
enum deed_kind { MUTATION_CORRUPT, MUTATION_SET, MUTATION_TRUNCATE };

struct mutation {
	uint8_t kind;
	uint8_t value; /* MUTATION_CORRUPT: the bit, 0 the lowest; MUTATION_SET: the byte's new value */
	uint16_t byte; /* MUTATION_TRUNCATE: the new size */
};

#define VERDICT_BY_MAX 8
#define VERDICT_DEEDS_MAX 64
#define DTLS_NONE 0x100    /* no DTLS record */
#define DTLS_UNIFIED 0x101 /* a DTLS 1.3 ciphertext record, which shows no content type */
#define DTLS_NUMBER_HIDDEN UINT64_MAX

struct verdict {
	uint32_t session, n; /* session 0: refused before there was one */
	uint32_t size;       /* bytes of the datagram */
	uint32_t copies;     /* made of it */
	ns_t delay;          /* planned, or NS_UNKNOWN */
	uint64_t number;     /* of its first record */
	uint16_t type;       /* content type of its first record, or DTLS_NONE or DTLS_UNIFIED */
	uint32_t device;     /* name of its [device] section, or 0 */
	uint16_t epoch; /* not beside `type`: both read at once, just written, would stall the processor */
	uint32_t hold_name;
	uint32_t hold_count; /* HOLD_REORDER: datagrams */
	uint8_t way, reason, hold;
	uint8_t by_count, mutation_count;
	uint8_t by_left_out;         /* of those who decided; at most 255 */
	uint16_t deeds_left_out;     /* done, but more than `deeds` has room for */
	uint32_t by[VERDICT_BY_MAX]; /* who decided, the first that did first */
	struct mutation mutations[VERDICT_DEEDS_MAX];
};

extern const char *const verdict_ways[WAYS];
extern const char *const verdict_reasons[REASON_COUNT];
extern const char *const verdict_origins[ORIGIN_COUNT];

void verdict_by(struct verdict *verdict, uint32_t name);
/* The same for the link, which makes the delay: it takes the last place if there is none left. */
void verdict_by_link(struct verdict *verdict, uint32_t name);
void verdict_add_mutation(struct verdict *verdict, struct mutation mutation);

#endif
