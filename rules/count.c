/* SPDX-License-Identifier: BSD-2-Clause */
/* count: counts the rules that fire, and restarts the counts of those that have them as their `since`. */

#include "rules/inside.h"

struct rule_state *count_state_shared(struct core *core, struct session *session, struct rule_state *own)
{
	struct rule_state *state;

	if (own->rule->scope == SCOPE_ALL)
		return &core->shared_rules[own->rule->index];
	state = station_state(session->station, own->rule);
	return state ? state : own;
}

/* The sessions that something concerns: one, all of a station, or (both NULL) all. */
struct whom {
	struct session *session;
	struct station *station;
};

static struct session *whom_first(const struct core *core, const struct whom *whom)
{
	return whom->session ? whom->session : whom->station ? whom->station->sessions : core->oldest;
}

static struct session *whom_next(const struct whom *whom, const struct session *session)
{
	return whom->session ? NULL : whom->station ? session->station_next : session->newer;
}

static struct rule_state *find_state(struct session *session, unsigned rule)
{
	for (size_t i = 0; i < session->rule_count; i++)
		if (session->rules[i].rule->index == rule)
			return &session->rules[i];
	return NULL;
}

/* Returns NULL if out of memory; the watching rule then misses the restart. */
static struct restart *get_restart(struct core *core, struct rule_state *state, ns_t now, uint64_t seen)
{
	if (!state->restart)
		state->restart = core_alloc(core, sizeof(*state->restart));
	if (!state->restart)
		return NULL;
	state->restart->at = now;
	state->restart->seen = seen;
	return state->restart;
}

/* Restarts what is counted per session even if scope = all: bytes carried and attempts. */
static void restart_session_counts(
    struct core *core, struct session *session, struct rule_state *own, ns_t now)
{
	struct restart *anew = get_restart(core, own, now, session->seen);

	for (int way = 0; anew && way < WAYS; way++) {
		anew->carried[way] = session->ways[way].carried;
		attempts_clear(&anew->attempts[way]);
	}
}

static void restart_counts(struct core *core, struct session *session, struct rule_state *state, ns_t now)
{
	state->matched[WAY_UP] = state->matched[WAY_DOWN] = 0;
	state->fired = state->rounds = 0;
	timer_rule_arm(core, session, state, now, now);
}

/* Restarts what a station counts. */
static void restart_station(struct core *core, struct session *session, struct rule_state *own, ns_t now)
{
	struct station *station = session->station;
	struct rule_state *state = count_state(core, session, own);
	struct restart *anew = get_restart(core, state, now, station ? station->seen : session->seen);

	for (int way = 0; anew && way < WAYS; way++)
		anew->carried[way] = station ? station->carried[way] : session->ways[way].carried;
	restart_counts(core, station ? NULL : session, state, now);
}

/* Restarts every count and time of a watching rule, beginning with the next datagram: in the sessions where
 * the other rule fired, in all of their devices (scope = device), or in all sessions (scope = all). */
static void restart(struct core *core, const struct whom *fired, const struct rule *watcher, ns_t now)
{
	struct whom whom = *fired;
	struct rule_state *own;

	if (watcher->scope == SCOPE_DEVICE && whom.session && whom.session->station)
		whom = (struct whom){.station = whom.session->station};
	if (watcher->scope == SCOPE_ALL) {
		whom = (struct whom){0};
		get_restart(core, &core->shared_rules[watcher->index], now, core->seen_all);
		restart_counts(core, NULL, &core->shared_rules[watcher->index], now);
	}
	for (struct session *s = whom_first(core, &whom); s; s = whom_next(&whom, s)) {
		if (!(own = find_state(s, watcher->index)))
			continue;
		restart_session_counts(core, s, own, now);
		if (watcher->scope == SCOPE_SESSION)
			restart_counts(core, s, own, now);
		else if (watcher->scope == SCOPE_DEVICE)
			restart_station(core, s, own, now);
	}
}

void count_fired(
    struct core *core, struct session *session, struct station *station, struct rule_state *state, ns_t now)
{
	const struct whom whom = {session, station};
	const struct rule *rule = state->rule;
	struct rule_state *own;

	state->fired++;
	core->totals[rule->index].fired++;
	for (struct session *s = whom_first(core, &whom); s; s = whom_next(&whom, s))
		if ((own = find_state(s, rule->index)))
			own->fired_ever++;
	for (size_t i = 0; i < rule->watchers.count; i++)
		restart(core, &whom, &core->config->rules[rule->watchers.all[i]], now);
}

void count_fired_outside(struct core *core, struct session *session, const struct rule *rule, ns_t now)
{
	struct rule_state *own = session ? find_state(session, rule->index)
	                                 : &core->shared_rules[rule->index];

	if (own)
		count_fired(core, session, NULL, session ? count_state(core, session, own) : own, now);
	else
		core->totals[rule->index].fired++; /* the rule does not apply to this session */
}
