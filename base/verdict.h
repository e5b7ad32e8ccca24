/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict: the vocabulary that rules, relay and capture share: directions, reasons, holds, copies, and the
 * decision about one datagram.
 *
 * rules/ fills a verdict, proxy/ passes it on, and capture/ writes it to the file. It holds the names of
 * links and rules as numbers of base/names.
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

/* Why a datagram was not sent. verdict_reasons has the names. */
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
	REASON_FILTERED,
	REASON_COUNT
};

/* What a datagram waits for if its departure time is not known on arrival. */
enum hold { HOLD_NONE, HOLD_LOOKUP, HOLD_BLACKOUT, HOLD_RULE, HOLD_PACK, HOLD_SLEEP, HOLD_REORDER };

/* What made a datagram or copy. */
enum origin {
	ORIGIN_ARRIVED,
	ORIGIN_DUPLICATE,
	ORIGIN_DECOY,
	ORIGIN_REPLAY,
	ORIGIN_INJECT,
	ORIGIN_LINK,
	ORIGIN_COUNT
};

/* A change of a datagram's bytes: a flipped bit, a byte that was set, or truncation. */
enum mutation_kind { MUTATION_CORRUPT, MUTATION_SET, MUTATION_TRUNCATE };

struct mutation {
	uint8_t kind;
	uint8_t value; /* MUTATION_CORRUPT: number of the flipped bit, 0 is the lowest; MUTATION_SET: the
	                  byte's new value */
	uint16_t byte; /* offset of the byte; MUTATION_TRUNCATE: the new size in bytes */
};

#define VERDICT_BY_MAX 8
#define VERDICT_MUTATIONS_MAX 64
#define DTLS_NONE 0x100    /* not a DTLS record */
#define DTLS_UNIFIED 0x101 /* a DTLS 1.3 ciphertext record, which shows no content type */
#define DTLS_NUMBER_HIDDEN UINT64_MAX

struct verdict {
	uint32_t session, n; /* session 0: the datagram was refused before a session was created */
	uint32_t size;       /* bytes of the datagram */
	uint32_t copies;     /* copies made of the datagram */
	ns_t delay;          /* planned delay, or NS_UNKNOWN */
	uint64_t number;     /* sequence number of its first DTLS record */
	uint16_t type;       /* content type of that record, or DTLS_NONE or DTLS_UNIFIED */
	uint32_t device;     /* name of its [device] section, or 0 */
	uint16_t epoch; /* epoch of that record; not next to `type`: reading both at once, just after they
	                   were written, would stall the processor */
	uint32_t hold_name;
	uint32_t hold_count; /* HOLD_REORDER: number of datagrams to wait for */
	uint8_t way, reason, hold;
	uint8_t by_count, mutation_count;
	uint8_t by_left_out;         /* links and rules that did not fit into `by`; at most 255 */
	uint16_t mutations_left_out; /* mutations that did not fit into `mutations` */
	uint32_t by[VERDICT_BY_MAX]; /* the link and rules that decided, in order */
	struct mutation mutations[VERDICT_MUTATIONS_MAX];
};

extern const char *const verdict_ways[WAYS];
extern const char *const verdict_reasons[REASON_COUNT];
extern const char *const verdict_origins[ORIGIN_COUNT];

void verdict_by(struct verdict *verdict, uint32_t name);
/* The same for the link, which makes the delay: it replaces the last entry if `by` is full. */
void verdict_by_link(struct verdict *verdict, uint32_t name);
void verdict_add_mutation(struct verdict *verdict, struct mutation mutation);

#endif
