/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inside: what the files of the core share: core.c (sessions, outcomes, accounts), judge.c (a datagram
 * arrives: rules and actions), path.c (in front of the link, across it, behind it), gather.c (what waits for
 * one another in front of it), timer.c (what a time brings).
 *
 *   core_arrive ─ judge ─┬─ dropped
 *                        └─ gather (permute, pack) ── path_enter ── blackout hold ── link ── schedule
 *   core_advance ─ path_leave ── holds ── OUTCOME_SEND
 */
#ifndef RULES_INSIDE_H
#define RULES_INSIDE_H

#include "base/pool.h"
#include "base/slots.h"
#include "base/text.h"
#include "rules/core.h"
#include "rules/reserve.h"
#include "rules/rule.h"
#include "rules/schedule.h"

enum timer_kind {
	TIMER_IDLE,     /* of a session */
	TIMER_BLACKOUT, /* a blackout ends */
	TIMER_NAT,      /* a mapping may have been forgotten */
	TIMER_RULE,     /* subject: struct rule_state */
	TIMER_HELD,     /* subject: struct datagram, which waited long enough */
	TIMER_GROUP,    /* subject: struct group */
	TIMER_PACK      /* subject: struct session_way */
};

/* Lives until its time comes or it is cancelled; `slot` is where its owner keeps the pointer, NULL from then
 * on. */
struct timer {
	struct schedule_place place;
	enum timer_kind kind;
	struct session *session; /* NULL: of the core */
	void *subject;
	struct timer **slot;
	struct timer *before, *after; /* of the same session */
};

/* What a firing with scope = all still does to sessions that open later. */
struct standing_action {
	const struct rule *rule; /* NULL: asked for from outside, … */
	unsigned device;         /* … for sessions of this section (index + 1), or 0: for all */
	size_t index;            /* of the action in its rule */
	struct action action;
	uint32_t by; /* name of who asks */
	ns_t until;  /* blackout */
};

struct core {
	const struct config *config;
	const struct names *names;
	struct core_limits limits;
	ns_t now, began;
	ns_t asked;         /* for what time core_advance was called last */
	unsigned rule_runs; /* of timed rules, since then */
	struct reserve reserve;
	enum reason refusal; /* of the session that core_session did not open last */
	bool out_of_memory;  /* something was refused, or could not be done, for want of memory */
	struct pool *pool;
	struct schedule *schedule;
	struct shared *shared;
	bool shared_own;
	uint64_t arrivals, queued_bytes, seen_all;
	uint64_t queued;   /* datagrams of live sessions that wait */
	uint64_t may_hold; /* bytes, taken from what all cores may hold together */
	bool last_arrived;

	struct slots *memory; /* of sessions, each with its carrier's room */
	struct session **hash;
	size_t hash_size;
	struct opener {
		uint64_t key;
		ns_t second;
		uint32_t count;
	} openers[64]; /* what sessions begin with, by a few bits of the key */
	struct session *oldest, *newest;
	struct core_cursor *cursors; /* of walks that go on */
	struct session *silent_oldest, *silent_newest;
	size_t session_count;

	struct rule_state *shared_rules; /* of rules with scope = all, by the rule's index; others unused */
	struct rule_totals *totals;
	struct link_totals *links; /* by the link's index */
	struct standing_action *standing;
	size_t standing_count, standing_cap;
	struct each_failure *each;
	size_t each_count, each_cap, each_left_out;

	struct outcome *outcomes;
	size_t outcome_first, outcome_count, outcome_cap;
	struct session *ended; /* by `older`: those whose end found no room among the outcomes */
	char *told;            /* the text of the outcome handed out last */

	uint64_t lives;        /* how often something was asked for from outside: the ordinal of its draws */
	struct follow *follow; /* connection IDs; NULL: none yet */
	struct account refused[WAYS];
	struct buckets *lateness;
};

static inline struct session_way *way_of(const struct datagram *datagram)
{
	return &datagram->session->ways[datagram->way];
}

static inline ns_t later(ns_t a, ns_t b)
{
	return a > b ? a : b;
}

/* core.c */
/* Zeroed memory for what a datagram needs on its way, from malloc or the reserve; NULL when both are out. */
void *core_get(struct core *core, size_t size);
/* There is enough in reserve to take one datagram in, or to open a session; else it must be refused. */
bool core_is_prepared(struct core *core);
/* The next of them, to be filled in; NULL when memory is out. */
struct outcome *core_outcome(struct core *core);
/* An event whose text is put together from words. */
struct text core_event_begin(const struct session *session);
void core_event_end(struct core *core, struct session *session, ns_t at, struct text text);
struct datagram *core_datagram(struct core *core, struct session *session, enum way way, size_t size);
void core_datagram_free(struct core *core, struct datagram *datagram);
/* It dies after its arrival was recorded: counted, and told as unsent. */
void core_unsent(struct core *core, struct datagram *datagram, enum reason reason, ns_t at);
/* May so many bytes more be held? */
bool core_holds(struct core *core, uint64_t bytes);
/* Gives back what it may hold and does not: another limit holds from here on. */
void core_bytes_return(struct core *core);
/* Accounts of one that waits for later from here on. */
void core_count_queued(struct core *core, struct datagram *datagram);
/* So many of a way do not wait any more. */
static inline void core_unqueue(struct core *core, struct session_way *way, uint32_t count)
{
	way->tally.queued -= count;
	core->queued -= count;
}
struct link_state *core_link_state(struct core *core, struct session *session, const struct link *link);
/* For changing what is seldom needed: the way's own from here on; NULL when memory is out. */
struct way_extra *core_way_extra(struct core *core, struct session_way *way);
/* So many are dropped: the caller takes them from what they were counted as before. */
void core_dropped(struct core *core, struct session_way *way, enum reason reason, uint32_t count);

/* follow.c */
/* A record with a connection ID came from the session's device. */
void follow_see(struct core *core, struct session *session, const struct arrival *arrival);
void follow_forget(struct core *core, struct session *session);
void follow_free(struct core *core);

/* session.c */
struct session *session_find(const struct core *core, unsigned listener, const struct address *device);
/* It goes on from another address, which no session has. */
void session_move(struct core *core, struct session *session, const struct address *device);
/* The states of the rules of `config` that concern a session of this section and number, in file order, with
 * nothing counted yet; NULL when memory is out, or where there are none (`*count` is 0). */
struct rule_state *session_rules_new(
    const struct config *config, const struct device *section, uint32_t number, uint32_t *count);
void session_rules_free(struct core *core, struct rule_state *rules, size_t count);
/* What one of them owns. */
void session_rule_clear(struct core *core, struct rule_state *state);
/* Forgets what `replay N` could reach. */
void session_recent_forget(struct core *core, struct session_way *way);
/* Remembers where `expect … each` does not hold. */
void session_each_check(struct core *core, const struct session *session);
void core_session_end(struct core *core, struct session *session, enum session_end end, ns_t now);

/* act.c */
/* Carries out those actions that need no datagram, for one session. `rule` names who asks. */
void judge_act(struct core *core, struct session *session, const struct action *action, uint32_t by, ns_t now,
    size_t index, struct draw draw);
void judge_fired(struct core *core, struct session *session, struct rule_state *state, ns_t now);
/* A rule was made to fire from outside, for a session or (NULL) for all. */
void judge_fired_outside(struct core *core, struct session *session, const struct rule *rule, ns_t now);
void judge_remember(struct core *core, struct standing_action standing);
/* For every session that it concerns, those to come included; gives how many there are now. */
size_t judge_everywhere(struct core *core, const struct standing_action *filter, struct draw draw, ns_t now);
bool standing_action_concerns(
    const struct core *core, const struct standing_action *standing, const struct session *session);
struct standing_action standing_action_of(const struct rule *rule, size_t index);
/* The state that counts for a rule: the session's own, or with scope = all the one of all. */
struct rule_state *act_state(struct core *core, struct rule_state *own);

/* One datagram while it is judged. */
struct judgement {
	struct core *core;
	struct session *session;
	const struct match_input *input;
	struct datagram *datagram; /* NULL where a blackout took it before the rules */
	struct plan *plan;
	struct verdict *verdict;
	uint32_t decider;          /* name of the rule that dropped it */
	struct rule_state *group;  /* whose group it joined */
	const struct action *pack; /* that wants it packed */
	bool bypass;
};

static inline struct session_way *judgement_way(const struct judgement *j)
{
	return &j->session->ways[j->input->way];
}

void judgement_drop(struct judgement *j, enum reason reason, uint32_t decider);
/* A copy of the datagram as it is now; NULL where memory is out. */
struct datagram *act_copy(struct judgement *j, enum origin origin, uint64_t salt);
/* Carries out one action of a rule; false where it leaves the datagram alone. */
bool act_apply(struct judgement *j, struct rule_state *own, size_t index, struct draw draw);

/* timer.c, too: sees to it that the end of the NAT mapping is told */
void timer_nat_arm(struct core *core, struct session *session);
/* A datagram makes or refreshes the session's mapping at `now`. */
void timer_nat_out(struct core *core, struct session *session, ns_t now);

/* path.c */
#define HOLD_MAX NS_S /* a rule's hold, permute: no longer than this */
enum path_state { PATH_OPEN, PATH_HOLDS, PATH_DROPS };
/* Puts it into the schedule and among those that are going; -1 when memory is out. */
int path_schedule(struct core *core, struct datagram *datagram, enum schedule_kind kind, ns_t due);
/* Its time has come: false where it had died meanwhile (then it must not be touched any more). */
bool path_unschedule(struct core *core, struct datagram *datagram);
enum path_state path_state(const struct session_way *way, ns_t now);
void path_enter(struct core *core, struct datagram *datagram, ns_t now, struct verdict *verdict);
/* The same across a clean link, where nothing holds it and nothing waits. */
void path_pass(
    struct core *core, struct datagram *datagram, struct link_state *link, ns_t now, struct verdict *verdict);
/* Copies that go with a datagram: those ahead of it, or those behind. */
void path_enter_copies(struct core *core, struct datagram_list *copies, bool ahead, ns_t now);
/* All copies of a datagram that died in front of the link. */
void path_enter_copies_of_dropped(struct core *core, struct plan *plan, ns_t now);
/* It dies at the link: at the instant of its arrival the verdict says so, later (`verdict` is NULL) a record
 * of its own. */
void path_drop(struct core *core, struct datagram *datagram, struct plan *plan, enum reason reason, ns_t now,
    struct verdict *verdict);
void path_leave(struct core *core, struct datagram *datagram, ns_t now);
void path_blackout_end(struct core *core, struct session *session, ns_t now);
void path_wake(struct core *core, struct session *session, ns_t now);
void path_held_expired(struct core *core, struct datagram *datagram, ns_t now);
/* NULL when memory is out. */
struct plan *path_plan_keep(struct core *core, struct datagram *datagram);
void path_mark_lost_at_exit(struct core *core, struct datagram *datagram, struct verdict *verdict);
/* Everything that this session still holds in front of the link dies. */
void path_drop_all(struct core *core, struct session *session, enum reason reason, ns_t now);

/* gather.c */
/* False when memory is out: it goes its own way. */
bool gather_group_join(struct core *core, struct rule_state *state, const struct action *action,
    struct datagram *datagram, ns_t now);
void gather_group_leave(struct rule_state *state, struct datagram *datagram);
void gather_group_send(struct core *core, struct group *group, ns_t now);
/* May a datagram join it? What a blackout holds and what it does not hold cannot leave together. */
bool gather_pack_takes(const struct pack *pack, size_t size, bool in_blackout);
/* -1 when memory is out: then it is as it was. */
int gather_pack_join(struct core *core, struct datagram *datagram, ns_t wait, size_t max, ns_t now);
void gather_pack_send(struct core *core, struct session_way *way, ns_t now);

/* timer.c */
/* Its place among equals is that of the session's newest datagram: other sessions do not change it.
 * Sets `*slot`, which must be NULL. Where memory is out it stays so: what was to come at that time does not
 * come. */
void timer_set(struct core *core, struct timer **slot, enum timer_kind kind, struct session *session,
    void *subject, ns_t due);
void timer_cancel(struct core *core, struct timer **slot);
/* All of a session that ends. */
void timer_cancel_all(struct core *core, struct session *session);
void timer_idle_set(struct core *core, struct session *session);
/* The next end of a blackout of the session. */
void timer_blackout_set(struct core *core, struct session *session, ns_t now);
void timer_run(struct core *core, struct timer *timer, ns_t now);
/* Sets a timed rule's next time, counted from `from`; what would have been before `now` is missed. */
void timer_rule_arm(
    struct core *core, struct session *session, struct rule_state *state, ns_t from, ns_t now);

#endif
