/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session: the traffic of one device address and port at one entrance (a listener, or one destination at it),
 * with the state of its links and rules.
 *
 * The core opens and ends sessions; proxy/ keeps its sockets in `transport` and reads the accounts. A session
 * that has ended stays in memory until its reference count is 0: queued datagrams, timers and the caller hold
 * references.
 */
#ifndef RULES_SESSION_H
#define RULES_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/account.h"
#include "base/address.h"
#include "base/buckets.h"
#include "base/cache.h"
#include "base/datagram.h"
#include "rules/config.h"
#include "rules/dtls.h"
#include "rules/link.h"
#include "rules/nat.h"

enum session_end { SESSION_LIVE, SESSION_IDLE, SESSION_EVICTED };

/* The handshake messages that went one way: an entry for each transmission. */
struct attempts {
	struct attempt {
		struct dtls_message message;
		uint32_t attempt;
	} * all;
	uint32_t count, cap;
	uint32_t oldest; /* in a full table, the entry to be overwritten next */
};

/* The point from which a rule with `since` counts; allocated when the other rule first fires. */
struct restart {
	ns_t at;
	uint64_t seen;          /* datagrams of the session (or core) until then */
	uint64_t carried[WAYS]; /* bytes until then */
	struct attempts attempts[WAYS];
};

/* A group that `permute` is collecting. */
struct group {
	struct datagram *slots[ACTION_PERMUTE_MAX];
	uint8_t order[ACTION_PERMUTE_MAX];
	uint32_t size, count; /* members when complete, and members so far */
	struct timer *timer;
};

/* The state of a rule, in one session or (scope = all) over all sessions. */
struct rule_state {
	const struct rule *rule;
	uint32_t matched[WAYS]; /* counted by `nth`; RULE_EITHER uses the first only */
	uint32_t fired;         /* counted by `limit` */
	uint32_t fired_ever;    /* since the session began; counted by `expect … each` */
	union {
		struct {                      /* of a rule with a timer */
			uint32_t rounds;      /* since it (re)started, … */
			uint32_t rounds_ever; /* … and in all: the ordinal of its draws */
		};
		struct { /* of a rule with scope = first: what it matched first; 0: nothing yet */
			uint32_t first_session, first_handshake;
		};
	};
	struct restart *restart;
	struct group *groups[WAYS];
	struct timer *timer;
};

/* Datagrams that will leave as one. */
struct pack {
	struct datagram_list parts;
	uint32_t count;
	size_t size, max;
	struct timer *timer;
};

/* The counters of one session and way; 32 bits, like its ordinals. Drops are counted in `extra`. */
struct tally {
	uint64_t bytes;
	uint32_t received, copies, sent, queued, corrupted, reordered;
};

/* The part of a way's state that is allocated only once a rule or the link does more than pass or delay. */
struct way_extra {
	uint32_t dropped[REASON_COUNT];
	ns_t drop_until, hold_until;        /* end of the blackouts of either mode */
	uint32_t drop_by, hold_by;          /* names of the rules or requesters that began them */
	struct datagram_list blackout_held; /* waiting for a blackout's end */
	struct datagram_list asleep;        /* waiting for the device to send */
	struct datagram_list held;          /* waiting for later datagrams to leave */
	struct pack *pack;
	struct attempts attempts;
	struct datagram **recent; /* a ring of the newest, for `replay N` */
	uint32_t recent_next, recent_cap;
};

struct session_way {
	uint32_t n;       /* ordinal of the newest datagram */
	uint32_t sent_n;  /* highest ordinal sent */
	uint64_t carried; /* bytes arrived, as counted by the condition `carried` */
	struct tally tally;
	struct buckets *delays;        /* NULL until the first delayed datagram */
	struct datagram *scheduled;    /* datagrams in the schedule, the newest first */
	const struct way_extra *extra; /* &way_extra_none until it is needed */
};

extern const struct way_extra way_extra_none;
/* Returns `extra` for writing; the way must have its own already. */
static inline struct way_extra *way_extra_writable(struct session_way *way)
{
	return (struct way_extra *)way->extra; /* only way_extra_none is constant */
}
/* Returns the accounts of a way. */
struct account way_account(const struct session_way *way);

/* The fields are in the order in which a datagram needs them, cache line by cache line. Those after
 * `first_link` are rarely used; the caller's `room` follows in the same allocation. */
struct session {
	struct session *hash_next;
	struct address device;
	void *transport;   /* owned by the caller; points to `room` once in use */
	unsigned entrance; /* the caller's index */
	uint32_t refs;

	ns_t last;
	uint64_t newest;         /* packet id of the newest datagram */
	uint64_t seen;           /* datagrams that the rules have seen, both ways */
	const struct link *link; /* the current one */
	struct link_state *links;
	const struct device *section; /* NULL: none */
	struct rule_state *rules;     /* of the rules that apply to it, in file order */
	uint32_t rule_count;
	uint32_t number;
	enum session_end end;
	bool answered;
	bool silent_listed;
	bool unresolved; /* set by the caller while its cloud's address is being looked up */
	bool link_set;   /* `link` was set by an action */

	struct nat nat;
	struct dtls_session dtls;

	uint32_t handshakes, rebinds;
	struct session_way ways[WAYS];
	struct link_state first_link; /* most sessions use only one */

	struct session *older, *newer; /* all live sessions, in order of opening */
	union {
		struct session *silent_older; /* unanswered sessions, in order of their latest datagram */
		ns_t ended;                   /* of a session that has ended */
	};
	struct session *silent_newer;
	struct link_user user;
	uint64_t identity_key;
	struct station *station; /* all sessions of its device; NULL: not needed, or out of memory */
	struct session *station_next;
	struct followed *followed; /* its connection ID, for follow_cid */
	struct timer *timers;      /* all timers of the session */
	struct timer *idle_timer, *blackout_timer, *nat_timer;
	struct datagram **firsts; /* for `replay KIND` */
	unsigned first_count;
	bool identity_used;        /* its draws derive from the section's identity */
	uint16_t destination_port; /* of its entrance; 0: it has no destination */
	uint32_t upstream;         /* name of the server that an action has moved it to; 0: its own */
	/* Set by the caller: */
	bool moving;          /* while the address of the server that it moves to is being looked up */
	uint8_t old_ports;    /* source ports of earlier NAT mappings that are still open */
	uint16_t port;        /* current source port towards the cloud; 0: none */
	struct address cloud; /* FAMILY_NONE: not known yet */

	/* core_limits.transport_size bytes for the caller, initially zero */
	_Alignas(8) uint8_t room[];
};

_Static_assert(
    offsetof(struct session, ways[WAY_DOWN]) % CACHE_LINE == 0, "each way has cache lines of its own");

#endif
