/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inside: declarations shared by the files of the core:
 *
 *   core.c           memory, outcomes, accounts, time
 *   admission.c      which session a datagram's device gets
 *   session.c        opens and ends sessions; session_table.c finds and lists them
 *   follow.c         follow_cid
 *   judge.c          arrival of a datagram: its rules, its verdict
 *   act.c            actions on the datagram; act_session.c those that need none
 *   count.c          which rules fired, and how often
 *   gather.c         permute groups and packs
 *   path.c           the way before, across and after the link
 *   timer.c          timers and timed rules
 *   live.c           live commands
 *   reload.c         change of configuration
 *
 *   core_arrive ─ judge ─┬─ dropped
 *                        └─ gather (permute, pack) ── path_enter ── blackout hold ── link ── schedule
 *   core_advance ─ path_leave ── holds ── OUTCOME_SEND
 */
#ifndef RULES_INSIDE_H
#define RULES_INSIDE_H

#include "base/list.h"
#include "base/pool.h"
#include "base/slots.h"
#include "base/text.h"
#include "rules/core.h"
#include "rules/station.h"
#include "rules/reserve.h"
#include "rules/rule.h"
#include "rules/schedule.h"

enum timer_kind {
	TIMER_IDLE,     /* a session may have become idle */
	TIMER_BLACKOUT, /* a blackout ends */
	TIMER_NAT,      /* a mapping may have been forgotten */
	TIMER_RULE,     /* subject: struct rule_state */
	TIMER_HELD,     /* subject: struct datagram, whose hold has timed out */
	TIMER_GROUP,    /* subject: struct group */
	TIMER_PACK      /* subject: struct session_way */
};

/* A timer lives until it fires or is cancelled. `slot` is its owner's pointer to it, which is then set to
 * NULL. */
struct timer {
	struct schedule_place place;
	enum timer_kind kind;
	struct session *session; /* NULL: it belongs to the core */
	void *subject;
	struct timer **slot;
	struct timer *before, *after; /* in the session's list */
};

/* An action of a rule with scope = all, or of a live command, that also applies to sessions opened later. */
struct standing_action {
	const struct rule *rule; /* NULL: a live command, … */
	unsigned device;         /* … for sessions of this section (index + 1; 0: for all) */
	size_t index;            /* of the action in its rule */
	struct action action;
	uint32_t by; /* name of the requester */
	ns_t until;  /* blackout: its end */
};

struct core {
	const struct config *config;
	const struct names *names;
	struct core_limits limits;
	ns_t now, began;
	ns_t asked;         /* argument of the latest core_advance */
	unsigned rule_runs; /* timed rules run since then */
	struct reserve reserve;
	bool out_of_memory; /* something was refused or skipped because an allocation failed */
	struct pool *pool;
	struct schedule *schedule;
	struct shared *shared;
	bool shared_own;
	uint64_t arrivals, queued_bytes, seen_all;
	uint64_t queued;      /* datagrams of live sessions */
	uint64_t byte_budget; /* bytes, this core's part of max_queued */
	bool last_arrived;

	struct slots *memory; /* of sessions, each with the caller's `room` */
	struct session **hash;
	size_t hash_size;
	struct opener {
		uint64_t key;
		ns_t second;
		uint32_t count;
	} openers[64]; /* first datagrams of recent sessions, by a few bits of the key */
	struct session *oldest, *newest;
	struct core_cursor *cursors; /* active ones */
	struct session *silent_oldest, *silent_newest;
	size_t session_count;

	struct stations stations;
	struct rule_state *shared_rules; /* by the rule's index; used for rules with scope = all only */
	struct rule_totals *totals;
	struct link_totals *links; /* by the link's index */
	struct standing_action *standing;
	size_t standing_count, standing_cap;
	struct each_failure *each;
	size_t each_count, each_cap, each_left_out;

	struct outcome *outcomes;
	size_t outcome_first, outcome_count, outcome_cap;
	struct session *ended; /* by `older`: sessions whose end did not fit among the outcomes */
	char *told;            /* the text of the latest outcome handed out */

	uint64_t lives;        /* live commands so far: the ordinal of their draws */
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
/* Returns zeroed memory from malloc or the reserve, or NULL if both are out. */
void *core_alloc(struct core *core, size_t size);
/* Returns whether the reserve suffices to accept one datagram or to open a session; if not, refuse it. */
bool core_is_prepared(struct core *core);
/* Appends an outcome for the caller to fill in; returns NULL if out of memory. */
struct outcome *core_outcome(struct core *core);
/* Build an event whose text is assembled piece by piece. */
struct text core_event_begin(const struct session *session);
void core_event_end(struct core *core, struct session *session, ns_t at, struct text text);
struct datagram *core_datagram(struct core *core, struct session *session, enum way way, size_t size);
void core_datagram_free(struct core *core, struct datagram *datagram);
/* Drops a datagram whose arrival has already been recorded: counts it and adds OUTCOME_UNSENT. */
void core_unsent(struct core *core, struct datagram *datagram, enum reason reason, ns_t at);
/* Returns whether `bytes` more may be queued. */
bool core_may_queue(struct core *core, uint64_t bytes);
/* Returns the core's unused part of max_queued, as needed after a change of the limit. */
void core_release_budget(struct core *core);
/* Counts a datagram as queued. */
void core_count_queued(struct core *core, struct datagram *datagram);
/* Takes `count` datagrams off the queued counts. */
static inline void core_unqueue(struct core *core, struct session_way *way, uint32_t count)
{
	way->tally.queued -= count;
	core->queued -= count;
}
/* Returns the session's state on `link`, creating it if needed; if out of memory, its state on its first
 * link. */
struct link_state *core_link_state(struct core *core, struct session *session, const struct link *link);
/* Returns the way's own way_extra for writing, allocating it if needed; NULL if out of memory. */
struct way_extra *core_way_extra(struct core *core, struct session_way *way);
/* Counts `count` datagrams as dropped; the caller takes them off their previous count. */
void core_dropped(struct core *core, struct session_way *way, enum reason reason, uint32_t count);

/* follow.c */
/* Learns connection IDs and record numbers from a datagram of the session's device. */
void follow_see(struct core *core, struct session *session, const struct arrival *arrival);
void follow_forget(struct core *core, struct session *session);
void follow_free(struct core *core);

/* session_table.c */
void session_table_add(struct core *core, struct session *session);
void session_table_remove(struct core *core, struct session *session);
/* Changes the session's device address to one that no session has. */
void session_move(struct core *core, struct session *session, const struct address *device);

/* session.c */
/* Returns NULL if out of memory. The caller has reserved room among max_sessions (shared_enter). */
struct session *session_open(struct core *core, unsigned entrance, const struct entrance *where,
    const struct address *device, ns_t now);
/* Returns fresh states for the rules of `config` that apply to a session of this section and number, in file
 * order; NULL if out of memory or if there are none (then *count is 0). After them come the pointers to the
 * rules, so that a rule's gate can be looked at without its state. */
struct rule_state *session_rules_new(
    const struct config *config, const struct device *section, uint32_t number, uint32_t *count);
static inline const struct rule *const *session_rules(const struct session *session)
{
	return (const struct rule *const *)(const void *)(session->rules + session->rule_count);
}
void session_rules_free(struct core *core, struct rule_state *rules, size_t count);
/* Frees what one state owns. */
void session_rule_clear(struct core *core, struct rule_state *state);
/* Frees the datagrams kept for `replay N`. */
void session_recent_forget(struct core *core, struct session_way *way);
/* Records the rules whose `expect … each` does not hold for this session. */
void session_each_check(struct core *core, const struct session *session);
void core_session_end(struct core *core, struct session *session, enum session_end end, ns_t now);

/* act_session.c */
/* Whether an action is for one session, or for all of a device. */
enum reach { REACH_SESSION, REACH_DEVICE };
/* Carries out an action that needs no datagram, for one session. `by` is the requester's name. */
void act_on_session(struct core *core, struct session *session, const struct action *action, uint32_t by,
    ns_t now, size_t index, struct draw draw, enum reach reach);
/* The same for all sessions of a device, and those that it opens later. */
void act_on_station(struct core *core, struct station *station, const struct action *action, uint32_t by,
    ns_t now, size_t index, struct draw draw);
/* Carries out `filter` for every session that it concerns, and remembers it for later ones. Returns the
 * number of current sessions concerned. */
size_t act_on_all(struct core *core, const struct standing_action *filter, struct draw draw, ns_t now);
bool standing_action_concerns(
    const struct core *core, const struct standing_action *standing, const struct session *session);
struct standing_action standing_action_of(const struct rule *rule, size_t index);

/* count.c */
struct rule_state *count_state_shared(struct core *core, struct session *session, struct rule_state *own);
/* Returns the state that holds a rule's counts: the session's own, its station's (scope = device), or the
 * shared one (scope = all). */
static inline struct rule_state *count_state(
    struct core *core, struct session *session, struct rule_state *own)
{
	bool is_shared = own->rule->scope == SCOPE_ALL || own->rule->scope == SCOPE_DEVICE;

	return is_shared ? count_state_shared(core, session, own) : own;
}
/* Counts a firing: of one session, of a station if `session` is NULL, or of all if both are. */
void count_fired(
    struct core *core, struct session *session, struct station *station, struct rule_state *state, ns_t now);
/* Counts a firing by a live command, for a session or, if NULL, for all. */
void count_fired_outside(struct core *core, struct session *session, const struct rule *rule, ns_t now);

/* act.c */
/* A datagram that is being judged. */
struct judgement {
	struct core *core;
	struct session *session;
	const struct match_input *input;
	struct datagram *datagram;
	struct plan *plan;
	struct verdict *verdict;
	uint32_t decider;          /* name of the rule or link that dropped it; 0: none */
	struct rule_state *group;  /* rule whose permute group it joined */
	const struct action *pack; /* action that asks to pack it */
	bool bypass;
};

static inline struct session_way *judgement_way(const struct judgement *j)
{
	return &j->session->ways[j->input->way];
}

void judgement_drop(struct judgement *j, enum reason reason, uint32_t decider);
/* Makes a copy of the datagram in its present state; returns NULL if out of memory. */
struct datagram *act_copy(struct judgement *j, enum origin origin, uint64_t salt);
/* Carries out one action of a rule; returns false if the action had no effect. */
bool act_apply(struct judgement *j, struct rule_state *own, size_t index, struct draw draw);

/* timer.c: sets the timer that reports the end of the NAT mapping. */
void timer_nat_arm(struct core *core, struct session *session);
/* timer.c: makes or refreshes the session's NAT mapping for a datagram that leaves at `now`. */
void timer_nat_out(struct core *core, struct session *session, ns_t now);

/* path.c */
#define HOLD_MAX NS_S /* upper limit of a rule's hold and of permute */
enum path_state { PATH_OPEN, PATH_HOLDS, PATH_DROPS };
/* Puts a datagram into the schedule and its way's list; returns -1 if out of memory. */
int path_schedule(struct core *core, struct datagram *datagram, enum schedule_kind kind, ns_t due);
/* Takes a datagram that came due out of its way's list. Returns false if it was dropped in the meantime; then
 * it must not be used any more. */
bool path_unschedule(struct core *core, struct datagram *datagram);
enum path_state path_state(const struct session_way *way, ns_t now);
/* Moves a datagram into the link, or into the blackout that holds it. */
void path_enter(struct core *core, struct datagram *datagram, ns_t now, struct verdict *verdict);
/* Fast path of path_enter: across a clean link, with nothing that holds it and no other datagrams waiting. */
void path_fast(
    struct core *core, struct datagram *datagram, struct link_state *link, ns_t now, struct verdict *verdict);
/* Moves the copies of a datagram into the link: those that go ahead of it, or those that follow. */
void path_enter_copies(struct core *core, struct datagram_list *copies, bool ahead, ns_t now);
/* Moves all copies of a datagram that was dropped before the link. */
void path_enter_copies_of_dropped(struct core *core, struct plan *plan, ns_t now);
/* Drops a datagram at the link. On arrival the verdict reports it; later (`verdict` is NULL) an
 * OUTCOME_UNSENT does. */
void path_drop(struct core *core, struct datagram *datagram, struct plan *plan, enum reason reason, ns_t now,
    struct verdict *verdict);
void path_leave(struct core *core, struct datagram *datagram, ns_t now);
void path_blackout_end(struct core *core, struct session *session, ns_t now);
void path_wake(struct core *core, struct session *session, ns_t now);
void path_held_expired(struct core *core, struct datagram *datagram, ns_t now);
/* Moves the datagram's plan from the stack to the heap; returns NULL if out of memory. */
struct plan *path_plan_to_heap(struct core *core, struct datagram *datagram);
void path_mark_lost_at_exit(struct core *core, struct datagram *datagram, struct verdict *verdict);
/* Drops everything that an ended session still has queued, before and after the link. */
void path_drop_all(struct core *core, struct session *session, enum reason reason, ns_t now);

/* gather.c */
/* Returns false if out of memory; the datagram then goes on by itself. */
bool gather_group_join(struct core *core, struct rule_state *state, const struct action *action,
    struct datagram *datagram, ns_t now);
void gather_group_leave(struct rule_state *state, struct datagram *datagram);
void gather_group_send(struct core *core, struct group *group, ns_t now);
/* Returns whether a datagram may join the pack. Datagrams that a blackout holds and others cannot leave
 * together. */
bool gather_pack_takes(const struct pack *pack, size_t size, bool in_blackout);
/* Returns -1, leaving the datagram as it was, if out of memory. */
int gather_pack_join(struct core *core, struct datagram *datagram, ns_t wait, size_t max, ns_t now);
void gather_pack_send(struct core *core, struct session_way *way, ns_t now);

/* timer.c */
/* Creates a timer and stores it in *slot, which must be NULL and stays NULL if out of memory (the timer then
 * never fires). Among equal due times it is ordered like the session's newest datagram, so that other
 * sessions do not affect the order. */
void timer_set(struct core *core, struct timer **slot, enum timer_kind kind, struct session *session,
    void *subject, ns_t due);
void timer_cancel(struct core *core, struct timer **slot);
/* Cancels all timers of a session that ends. */
void timer_cancel_all(struct core *core, struct session *session);
void timer_idle_set(struct core *core, struct session *session);
/* Sets the timer for the next end of a blackout of the session. */
void timer_blackout_set(struct core *core, struct session *session, ns_t now);
void timer_run(struct core *core, struct timer *timer, ns_t now);
/* Sets a timed rule's next round, counted from `from`; rounds that were due before `now` are skipped. */
void timer_rule_arm(
    struct core *core, struct session *session, struct rule_state *state, ns_t from, ns_t now);

#endif
