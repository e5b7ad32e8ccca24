/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link: one session's state on one link, and how a datagram crosses it.
 *
 * There are two steps. link_decide decides what does not depend on time: mtu, loss, corruption, duplication,
 * latency, reordering. The chains (Gilbert, AR(1)) have a state for each ordinal, whether or not earlier
 * datagrams reached the link. link_enter then applies what does depend on time: sleep, bottleneck, order. The
 * second step follows the first at once unless a blackout or a permute group holds the datagram between them.
 * If the session is on another link when that blackout ends, link_decide decides anew, on that link.
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

/* A datagram in the queue of a bottleneck. */
struct link_waiting {
	ns_t start; /* when its transmission starts */
	uint32_t size;
};

/* The bottleneck of one way. */
struct link_wire {
	ns_t busy;                 /* until then */
	uint32_t opportunity_left; /* of a trace: bytes left of the current opportunity, … */
	uint32_t opportunity;      /* … its index, … */
	uint64_t cycle;            /* … and how often the trace has repeated */
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
	ns_t last_due;             /* order = keep: no datagram leaves before this */
	struct link_wire *wire;    /* NULL: no bottleneck, or not used yet */
	ns_t awake;                /* the radio wakes up at this time */
};

/* The properties of a session that its links use. */
struct link_user {
	uint64_t key;    /* key of its draws */
	ns_t began;      /* time 0 of traces */
	uint32_t header; /* bytes of IP and UDP: 28 or 48 */
};

/* With `shared = device` or `all`, the chains, the bottleneck, the trace's position and the radio's sleep are
 * those of `shared`; what order = keep needs stays the session's. The ordinals of the shared chains are those
 * of arrival there. */
struct link_state {
	struct link_state *next;   /* of the same session's other links */
	struct link_state *shared; /* NULL: the session has it for itself */
	const struct link *link;
	const struct link_user *user;
	ns_t carried; /* end of the latest transmission, either way */
	struct link_way_state ways[WAYS];
};

/* What was decided about a datagram before it enters the link. */
struct plan {
	struct link_state *link; /* NULL: the link is skipped */
	struct draw draw;
	uint64_t salt;                  /* copies: distinguishes its draws from the original's */
	uint32_t chained_at;            /* copies: the ordinal whose chains apply */
	ns_t lag;                       /* latency and jitter, never below 0 */
	ns_t extra;                     /* delay that rules add after the link */
	ns_t offset;                    /* copies: enters this long after its original */
	uint32_t hold_own, hold_either; /* `do = hold`: later datagrams to wait for */
	uint32_t hold_name;
	bool lost_at_exit, reordered, ahead;
	bool in_blackout;            /* it arrived during a blackout with hold */
	bool undecided;              /* in a pack: the link decides when the pack enters it */
	struct datagram_list copies; /* they enter with it */
	struct parts *parts;         /* if it is a pack: the datagrams in it */
};

/* The result of entering the link. */
struct passage {
	enum { PASSAGE_LEAVES, PASSAGE_DROPPED, PASSAGE_SLEEPS } outcome;
	enum reason reason;
	ns_t due;
	uint32_t hold; /* reorder_by: later datagrams of its way to wait for, … */
	ns_t hold_max; /* … but no longer than this after it is due */
};

enum arrival_kind { LINK_ORIGINAL, LINK_COPY };

/* `user` must stay valid until link_state_fini. */
void link_state_init(struct link_state *state, const struct link *link, const struct link_user *user);
void link_state_fini(struct link_state *state);

/* Returns the ordinal of the latest arrival on a shared link; of another link, `n`. */
uint32_t link_ordinal(const struct link_state *state, enum way way, uint32_t n);

/* Returns the chains at ordinal `n`. They take one step per ordinal, even if its datagram never reached the
 * link. An ordinal below that of an earlier call costs a step for each ordinal from 1 on. */
struct link_chains link_chains_at(struct link_state *state, enum way way, uint32_t n);

/* What a link decided about a datagram: `reason` is why it drops it, or REASON_NONE; `twice` if it duplicates
 * it. If `corrupted`, a bit of its bytes was flipped, as `mutation` describes. */
struct link_decision {
	enum reason reason;
	bool twice, corrupted;
	struct mutation mutation;
};

void link_decide(struct link_state *state, enum arrival_kind kind, struct datagram *datagram,
    struct plan *plan, struct link_decision *decision);
/* Decides what a copy made by the link does not share with its original: latency, reordering, loss at exit.
 */
void link_decide_copy(struct link_state *state, struct datagram *copy, struct plan *plan);

void link_enter(struct link_state *state, enum arrival_kind kind, const struct datagram *datagram,
    const struct plan *plan, ns_t now, struct passage *passage);

/* Fast path for an original on a clean way: does both steps and returns when it is due. */
ns_t link_fast(struct link_state *state, const struct datagram *datagram, ns_t now);

/* Tells a link with `wake_delay = next-up` that the device has sent, so the radio is awake. */
void link_wake(struct link_state *state, ns_t now);

#endif
