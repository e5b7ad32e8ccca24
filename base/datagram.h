/* SPDX-License-Identifier: BSD-2-Clause */
/* datagram: one UDP payload on its way through the proxy, and lists of them. base/pool allocates them. */
#ifndef BASE_DATAGRAM_H
#define BASE_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"

#define DATAGRAM_MAX                                                                                         \
	65527 /* bytes of payload: the limit of IPv6 without jumbograms; IPv4 allows 20 fewer                \
	       */

struct session;
struct plan;
struct parts;

enum datagram_flags {
	DATAGRAM_LOST_AT_EXIT = 1, /* already dropped, but it still uses its share of the bottleneck */
	DATAGRAM_HELD = 2,         /* waits for later datagrams to leave */
	DATAGRAM_DUE = 4,          /* held, and its due time has passed */
	DATAGRAM_JOINED = 8,       /* several datagrams in one, listed in `parts` */
	DATAGRAM_LATE = 16,      /* was delayed outside the link (by a lookup): its lateness does not count */
	DATAGRAM_SCHEDULED = 32, /* is in the schedule, and in the list `going` of its direction */
	DATAGRAM_DROPPED = 64,   /* dropped while scheduled: it is freed when its time comes */
	DATAGRAM_RELEASED = 128, /* dropped while scheduled, and nothing else refers to it */
	DATAGRAM_CORRUPTED = 512, /* the link flipped a bit after its arrival was recorded */
	DATAGRAM_PLANNED = 256,   /* scheduled to enter the link: `plan` is valid, not `parts` */
};

/* One of the datagrams that a joint datagram carries. */
struct part {
	ns_t arrived;
	uint64_t id;
	uint32_t n;
};

struct parts {
	uint32_t count;
	struct part all[];
};

struct datagram {
	uint64_t order;                 /* must be first: used by the schedule, while scheduled */
	struct datagram *next;          /* in the one list that it is in: held, sleep, backlog … */
	struct datagram *older, *newer; /* while scheduled: in the list `going` of its direction */
	struct session *session;
	union {
		struct plan *plan;   /* what the link decided on arrival; valid while the datagram waits in
		                        front of the link */
		struct parts *parts; /* of a joint datagram, after the link */
	};
	struct timer *timeout; /* ends its hold */
	ns_t arrived;          /* when it, or the datagram that it is a copy of, arrived */
	ns_t due;              /* when it should leave */
	uint64_t id;           /* packet id in the capture, of the arrival with these bytes */
	uint32_t n;            /* ordinal in its session and direction */
	uint32_t size;
	uint32_t after;       /* if due times are equal, the lower id + after leaves first */
	uint16_t copy;        /* 0: the original; K: the Kth copy */
	uint16_t left_own;    /* while held: later datagrams of its direction still to leave */
	uint16_t left_either; /* … of either direction */
	uint16_t flags;
	uint8_t origin, way, tos, size_class;
	uint8_t bytes[];
};

/* A list in order of arrival: first in, first out. */
struct datagram_list {
	struct datagram *first, *last;
};

void datagram_append(struct datagram_list *list, struct datagram *datagram);
struct datagram *datagram_pop(struct datagram_list *list);
/* Removes `datagram` from the list; does nothing if it is not in it. */
void datagram_remove(struct datagram_list *list, struct datagram *datagram);

#endif
