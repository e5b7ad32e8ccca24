/* reload: a running core goes over to another configuration: what has the same name keeps what it has
 * counted. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "rules/inside.h"

static const struct link *link_named(const struct config *config, const char *name)
{
	/* The last one first: a user's own [link clean] stands before the one that no section names. */
	for (size_t i = config->link_count; i-- > 0;)
		if (strcmp(config->links[i].name, name) == 0)
			return &config->links[i];
	return NULL;
}

static struct rule_state *state_named(struct rule_state *states, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (states[i].rule && strcmp(states[i].rule->name, name) == 0)
			return &states[i];
	return NULL;
}

/* Takes over what an old state of the same name has counted; what it no longer owns is cleared there. */
static void state_move(struct rule_state *into, struct rule_state *from)
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

static void session_rules_reload(struct core *core, struct session *session, ns_t now)
{
	struct rule_state *old = session->rules;
	size_t old_count = session->rule_count;

	session_rules_attach(core, session);
	for (size_t i = 0; i < session->rule_count; i++) {
		struct rule_state *state = &session->rules[i];
		struct rule_state *from = state_named(old, old_count, state->rule->name);

		if (from)
			state_move(state, from);
		if (state->rule->scope == SCOPE_ALL)
			timer_cancel(core, &state->timer);
		else
			state_rearm(core, session, state, from ? from->rule : NULL, session->user.began, now);
	}
	/* What a rule that is gone had gathered goes on its way. */
	for (size_t i = 0; i < old_count; i++)
		for (int way = 0; way < WAYS; way++)
			if (old[i].groups[way] && old[i].groups[way]->count) {
				old[i].groups[way]->size = ACTION_PERMUTE_MAX +
				                           1; /* never whole: in order of arrival */
				gather_group_send(core, old[i].groups[way], now);
			}
	session_rules_free(core, old, old_count);
}

static void session_reload(
    struct core *core, struct session *session, const struct address *listening, const char *set, ns_t now)
{
	const struct config *config = core->config;
	const struct link *link = set ? link_named(config, set) : NULL;

	session->section = config_device(config, &session->device, listening);
	session->link_set = link != NULL;
	if (!link)
		link = &config->links[session->section ? session->section->link : config->default_link];
	session->link = link;
	session_rules_reload(core, session, now);
	timer_idle_set(core, session);
	timer_nat_arm(core, session);
}

/* Points what a session keeps of links at the new ones of the same name; of one that is gone, at the clean
 * link. */
static void links_reload(struct session *session, const struct config *config)
{
	for (struct link_state *state = session->links; state; state = state->next) {
		const struct link *link = link_named(config, state->link->name);

		state->link = link ? link : &config->links[0];
		for (int way = 0; way < WAYS; way++) {
			struct link_wire *s = state->ways[way].wire;

			if (!s)
				continue;
			/* Another trace may be shorter: its place is sought anew. */
			s->opportunity_open = false;
			s->opportunity = s->opportunity_left = 0;
			s->cycle = 0;
		}
	}
}

/* Firsts stay where the new configuration asks for the same kinds; what is behind `replay N` is gathered
 * anew. */
static void firsts_reload(
    struct core *core, struct session *session, const struct config *before, const struct config *config)
{
	struct datagram **firsts = config->first_count ? calloc(config->first_count, sizeof(*firsts)) : NULL;

	for (size_t i = 0; session->firsts && i < session->first_count; i++) {
		size_t k = 0;

		while (k < config->first_count &&
		       memcmp(&config->firsts[k], &before->firsts[i], sizeof(struct kinds)) != 0)
			k++;
		if (firsts && k < config->first_count)
			firsts[k] = session->firsts[i];
		else if (session->firsts[i])
			pool_put(core->pool, session->firsts[i]);
	}
	free(session->firsts);
	session->firsts = firsts;
	session->first_count = firsts ? (unsigned)config->first_count : 0;
}

static void link_totals_reload(struct core *core, const struct config *config)
{
	struct link_totals *totals = calloc(config->link_count + 1, sizeof(*totals));

	assert(totals);
	for (size_t i = 0; i < core->config->link_count; i++) {
		const struct link *link = link_named(config, core->config->links[i].name);

		if (link)
			totals[link - config->links] = core->links[i];
	}
	free(core->links);
	core->links = totals;
}

static void shared_reload(struct core *core, const struct config *config, ns_t now)
{
	struct rule_state *old = core->shared;
	struct rule_totals *totals = core->totals;
	size_t old_count = core->config->rule_count;

	core->shared = calloc(config->rule_count + 1, sizeof(*core->shared));
	core->totals = calloc(config->rule_count + 1, sizeof(*core->totals));
	assert(core->shared && core->totals);
	for (size_t i = 0; i < config->rule_count; i++) {
		struct rule_state *state = &core->shared[i];
		struct rule_state *from = state_named(old, old_count, config->rules[i].name);

		state->rule = &config->rules[i];
		if (from)
			core->totals[i] = totals[from->rule->index];
		if (from)
			state_move(state, from);
		if (state->rule->scope != SCOPE_ALL) {
			timer_cancel(core, &state->timer);
			continue;
		}
		state_rearm(core, NULL, state, from ? from->rule : NULL, core->began, now);
	}
	session_rules_free(core, old, old_count);
	free(totals);
}

/* Failures of sessions that have ended name rules by index: by the new one, where the rule is still there. */
static void each_reload(struct core *core, const struct config *config)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->each_count; i++) {
		struct each_failure failure = core->each[i];
		const char *name = core->config->rules[failure.rule].name;

		for (size_t k = 0; k < config->rule_count; k++)
			if (strcmp(config->rules[k].name, name) == 0) {
				failure.rule = (unsigned)k;
				core->each[kept++] = failure;
			}
	}
	core->each_count = kept;
}

/* One that was asked for from outside stands while its section and its link are there. */
static bool live_reload(struct standing *s, const struct config *before, const struct config *config)
{
	const struct link *link = NULL;
	size_t device = 0;

	if (s->device) {
		while (device < config->device_count &&
		       strcmp(config->devices[device].name, before->devices[s->device - 1].name) != 0)
			device++;
		if (device == config->device_count)
			return false;
		s->device = (unsigned)device + 1;
	}
	if (s->action.act == ACT_LINK) {
		link = link_named(config, before->links[s->action.link].name);
		if (!link)
			return false;
		s->action.link = (unsigned)(link - config->links);
	}
	return true;
}

/* A rule's stands while rule and action are still there. */
static bool rule_reload(struct standing *s, const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];

		if (strcmp(rule->name, s->rule->name) != 0 || s->index >= rule->actions.count ||
		    rule->actions.all[s->index].act != s->action.act)
			continue;
		s->rule = rule;
		s->action = rule->actions.all[s->index];
		s->by = rule->id;
		return true;
	}
	return false;
}

/* Standing acts point into the old configuration: they are found again by name. */
static void standing_reload(struct core *core, const struct config *config)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->standing_count; i++) {
		struct standing s = core->standing[i];

		if (s.rule ? rule_reload(&s, config) : live_reload(&s, core->config, config))
			core->standing[kept++] = s;
	}
	core->standing_count = kept;
}

void core_reload(struct core *core, const struct config *config, const struct core_limits *limits,
    const struct address *listening, ns_t now)
{
	const struct config *before = core->config;
	struct text name = {0};

	each_reload(core, config);
	link_totals_reload(core, config);
	shared_reload(core, config, now);
	standing_reload(core, config);
	core->config = config;
	core->limits = *limits;
	core_bytes_return(core);
	for (struct session *session = core->oldest; session; session = session->newer) {
		text_clear(&name);
		text_add(&name, "%s", session->link->name);
		links_reload(session, config);
		for (int way = 0; way < WAYS; way++)
			session_recent_forget(core, &session->ways[way]);
		firsts_reload(core, session, before, config);
		session_reload(
		    core, session, &listening[session->listener], session->link_set ? name.at : NULL, now);
	}
	text_free(&name);
}
