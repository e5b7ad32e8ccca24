/* SPDX-License-Identifier: BSD-2-Clause */
/* live: live commands: actions and rules that are requested through the API while the core runs. */
#include <string.h>

#include "rules/inside.h"

static bool is_identity(const struct session *session, const char *identity)
{
	char address[ADDRESS_TEXT_SIZE];

	if (session->identity_used && session->section && session->section->identity)
		return strcmp(session->section->identity, identity) == 0;
	return strcmp(address_host_text(&session->device, address, sizeof(address)), identity) == 0;
}

/* Returns a draw for ranges, different for each command. */
static struct draw live_draw(struct core *core, uint32_t by)
{
	const char *name = names_get(core->names, by);

	return chance_draw(core->limits.seed, WAYS, core->lives++, chance_hash(3, name, strlen(name)));
}

static bool is_target(const struct session *session, const struct live_target *target)
{
	return target->whom == LIVE_SESSION ? session->number == target->session
	                                    : is_identity(session, target->identity);
}

/* Returns the first session that a target by number or identity selects; NULL for other targets. */
static struct session *find_target(struct core *core, const struct live_target *target)
{
	struct session *session = core->oldest;

	if (target->whom != LIVE_SESSION && target->whom != LIVE_IDENTITY)
		return NULL;
	while (session && !is_target(session, target))
		session = session->newer;
	return session;
}

static size_t act_on_targets(struct core *core, const struct standing_action *filter,
    const struct live_target *target, struct draw draw, ns_t now)
{
	const struct station *done = NULL;
	size_t count = 0;

	for (struct session *session = core->oldest; session; session = session->newer) {
		if (!is_target(session, target))
			continue;
		if (session->station && session->station == done)
			; /* the station has acted on all of its sessions */
		else if (filter->rule && filter->rule->scope == SCOPE_DEVICE && session->station)
			act_on_station(
			    core, session->station, &filter->action, filter->by, now, filter->index, draw);
		else
			act_on_session(core, session, &filter->action, filter->by, now, filter->index, draw,
			    target->whom == LIVE_IDENTITY ? REACH_DEVICE : REACH_SESSION);
		if (filter->rule && filter->rule->scope == SCOPE_DEVICE)
			done = session->station;
		count++;
	}
	return count;
}

static size_t act_live(struct core *core, struct standing_action *filter, const struct live_target *target,
    struct draw draw, ns_t now)
{
	if (target->whom == LIVE_SESSION || target->whom == LIVE_IDENTITY)
		return act_on_targets(core, filter, target, draw, now);
	/* The target replaces the rule's own conditions on sessions. */
	filter->rule = NULL;
	filter->device = target->whom == LIVE_DEVICE ? target->device + 1 : 0;
	if (target->whom == LIVE_ALL && filter->action.act == ACT_NOTE) {
		if (!target->echo)
			core_event(core, NULL, now, "note by=%s", names_get(core->names, filter->by));
		return core->session_count;
	}
	return act_on_all(core, filter, draw, now);
}

bool core_live_concerns(struct core *core, const struct live_target *target)
{
	return target->whom == LIVE_ALL || target->whom == LIVE_DEVICE || find_target(core, target);
}

size_t core_live_action(
    struct core *core, const struct action *action, const struct live_target *target, uint32_t by, ns_t now)
{
	struct standing_action filter = {.action = *action, .by = by};

	return act_live(core, &filter, target, live_draw(core, by), now);
}

size_t core_live_fire(struct core *core, unsigned index, const struct live_target *target, ns_t now)
{
	const struct rule *rule = &core->config->rules[index];
	struct draw draw = live_draw(core, rule->id);
	size_t count = 0;

	for (size_t i = 0; i < rule->actions.count; i++) {
		struct standing_action filter = standing_action_of(rule, i);

		count = act_live(core, &filter, target, draw, now);
	}
	if (count || target->whom == LIVE_ALL)
		count_fired_outside(core, find_target(core, target), rule, now);
	if (target->echo && (count || target->whom == LIVE_ALL))
		core->totals[index].fired--; /* another core has already counted this firing */
	return count;
}
