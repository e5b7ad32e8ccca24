/* SPDX-License-Identifier: BSD-2-Clause */
/* datagram: one UDP payload on its way through, and lists of them. Its memory comes from base/pool. */
#ifndef BASE_DATAGRAM_H
#define BASE_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"

#define DATAGRAM_MAX 65527 /* bytes of payload: what IPv6 without jumbograms takes; IPv4 takes 20 less */

struct session;
struct plan;
struct parts;

enum datagram_flags {
	DATAGRAM_LOST_AT_EXIT = 1, /* dropped already, but it still takes its share of the bottleneck */
	DATAGRAM_HELD = 2,         /* waits for later ones to leave */
	DATAGRAM_DUE = 4,          /* … and would have left by now */
	DATAGRAM_JOINED = 8,       /* several in one: `parts` says which */
	DATAGRAM_LATE =
	    16, /* waited for what is not the link's doing (a lookup): its lateness does not count */
	DATAGRAM_SCHEDULED = 32,  /* stands in the schedule, and in its way's list `going` */
	DATAGRAM_DROPPED = 64,    /* died there: what is left is to free it when its time comes */
	DATAGRAM_RELEASED = 128,  /* … and nobody else refers to it */
	DATAGRAM_CORRUPTED = 512, /* the link flipped a bit after its arrival was recorded */
	DATAGRAM_PLANNED = 256,   /* scheduled to enter the link: `plan`, not `parts` */
};

/* One of the datagrams that a joint one carries. */
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
	uint64_t order;                 /* first: the schedule's, while it is scheduled */
	struct datagram *next;          /* in the one list that it is in: held, asleep, a backlog … */
	struct datagram *older, *newer; /* while scheduled: in its way's list `going` */
	struct session *session;
	union {
		struct plan *plan; /* what the link decided on arrival, while it waits in front of the link */
		struct parts *parts; /* of a joint datagram, behind the link */
	};
	struct timer *timeout; /* ends its hold */
	ns_t arrived;          /* when it, or the one that it is a copy of, came */
	ns_t due;              /* when it should leave */
	uint64_t id;           /* packet id in the capture: of the arrival whose bytes these are */
	uint32_t n;            /* ordinal in its session and way */
	uint32_t size;
	uint32_t after;       /* of equal due times the lower id + after leaves first */
	uint16_t copy;        /* 0: the one that arrived; K: the Kth copy */
	uint16_t left_own;    /* while held: later ones of its way still to leave, … */
	uint16_t left_either; /* … of either way */
	uint16_t flags;
	uint8_t origin, way, tos, size_class;
	uint8_t bytes[];
};

/* A list in order of arrival: first in, first out. */
struct datagram_list {
	struct datagram *first, *last;
};

void datagram_append(struct datagram_list *list, struct datagram *datagram);
struct datagram *datagram_take(struct datagram_list *list);
/* Takes this one out from wherever it stands; does nothing where it does not. */
void datagram_remove(struct datagram_list *list, struct datagram *datagram);

#endif
