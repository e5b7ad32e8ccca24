/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link: one session's state on one link, and a datagram's way across it.
 *
 * Two steps. link_decide judges what needs no clock: mtu, loss, corruption, duplication, latency, reordering.
 * The chains (Gilbert, AR(1)) have a state for each ordinal, whether or not earlier datagrams reached the
 * link. link_enter then takes the datagram through what does look at the clock: sleep, bottleneck, order. The
 * two follow at once unless a blackout or a permute group holds the datagram between them. If another link is
 * in force when that blackout ends, link_decide judges anew, on that link.
 *
 *   arrival ──(pack)── link_decide ──(blackout, permute)── link_enter ── due
 *
 * Sources: RFC 4737 (reordering), Gilbert 1960 and Elliott 1963 (loss in runs), tc-netem(8), mahimahi's
 * traces.
 */
#ifndef RULES_LINK_H
#define RULES_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chance.h"
#include "base/datagram.h"
#include "base/verdict.h"
#include "rules/config.h"

/* One that waits for the wire. */
struct link_waiting {
	ns_t start; /* when its first bit goes */
	uint32_t size;
};

/* The bottleneck of one way. */
struct link_wire {
	ns_t busy;                 /* it serves until then */
	uint32_t opportunity_left; /* trace: bytes left of the current opportunity, … */
	uint32_t opportunity;      /* … its index, … */
	uint64_t cycle;            /* … and how often the trace has run through */
	bool opportunity_open;
	struct link_waiting *waiting; /* a ring */
	uint32_t waiting_first, waiting_count, waiting_cap;
	uint64_t waiting_bytes;
};

/* The chains of one way at one ordinal. */
struct link_chains {
	uint32_t n;   /* 0: before the first step */
	bool bad;     /* Gilbert */
	double score; /* AR(1) */
};

struct link_way_state {
	struct link_chains chains; /* at the highest ordinal so far */
	ns_t last_due;             /* order = keep: none leaves before */
	struct link_wire *wire;    /* NULL: there is no bottleneck, or nothing came to it yet */
	ns_t awake;                /* asleep until then */
};

/* What a link needs to know of the session that crosses it. */
struct link_user {
	uint64_t key;    /* of its draws */
	ns_t began;      /* time 0 of traces */
	uint32_t header; /* bytes of IP and UDP: 28 or 48 */
};

struct link_state {
	struct link_state *next; /* of the same session */
	const struct link *link;
	const struct link_user *user;
	ns_t carried; /* either way was in use until then */
	struct link_way_state ways[WAYS];
};

/* What was decided for a datagram before it enters. */
struct plan {
	struct link_state *link; /* NULL: the link is skipped */
	struct draw draw;
	uint64_t salt;                  /* a copy's: what tells its draws from those of its original */
	uint32_t chained_at;            /* a copy's: the ordinal whose chains it meets */
	ns_t lag;                       /* latency and jitter, never below 0 */
	ns_t extra;                     /* what rules add behind the link */
	ns_t offset;                    /* a copy enters this long after its original */
	uint32_t hold_own, hold_either; /* a rule's: later datagrams to wait for */
	uint32_t hold_name;
	bool lost_at_exit, reordered, ahead;
	bool in_blackout;            /* it came in a blackout that holds */
	bool undecided;              /* of a pack: the link decides about all parts together */
	struct datagram_list copies; /* that enter with it */
	struct parts *parts;         /* of a joint datagram */
};

/* What came of entering. */
struct passage {
	enum { PASSAGE_LEAVES, PASSAGE_DROPPED, PASSAGE_SLEEPS } outcome;
	enum reason reason;
	ns_t due;
	uint32_t hold; /* later datagrams of its way to wait for (reorder_by), … */
	ns_t hold_max; /* … but no longer than this after it is due */
};

enum arrival_kind { LINK_ORIGINAL, LINK_COPY };

/* `user` is read until link_state_fini. */
void link_state_init(struct link_state *state, const struct link *link, const struct link_user *user);
void link_state_fini(struct link_state *state);

/* Returns the chains at ordinal `n`. They take one step for every ordinal, also for those that never came
 * here. An ordinal lower than an earlier call's costs a step for each ordinal from the first on. */
struct link_chains link_chains_at(struct link_state *state, enum way way, uint32_t n);

/* Decides for a datagram. `reason` says why it is dropped, or is REASON_NONE; `twice` says that the link
 * duplicates it. If the link corrupts it, flips a bit of its bytes and describes it in `deed`. */
struct link_decision {
	enum reason reason;
	bool twice, corrupted;
	struct mutation mutation;
};

void link_decide(struct link_state *state, enum arrival_kind kind, struct datagram *datagram,
    struct plan *plan, struct link_decision *decision);
/* Decides what a link's own copy does not share with its original: its latency and its loss at the exit. */
void link_decide_copy(struct link_state *state, struct datagram *copy, struct plan *plan);

void link_enter(struct link_state *state, enum arrival_kind kind, const struct datagram *datagram,
    const struct plan *plan, ns_t now, struct passage *passage);

/* The same two steps on a way that is clean, for an original; gives when it is due. */
ns_t link_pass(struct link_state *state, const struct datagram *datagram, ns_t now);

/* The device has sent: on a link that sleeps until then, nothing sleeps now. */
void link_wake(struct link_state *state, ns_t now);

#endif
