/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session: all datagrams of one device address and port at one listener, and what the rules remember of them.
 *
 * The core opens, keeps and ends sessions; proxy/ hangs its sockets on `carrier` and reads the accounts. A
 * session that has ended stays in memory until nothing refers to it: its datagrams on the way, its timers,
 * its carrier.
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

/* The handshake messages that went one way: an entry for each time that one was sent. */
struct attempts {
	struct attempt {
		struct dtls_message message;
		uint32_t attempt;
	} * all;
	uint32_t count, cap;
	uint32_t oldest; /* of a table that is full: its place is taken next */
};

/* What a rule with `since` counts from; allocated by its first firing. */
struct restart {
	ns_t at;
	uint64_t seen;          /* the session's (or core's) count of datagrams: later ones count */
	uint64_t carried[WAYS]; /* bytes before */
	struct attempts attempts[WAYS];
};

/* A group that `permute` waits for to be whole. */
struct group {
	struct datagram *slots[ACTION_PERMUTE_MAX];
	uint8_t order[ACTION_PERMUTE_MAX];
	uint32_t size, count; /* members that make it whole, and those that are there */
	struct timer *timer;
};

/* What one rule remembers, of a session or (scope = all) of all. */
struct rule_state {
	const struct rule *rule;
	uint32_t matched[WAYS]; /* what `nth` counts; RULE_EITHER: the first only */
	uint32_t fired;         /* what `limit` counts */
	uint32_t fired_ever;    /* since the session began: what `expect … each` counts */
	uint32_t rounds;        /* how often its timer has run since it began, … */
	uint32_t rounds_ever;   /* … and ever: the ordinal of its draws */
	struct restart *restart;
	struct group *groups[WAYS];
	struct timer *timer;
};

/* The datagrams that will leave as one. */
struct pack {
	struct datagram_list parts;
	uint32_t count;
	size_t size, max;
	struct timer *timer;
};

/* The accounts of one session and way: a count ends at 2^32, as its ordinals do. What was dropped stands in
 * `seldom`. */
struct tally {
	uint64_t bytes;
	uint32_t received, copies, sent, queued, corrupted, reordered;
};

/* What a session's way needs once a rule or the link does more than let pass or delay. */
struct way_extra {
	uint32_t dropped[REASON_COUNT];
	ns_t drop_until, hold_until;        /* blackouts of either mode run until then */
	uint32_t drop_by, hold_by;          /* names of the rules that began them */
	struct datagram_list blackout_held; /* wait for a blackout's end */
	struct datagram_list asleep;        /* wait for the device to send */
	struct datagram_list held;          /* wait for later ones to leave */
	struct pack *pack;
	struct attempts attempts;
	struct datagram **recent; /* ring of the newest, for `replay N` */
	uint32_t recent_next, recent_cap;
};

struct session_way {
	uint32_t n;       /* ordinal of the newest */
	uint32_t sent_n;  /* highest ordinal sent */
	uint64_t carried; /* bytes that rules have seen arrive */
	struct tally tally;
	struct buckets *delays;        /* from the first delayed one on; NULL before */
	struct datagram *scheduled;    /* those that stand in the schedule, the newest first */
	const struct way_extra *extra; /* never NULL: way_extra_none where there is nothing in it */
};

extern const struct way_extra way_extra_none;
/* For changing it, where it is the way's own already. */
static inline struct way_extra *way_extra_own(struct session_way *way)
{
	return (struct way_extra *)way->extra; /* only way_extra_none is constant */
}
struct account way_account(const struct session_way *way);

/* In the order in which a datagram needs it, from one line of the cache to the next; behind `first_link`
 * stands what few datagrams need, and behind that, in the same memory, what the caller keeps of it. */
struct session {
	struct session *hash_next;
	struct address device;
	void *transport;   /* the caller's: `room`, once it uses that */
	unsigned listener; /* index, the caller's */
	uint32_t refs;

	ns_t last;
	uint64_t newest;         /* packet id of the datagram that came last */
	uint64_t seen;           /* datagrams that rules have seen, either way */
	const struct link *link; /* crossed now */
	struct link_state *links;
	const struct device *section; /* NULL: none */
	struct rule_state *rules;     /* those that apply to it, in file order */
	uint32_t rule_count;
	uint32_t number;
	enum session_end end;
	bool answered;
	bool silent_listed;
	bool unresolved; /* set by the caller: its cloud's address is not known yet */
	bool link_set;   /* by an action */

	struct nat nat;
	struct dtls_session dtls;

	uint32_t handshakes, rebinds;
	struct session_way ways[WAYS];
	struct link_state first_link; /* most cross only one */

	struct session *older, *newer;               /* all live ones, by opening */
	struct session *silent_older, *silent_newer; /* those that the cloud never answered, by silence */
	struct link_user user;
	uint64_t identity_key;
	ns_t ended;
	struct followed *followed; /* its connection ID, for follow_cid */
	struct timer *timers;      /* all of them */
	struct timer *idle_timer, *dark_timer, *nat_timer;
	struct datagram **firsts; /* for `replay KIND` */
	unsigned first_count;
	bool identity_used; /* draws derive from the section's identity */
	/* Set by the caller: */
	uint8_t old_ports; /* source ports of earlier NAT mappings that are still open */
	uint16_t port;     /* the present source port towards the cloud; 0: none */

	/* core_limits.transport_size of the caller's bytes, zero at first */
	_Alignas(CACHE_LINE) uint8_t room[];
};

_Static_assert(offsetof(struct session, ways[WAY_DOWN]) % CACHE_LINE == 0, "each way has lines of its own");

#endif
