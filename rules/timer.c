/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer: sets, cancels and runs the timers of sessions and of the core: idle sessions, ends of blackouts, NAT
 * expiry, and timed rules (`at` and `every`). Expired holds, groups and packs are passed to path.c and
 * gather.c.
 */
#include <assert.h>
#include <stdlib.h>

#include "rules/inside.h"

void timer_set(struct core *core, struct timer **slot, enum timer_kind kind, struct session *session,
    void *subject, ns_t due)
{
	struct timer *timer = core_alloc(core, sizeof(*timer));

	assert(!*slot);
	if (!timer)
		return;
	*timer = (struct timer){.kind = kind, .session = session, .subject = subject, .slot = slot};
	if (schedule_put(
	        core->schedule, due, session ? session->newest : core->arrivals, SCHEDULE_TIMER, timer)) {
		core->out_of_memory = true;
		free(timer);
		return;
	}
	*slot = timer;
	if (!session)
		return;
	core_session_hold(session);
	list_push(session->timers, timer, before, after);
}

/* Unlinks a timer from its owner and its session; free_timer must follow. */
static void detach_timer(struct timer *timer)
{
	*timer->slot = NULL;
	if (!timer->session)
		return;
	list_unlink(timer->session->timers, timer, before, after);
}

/* Frees a detached timer and drops its reference to the session. */
static void free_timer(struct core *core, struct timer *timer)
{
	struct session *session = timer->session;

	free(timer);
	if (session)
		core_session_release(core, session);
}

void timer_cancel(struct core *core, struct timer **slot)
{
	struct timer *timer = *slot;

	if (!timer)
		return;
	schedule_remove(core->schedule, &timer->place);
	detach_timer(timer);
	free_timer(core, timer);
}

void timer_cancel_all(struct core *core, struct session *session)
{
	while (session->timers)
		timer_cancel(core, session->timers->slot);
}

/* ---- Idle sessions ---- */

static bool has_queued(const struct session *session)
{
	return session->ways[WAY_UP].tally.queued || session->ways[WAY_DOWN].tally.queued;
}

void timer_idle_set(struct core *core, struct session *session)
{
	ns_t from = has_queued(session) && core->now > session->last ? core->now : session->last;

	timer_cancel(core, &session->idle_timer);
	timer_set(core, &session->idle_timer, TIMER_IDLE, session, session,
	    ns_add(from, core->limits.idle_timeout));
}

static void idle_run(struct core *core, struct session *session, ns_t now)
{
	if (core->last_arrived)
		return;
	if (!has_queued(session) && ns_add(session->last, core->limits.idle_timeout) <= now)
		core_session_end(core, session, SESSION_IDLE, now);
	else
		timer_idle_set(core, session);
}

/* ---- Blackouts ---- */

void timer_blackout_set(struct core *core, struct session *session, ns_t now)
{
	ns_t next = NS_NEVER;

	for (int w = 0; w < WAYS; w++) {
		const struct way_extra *way = session->ways[w].extra;

		if (way->drop_until > now && way->drop_until < next)
			next = way->drop_until;
		if (way->hold_until > now && way->hold_until < next)
			next = way->hold_until;
	}
	timer_cancel(core, &session->blackout_timer);
	if (next != NS_NEVER)
		timer_set(core, &session->blackout_timer, TIMER_BLACKOUT, session, session, next);
}

static void blackout_run(struct core *core, struct session *session, ns_t now)
{
	timer_blackout_set(core, session, now);
	path_blackout_end(core, session, now);
}

/* ---- NAT mappings ---- */

/* If the mapping was refreshed, the timer is left to fire and then set anew; it is replaced at once only if
 * the mapping ends earlier. */
void timer_nat_arm(struct core *core, struct session *session)
{
	ns_t expiry = nat_expiry(&session->nat, session->section);

	if (expiry == NS_NEVER || core->last_arrived || (session->nat_timer && session->nat.told <= expiry))
		return;
	timer_cancel(core, &session->nat_timer);
	session->nat.told = expiry;
	timer_set(core, &session->nat_timer, TIMER_NAT, session, session, expiry);
}

void timer_nat_out(struct core *core, struct session *session, ns_t now)
{
	if (nat_out(&session->nat, session->section, now))
		session->rebinds++;
	timer_nat_arm(core, session);
}

static void nat_run(struct core *core, struct session *session, ns_t now)
{
	if (nat_expiry(&session->nat, session->section) > now) {
		timer_nat_arm(core, session);
		return;
	}
	session->nat.lost = true;
	core_event(core, session, now, "nat-expired");
}

/* ---- Timed rules ---- */

static struct draw round_draw(
    const struct core *core, const struct session *session, const struct rule_state *state)
{
	uint64_t key = session ? session->user.key
	               : state->rule->scope == SCOPE_DEVICE
	                   ? station_of_state((struct rule_state *)state)->user.key
	                   : chance_mix(core->limits.seed);

	return chance_draw(key, WAYS, state->rounds_ever, state->rule->draw_key);
}

/* Missed rounds are skipped, not made up for. After so many in a row the rest are skipped without drawing. */
#define ROUNDS_MISSED_MAX 100000

/* Returns when the next round is due, counted from `from`; NS_NEVER if there is none. Draw 0 of a round is
 * its time. */
static ns_t round_due(
    const struct core *core, const struct session *session, const struct rule_state *state, ns_t from)
{
	const struct rule *rule = state->rule;
	const struct time_range *wait = state->rounds == 0 && rule->at_given ? &rule->at : &rule->every;

	if (state->rounds > 0 && !rule->every_given)
		return NS_NEVER;
	return ns_add(from, chance_time(round_draw(core, session, state), 0, wait));
}

void timer_rule_arm(struct core *core, struct session *session, struct rule_state *state, ns_t from, ns_t now)
{
	ns_t due;

	timer_cancel(core, &state->timer);
	if (!state->rule->timed || core->last_arrived || state->fired >= state->rule->limit)
		return;
	due = round_due(core, session, state, from);
	for (int missed = 0; due < now; missed++) {
		state->rounds++;
		state->rounds_ever++;
		due = round_due(core, session, state, missed < ROUNDS_MISSED_MAX ? due : now);
	}
	if (due != NS_NEVER)
		timer_set(core, &state->timer, TIMER_RULE, session, state, due);
}

static void act_everywhere(struct core *core, const struct rule_state *state, struct draw draw, ns_t now)
{
	const struct rule *rule = state->rule;

	for (size_t i = 0; i < rule->actions.count; i++) {
		struct standing_action filter = standing_action_of(rule, i);

		if (filter.action.act == ACT_NOTE)
			core_event(core, NULL, now, "note by=%s", names_get(core->names, rule->id));
		else
			act_on_all(core, &filter, draw, now);
	}
}

/* Returns the earliest due time of the next round. In real time it is at most CATCH_UP_MAX in the past, so
 * that a rule that is far behind skips rounds. */
#define CATCH_UP_MAX (100 * NS_MS)
static ns_t earliest_round(const struct core *core, ns_t now)
{
	ns_t min = core->asked - CATCH_UP_MAX;

	return core->limits.real_time && min > now ? min : now;
}

static void rule_run(struct core *core, struct session *session, struct rule_state *state, ns_t now)
{
	const struct rule *rule = state->rule;
	struct station *station = !session && rule->scope == SCOPE_DEVICE ? station_of_state(state) : NULL;
	struct draw draw;

	if (core->last_arrived)
		return;
	draw = round_draw(core, session, state);
	state->rounds++;
	state->rounds_ever++;
	if (rule->disabled)
		return timer_rule_arm(core, session, state, now, earliest_round(core, now));
	core->totals[rule->index].matched++;
	if (session) {
		for (size_t i = 0; i < rule->actions.count; i++)
			act_on_session(
			    core, session, &rule->actions.all[i], rule->id, now, i, draw, REACH_SESSION);
	} else if (station) {
		for (size_t i = 0; i < rule->actions.count; i++)
			act_on_station(core, station, &rule->actions.all[i], rule->id, now, i, draw);
	} else {
		act_everywhere(core, state, draw, now);
	}
	count_fired(core, session, station, state, now);
	core->rule_runs += core->limits.real_time;
	/* If its firing restarted the rule itself (by way of `since`), count_fired has already set the
	 * timer.
	 */
	if (!state->timer)
		timer_rule_arm(core, session, state, now, earliest_round(core, now));
}

void timer_run(struct core *core, struct timer *timer, ns_t now)
{
	struct session *session = timer->session;
	void *subject = timer->subject;

	detach_timer(timer);
	switch (timer->kind) {
	case TIMER_IDLE: idle_run(core, session, now); break;
	case TIMER_NAT: nat_run(core, session, now); break;
	case TIMER_BLACKOUT: blackout_run(core, session, now); break;
	case TIMER_RULE: rule_run(core, session, subject, now); break;
	case TIMER_HELD: path_held_expired(core, subject, now); break;
	case TIMER_GROUP: gather_group_send(core, subject, now); break;
	case TIMER_PACK: gather_pack_send(core, subject, now); break;
	}
	free_timer(core, timer);
}
