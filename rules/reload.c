/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload: switches a running core to another configuration. Rules, links and devices that have the same name
 * keep their counts and state.
 *
 *   core_change_new    core running: maps old to new rules, links and devices; allocates the counters
 *   core_prepare       core idle: allocates the rule states of all sessions; fails without side effects
 *   core_exchange      core idle: moves counters, sessions and standing actions over
 *   core_change_free   core running: frees what is left of the old configuration's state
 *
 * The time while the core is idle is proportional to the number of sessions and the rules of each, plus a few
 * nanoseconds for each configured rule.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "rules/inside.h"

#define REMOVED UINT32_MAX

/* The new state of one session, allocated before anything changes. */
struct session_change {
	const struct device *section;
	struct rule_state *rules;
	uint32_t rule_count;
	struct datagram **firsts;
};

struct core_change {
	size_t session_count; /* in `sessions` */
	const struct config *before, *after;
	uint32_t *rule_from; /* by index in `after`: index in `before`, or REMOVED */
	uint32_t *rule_to;   /* by index in `before`: index in `after`, or REMOVED */
	uint32_t *link_to;   /* the same for links, … */
	uint32_t *device_to; /* … and devices */
	/* These are for `after`; once exchanged, they are the old ones. */
	struct rule_state *shared_rules;
	struct rule_totals *totals;
	struct link_totals *links;
	/* From core_prepare to core_exchange: by session, the oldest first. */
	struct session_change *sessions;
};

/* ---- While the core runs ---- */

static void map_rules(struct core_change *change)
{
	const struct config *before = change->before, *after = change->after;

	change->rule_from = memory_new(after->rule_count + 1, sizeof(*change->rule_from));
	change->rule_to = memory_new(before->rule_count + 1, sizeof(*change->rule_to));
	for (size_t i = 0; i < after->rule_count; i++)
		change->rule_from[i] = REMOVED;
	for (size_t i = 0; i < before->rule_count; i++) {
		const struct rule *rule = config_rule(after, before->rules[i].name);

		change->rule_to[i] = rule ? rule->index : REMOVED;
		if (rule)
			change->rule_from[rule->index] = (uint32_t)i;
	}
}

static void map_links(struct core_change *change)
{
	change->link_to = memory_new(change->before->link_count + 1, sizeof(*change->link_to));
	for (size_t i = 0; i < change->before->link_count; i++) {
		const struct link *link = config_link(change->after, change->before->links[i].name);

		change->link_to[i] = link ? (uint32_t)(link - change->after->links) : REMOVED;
	}
}

static void map_devices(struct core_change *change)
{
	change->device_to = memory_new(change->before->device_count + 1, sizeof(*change->device_to));
	for (size_t i = 0; i < change->before->device_count; i++) {
		const struct device *device = config_section(change->after, change->before->devices[i].name);

		change->device_to[i] = device ? (uint32_t)(device - change->after->devices) : REMOVED;
	}
}

struct core_change *core_change_new(const struct config *before, const struct config *after)
{
	struct core_change *change = memory_new(1, sizeof(*change));

	change->before = before;
	change->after = after;
	map_rules(change);
	map_links(change);
	map_devices(change);
	change->shared_rules = memory_new(after->rule_count + 1, sizeof(*change->shared_rules));
	change->totals = memory_new(after->rule_count + 1, sizeof(*change->totals));
	change->links = memory_new(after->link_count + 1, sizeof(*change->links));
	for (size_t i = 0; i < after->rule_count; i++)
		change->shared_rules[i].rule = &after->rules[i];
	return change;
}

static void free_prepared(struct core_change *change, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(change->sessions[i].rules);
		free(change->sessions[i].firsts);
	}
	free(change->sessions);
	change->sessions = NULL;
}

void core_change_free(struct core_change *change)
{
	if (!change)
		return;
	if (change->sessions) /* prepared but not exchanged */
		free_prepared(change, change->session_count);
	free(change->rule_from);
	free(change->rule_to);
	free(change->link_to);
	free(change->device_to);
	free(change->shared_rules);
	free(change->totals);
	free(change->links);
	free(change);
}

static const struct link *link_after(const struct core_change *change, const struct link *link)
{
	uint32_t to = change->link_to[link - change->before->links];

	return to == REMOVED ? NULL : &change->after->links[to];
}

/* The same, or the clean link if it was removed. */
static const struct link *link_kept(const struct core_change *change, const struct link *link)
{
	const struct link *after = link_after(change, link);

	return after ? after : &change->after->links[0];
}

/* ---- Allocation ---- */

static bool session_prepare(const struct core_change *change, const struct session *session,
    const struct entrance *entrance, struct session_change *prepared)
{
	const struct config *after = change->after;

	prepared->section = config_device(after, &session->device, entrance);
	prepared->rules = session_rules_new(after, prepared->section, session->number, &prepared->rule_count);
	if (prepared->rule_count && !prepared->rules)
		return false;
	prepared->firsts = after->first_count ? calloc(after->first_count, sizeof(struct datagram *)) : NULL;
	return prepared->firsts || !after->first_count;
}

static bool sessions_prepare(struct core *core, struct core_change *change, const struct entrance *entrances)
{
	size_t at = 0;

	change->sessions = calloc(core->session_count + 1, sizeof(*change->sessions));
	if (!change->sessions)
		return false;
	for (struct session *session = core->oldest; session; session = session->newer)
		if (!session_prepare(
		        change, session, &entrances[session->entrance], &change->sessions[at++])) {
			free_prepared(change, at);
			return false;
		}
	change->session_count = at;
	return true;
}

/* ---- Rules ---- */

/* Returns the state of the rule with index `rule` in `states`, which are in file order; or NULL. */
static struct rule_state *find_state(struct rule_state *states, size_t count, uint32_t rule)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (states[middle].rule->index < rule)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && states[low].rule->index == rule ? &states[low] : NULL;
}

/* Moves the counts and all else that `from` owns to `into`, the state of the new rule of that name. */
static void move_state(struct rule_state *into, struct rule_state *from)
{
	const struct rule *rule = into->rule;

	*into = *from;
	into->rule = rule;
	if (into->timer) {
		into->timer->subject = into;
		into->timer->slot = &into->timer;
	}
	*from = (struct rule_state){.rule = from->rule};
}

static bool same_times(const struct rule *a, const struct rule *b)
{
	return a->at_given == b->at_given && a->every_given == b->every_given &&
	       memcmp(&a->at, &b->at, sizeof(a->at)) == 0 &&
	       memcmp(&a->every, &b->every, sizeof(a->every)) == 0;
}

static void state_rearm(struct core *core, struct session *session, struct rule_state *state,
    const struct rule *before, ns_t began, ns_t now)
{
	if (state->rule->since && !state->restart)
		return timer_cancel(core, &state->timer);
	if (before && same_times(before, state->rule) && state->timer)
		return;
	if (state->restart)
		began = state->restart->at;
	timer_rule_arm(core, session, state, state->rounds ? now : began, now);
}

/* Installs the rule states that session_prepare has allocated. */
static void session_rules_reload(struct core *core, const struct core_change *change, struct session *session,
    const struct session_change *prepared, ns_t now)
{
	struct rule_state *old = session->rules;
	size_t old_count = session->rule_count;

	session->rules = prepared->rules;
	session->rule_count = prepared->rule_count;
	for (size_t i = 0; i < session->rule_count; i++) {
		struct rule_state *state = &session->rules[i];
		uint32_t index = change->rule_from[state->rule->index];
		struct rule_state *from = index == REMOVED ? NULL : find_state(old, old_count, index);

		if (from)
			move_state(state, from);
		if (state->rule->scope != SCOPE_SESSION)
			timer_cancel(core, &state->timer);
		else
			state_rearm(core, session, state, from ? from->rule : NULL, session->user.began, now);
	}
	/* Send what the groups of removed rules had gathered. */
	for (size_t i = 0; i < old_count; i++)
		for (int way = 0; way < WAYS; way++)
			if (old[i].groups[way] && old[i].groups[way]->count) {
				old[i].groups[way]->size = ACTION_PERMUTE_MAX +
				                           1; /* never complete: sent in order of arrival */
				gather_group_send(core, old[i].groups[way], now);
			}
	session_rules_free(core, old, old_count);
}

/* Moves the totals of all rules, and the shared states of rules with scope = all. */
static void shared_reload(struct core *core, struct core_change *change, ns_t now)
{
	struct rule_state *old = core->shared_rules;
	struct rule_totals *totals = core->totals;
	const struct indexes *wide = &change->after->wide_rules, *wide_before = &change->before->wide_rules;

	core->shared_rules = change->shared_rules;
	core->totals = change->totals;
	for (size_t i = 0; i < change->after->rule_count; i++)
		if (change->rule_from[i] != REMOVED)
			core->totals[i] = totals[change->rule_from[i]];
	for (size_t i = 0; i < wide->count; i++) {
		struct rule_state *state = &core->shared_rules[wide->all[i]];
		uint32_t index = change->rule_from[wide->all[i]];
		struct rule_state *from = index == REMOVED ? NULL : &old[index];

		if (from)
			move_state(state, from);
		state_rearm(core, NULL, state, from ? from->rule : NULL, core->began, now);
	}
	for (size_t i = 0; i < wide_before->count; i++)
		session_rule_clear(core, &old[wide_before->all[i]]);
	change->shared_rules = old;
	change->totals = totals;
}

static void link_reload(const struct core_change *change, struct link_state *state)
{
	state->link = link_kept(change, state->link);
	for (int way = 0; way < WAYS; way++) {
		struct link_wire *s = state->ways[way].wire;

		if (!s)
			continue;
		/* The new trace may be shorter: look up the position in it again. */
		s->opportunity_open = false;
		s->opportunity = s->opportunity_left = 0;
		s->cycle = 0;
	}
}

/* Returns whether whoever began a standing action is still there: a rule of that name, or the API. */
static bool is_kept(const struct core *core, const struct core_change *change, uint32_t by)
{
	static const char rule[] = "rule:";
	const char *text = names_get(core->names, by);

	return strncmp(text, rule, strlen(rule)) != 0 || config_rule(change->after, text + strlen(rule));
}

/* A standing action ends if the rule that began it is removed, as with scope = all. */
static void station_standing_reload(
    const struct core *core, const struct core_change *change, struct station_standing *standing)
{
	for (int mode = 0; mode < 2; mode++)
		for (int way = 0; way < WAYS; way++)
			if (standing->by[mode][way] && !is_kept(core, change, standing->by[mode][way]))
				standing->until[mode][way] = INT64_MIN;
	if (standing->upstream && !is_kept(core, change, standing->upstream_by))
		standing->upstream = 0;
	if (!standing->link_set)
		return;
	standing->link_set = change->link_to[standing->link] != REMOVED &&
	                     is_kept(core, change, standing->link_by);
	if (standing->link_set)
		standing->link = change->link_to[standing->link];
}

/* Moves the states of rules with scope = device. */
static void station_reload(
    struct core *core, const struct core_change *change, struct station *station, ns_t now)
{
	struct station_rule *old = station->rules;
	size_t old_count = station->rule_count;

	station->rules = station->prepared;
	station->rule_count = change->after->station_rules.count;
	station->prepared = NULL;
	for (size_t i = 0; i < station->rule_count; i++) {
		struct rule_state *state = &station->rules[i].state;
		uint32_t index = change->rule_from[state->rule->index];
		const struct rule *before = index == REMOVED ? NULL : &change->before->rules[index];

		if (before && before->scope == SCOPE_DEVICE && before->station_index < old_count)
			move_state(state, &old[before->station_index].state);
		if (state->timer || state->rounds_ever || state->restart)
			state_rearm(core, NULL, state, before, station->began, now);
	}
	for (size_t i = 0; i < old_count; i++)
		session_rule_clear(core, &old[i].state);
	free(old);
	for (struct link_state *state = station->links; state; state = state->next)
		link_reload(change, state);
	station_standing_reload(core, change, &station->standing);
}

static void stations_reload(struct core *core, const struct core_change *change, ns_t now)
{
	for (size_t i = 0; i < core->stations.size; i++)
		for (struct station *station = core->stations.buckets[i]; station;
		     station = station->hash_next)
			station_reload(core, change, station, now);
	for (struct link_state *state = core->stations.everyone.links; state; state = state->next)
		link_reload(change, state);
}

/* ---- Sessions ---- */

/* Points a session's link states at the new links of the same name, or at the clean link if there is none. */
static void links_reload(const struct core_change *change, struct session *session)
{
	for (struct link_state *state = session->links; state; state = state->next)
		link_reload(change, state);
}

/* Keeps the first datagrams of kinds that the new configuration needs too. (Those for `replay N` are
 * collected anew.) */
static void firsts_reload(
    struct core *core, const struct core_change *change, struct session *session, struct datagram **firsts)
{
	const struct config *before = change->before, *after = change->after;

	for (size_t i = 0; session->firsts && i < session->first_count; i++) {
		size_t k = 0;

		while (k < after->first_count && !kinds_equal(&after->firsts[k], &before->firsts[i]))
			k++;
		if (k < after->first_count)
			firsts[k] = session->firsts[i];
		else if (session->firsts[i])
			pool_put(core->pool, session->firsts[i]);
	}
	free(session->firsts);
	session->firsts = firsts;
	session->first_count = (unsigned)after->first_count;
}

static void session_reload(struct core *core, const struct core_change *change, struct session *session,
    const struct session_change *prepared, ns_t now)
{
	const struct config *after = change->after;
	const struct link *link = session->link_set ? link_after(change, session->link) : NULL;

	links_reload(change, session);
	for (int way = 0; way < WAYS; way++)
		session_recent_forget(core, &session->ways[way]);
	firsts_reload(core, change, session, prepared->firsts);
	session->section = prepared->section;
	session->link_set = link != NULL;
	if (!link)
		link = &after->links[session->section ? session->section->link : after->default_link];
	session->link = link;
	session_rules_reload(core, change, session, prepared, now);
	timer_idle_set(core, session);
	timer_nat_arm(core, session);
}

/* ---- Totals and standing actions ---- */

static void link_totals_reload(struct core *core, struct core_change *change)
{
	struct link_totals *old = core->links;

	for (size_t i = 0; i < change->before->link_count; i++)
		if (change->link_to[i] != REMOVED)
			change->links[change->link_to[i]] = old[i];
	core->links = change->links;
	change->links = old;
}

/* Renumbers the rules in the failures of ended sessions, and discards those of removed rules. */
static void each_reload(struct core *core, const struct core_change *change)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->each_count; i++) {
		struct each_failure failure = core->each[i];
		uint32_t to = change->rule_to[failure.rule];

		if (to == REMOVED)
			continue;
		failure.rule = to;
		core->each[kept++] = failure;
	}
	core->each_count = kept;
}

/* Renumbers a live command's standing action; returns false if its section or link was removed. */
static bool live_action_reload(struct standing_action *s, const struct core_change *change)
{
	if (s->device) {
		uint32_t to = change->device_to[s->device - 1];

		if (to == REMOVED)
			return false;
		s->device = to + 1;
	}
	if (s->action.act == ACT_LINK) {
		uint32_t to = change->link_to[s->action.link];

		if (to == REMOVED)
			return false;
		s->action.link = to;
	}
	return true;
}

/* Updates a rule's standing action; returns false if the rule or the action was removed. */
static bool rule_action_reload(struct standing_action *s, const struct core_change *change)
{
	uint32_t to = change->rule_to[s->rule->index];
	const struct rule *rule = to == REMOVED ? NULL : &change->after->rules[to];

	if (!rule || s->index >= rule->actions.count || rule->actions.all[s->index].act != s->action.act)
		return false;
	s->rule = rule;
	s->action = rule->actions.all[s->index];
	s->by = rule->id;
	return true;
}

/* Standing actions point into the old configuration: look them up again by name. */
static void standing_reload(struct core *core, const struct core_change *change)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->standing_count; i++) {
		struct standing_action s = core->standing[i];

		if (s.rule ? rule_action_reload(&s, change) : live_action_reload(&s, change))
			core->standing[kept++] = s;
	}
	core->standing_count = kept;
}

/* ---- The steps ---- */

int core_prepare(struct core *core, struct core_change *change, const struct entrance *entrances)
{
	if (core_is_prepared(core) && stations_prepare(core, change->after) &&
	    sessions_prepare(core, change, entrances))
		return 0;
	stations_unprepare(core);
	return -1;
}

void core_exchange(struct core *core, struct core_change *change, const struct core_limits *limits, ns_t now)
{
	size_t at = 0;

	assert(
	    change->session_count == core->session_count); /* none has begun or ended since it was prepared */
	each_reload(core, change);
	link_totals_reload(core, change);
	core->config = change->after;
	shared_reload(core, change, now);
	stations_reload(core, change, now);
	standing_reload(core, change);
	core->limits = *limits;
	core_release_budget(core);
	for (struct session *session = core->oldest; session; session = session->newer)
		session_reload(core, change, session, &change->sessions[at++], now);
	for (struct session *session = core->oldest; session; session = session->newer) {
		station_join(core, session, now);
		station_arm(core, session, now);
		for (struct link_state *state = session->links; state; state = state->next)
			state->shared = station_link(core, session, state->link);
	}
	free(change->sessions); /* its contents now belong to the sessions */
	change->sessions = NULL;
}

void core_reload(struct core *core, const struct config *config, const struct core_limits *limits,
    const struct entrance *entrances, ns_t now)
{
	struct core_change *change = core_change_new(core->config, config);

	if (core_prepare(core, change, entrances))
		memory_out();
	core_exchange(core, change, limits, now);
	core_change_free(change);
}
