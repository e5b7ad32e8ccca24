/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * act_session: actions that need no datagram: blackouts, changes of link, mapping and server. They concern
 * one session, those of one device (a station), or all that a filter admits; of the last two, later ones too.
 */
#include <stdlib.h>

#include "base/units.h"
#include "rules/inside.h"

/* The caller may have to darken more of a device than the datagrams that come here. */
static void report_dark(struct core *core, struct session *session, const struct action *action, ns_t until,
    bool is_end, enum reach reach)
{
	struct outcome *outcome;

	if (reach == REACH_SESSION || !core->limits.reports_dark || !(outcome = core_outcome(core)))
		return;
	*outcome = (struct outcome){.kind = OUTCOME_DARK,
	    .at = until,
	    .session = session,
	    .dark = {action->ways[WAY_UP], action->ways[WAY_DOWN]},
	    .is_end = is_end};
}

/* `blackout 0`: ends running blackouts. */
static void end_blackouts(
    struct core *core, struct session *session, const struct action *action, ns_t now, enum reach reach)
{
	bool ended = false;

	report_dark(core, session, action, now, true, reach);
	for (int w = 0; w < WAYS; w++) {
		struct way_extra *own;

		if (!action->ways[w] || path_state(&session->ways[w], now) == PATH_OPEN)
			continue;
		own = way_extra_writable(&session->ways[w]);
		own->drop_until = own->drop_until > now ? now : own->drop_until;
		own->hold_until = own->hold_until > now ? now : own->hold_until;
		ended = true;
	}
	if (!ended)
		return;
	timer_blackout_set(core, session, now);
	path_blackout_end(core, session, now);
}

static void begin_blackout(struct core *core, struct session *session, const struct action *action,
    ns_t length, uint32_t by, ns_t now, enum reach reach)
{
	ns_t until = ns_add(now, length);
	bool raised = false;
	char time[32];
	const char *ways = action->ways[WAY_UP] && action->ways[WAY_DOWN] ? ""
	                   : action->ways[WAY_UP]                         ? " up"
	                                                                  : " down";

	if (!length)
		return end_blackouts(core, session, action, now, reach);
	report_dark(core, session, action, until, false, reach);
	for (int w = 0; w < WAYS; w++) {
		struct way_extra *own;
		ns_t *end;

		if (!action->ways[w])
			continue;
		own = core_way_extra(core, &session->ways[w]);
		if (!own)
			continue; /* out of memory: no blackout on this way */
		end = action->mode == BLACKOUT_HOLD ? &own->hold_until : &own->drop_until;
		if (*end >= until)
			continue;
		*end = until;
		raised = true;
		*(action->mode == BLACKOUT_HOLD ? &own->hold_by : &own->drop_by) = by;
	}
	if (raised)
		timer_blackout_set(core, session, now);
	core_event(core, session, now, "blackout-begins %s%s%s by=%s",
	    units_time_text(length, time, sizeof(time)), ways, action->mode == BLACKOUT_HOLD ? " hold" : "",
	    names_get(core->names, by));
}

static void change_link(struct core *core, struct session *session, unsigned link, uint32_t by, ns_t now)
{
	session->link = &core->config->links[link];
	session->link_set = true;
	core_event(core, session, now, "link %s by=%s", session->link->name, names_get(core->names, by));
}

static void change_upstream(
    struct core *core, struct session *session, uint32_t upstream, uint32_t by, ns_t now)
{
	struct outcome *outcome;

	session->upstream = upstream;
	core_event(core, session, now, "upstream %s by=%s",
	    upstream ? names_get(core->names, upstream) : "back", names_get(core->names, by));
	outcome = core_outcome(core);
	if (outcome) /* if out of memory, it is moved when its socket is opened again */
		*outcome = (struct outcome){.kind = OUTCOME_UPSTREAM, .at = now, .session = session};
}

void act_on_session(struct core *core, struct session *session, const struct action *action, uint32_t by,
    ns_t now, size_t index, struct draw draw, enum reach reach)
{
	switch (action->act) {
	case ACT_BLACKOUT:
		begin_blackout(core, session, action, chance_time(draw, rule_draw(index, 0), &action->time),
		    by, now, reach);
		break;
	case ACT_LINK: change_link(core, session, action->link, by, now); break;
	case ACT_UPSTREAM: change_upstream(core, session, action->upstream, by, now); break;
	case ACT_NOTE: core_event(core, session, now, "note by=%s", names_get(core->names, by)); break;
	case ACT_REBIND:
		nat_rebind(&session->nat, action->what);
		core_event(core, session, now, "nat-expired by=%s", names_get(core->names, by));
		break;
	default: break;
	}
}

static void station_stand(
    struct station *station, const struct action *action, ns_t length, uint32_t by, ns_t now)
{
	struct station_standing *standing = &station->standing;

	if (action->act == ACT_LINK) {
		standing->link_set = true;
		standing->link = action->link;
		standing->link_by = by;
	}
	if (action->act == ACT_UPSTREAM) {
		standing->upstream = action->upstream;
		standing->upstream_by = by;
	}
	for (int way = 0; action->act == ACT_BLACKOUT && way < WAYS; way++) {
		ns_t until = ns_add(now, length);

		if (!action->ways[way])
			continue;
		if (!length)
			standing->until[BLACKOUT_DROP][way] = standing->until[BLACKOUT_HOLD][way] = now;
		if (until <= standing->until[action->mode][way])
			continue;
		standing->until[action->mode][way] = until;
		standing->by[action->mode][way] = by;
	}
}

void act_on_station(struct core *core, struct station *station, const struct action *action, uint32_t by,
    ns_t now, size_t index, struct draw draw)
{
	if (action->act == ACT_NOTE && station->sessions) {
		act_on_session(core, station->sessions, action, by, now, index, draw, REACH_DEVICE);
		return;
	}
	station_stand(station, action, chance_time(draw, rule_draw(index, 0), &action->time), by, now);
	for (struct session *s = station->sessions; s; s = s->station_next)
		act_on_session(core, s, action, by, now, index, draw, REACH_DEVICE);
}

/* Returns whether `standing` applies to every session and way that `other` applies to. */
static bool standing_covers(const struct standing_action *standing, const struct standing_action *other)
{
	bool ways = true;

	for (int way = 0; way < WAYS; way++)
		ways &= standing->action.ways[way] || !other->action.ways[way];
	return ways && !standing->rule && (!standing->device || standing->device == other->device);
}

static void standing_action_add(struct core *core, struct standing_action standing)
{
	bool is_end = standing.action.act == ACT_BLACKOUT && standing.until <= core->now;
	size_t kept = 0;

	/* Remove actions that have expired, or that this one replaces. */
	for (size_t i = 0; i < core->standing_count; i++) {
		struct standing_action *s = &core->standing[i];
		bool over = s->action.act == ACT_BLACKOUT && s->until <= core->now;
		bool same = s->action.act != ACT_BLACKOUT && standing.action.act == s->action.act &&
		            s->rule == standing.rule && s->index == standing.index &&
		            s->device == standing.device;

		bool ended = s->action.act == ACT_BLACKOUT && is_end && standing_covers(&standing, s);

		if (!over && !same && !ended)
			core->standing[kept++] = *s;
	}
	core->standing_count = kept;
	if (is_end)
		return;
	if (kept == core->standing_cap) {
		size_t cap = kept ? 2 * kept : 8;
		struct standing_action *more = realloc(core->standing, cap * sizeof(*more));

		if (!more) { /* it will not apply to later sessions */
			core->out_of_memory = true;
			return;
		}
		core->standing = more;
		core->standing_cap = cap;
	}
	core->standing[core->standing_count++] = standing;
}

bool standing_action_concerns(
    const struct core *core, const struct standing_action *standing, const struct session *session)
{
	if (standing->rule)
		return rule_concerns(standing->rule, session, core->config);
	return !standing->device || session->section == &core->config->devices[standing->device - 1];
}

size_t act_on_all(struct core *core, const struct standing_action *filter, struct draw draw, ns_t now)
{
	struct standing_action standing = *filter;
	size_t count = 0;

	standing.until = ns_add(now, chance_time(draw, rule_draw(filter->index, 0), &filter->action.time));
	if (filter->action.act == ACT_BLACKOUT || filter->action.act == ACT_LINK ||
	    filter->action.act == ACT_UPSTREAM)
		standing_action_add(core, standing);
	for (struct session *session = core->oldest; session; session = session->newer) {
		if (!standing_action_concerns(core, filter, session))
			continue;
		act_on_session(
		    core, session, &filter->action, filter->by, now, filter->index, draw, REACH_DEVICE);
		count++;
	}
	return count;
}

struct standing_action standing_action_of(const struct rule *rule, size_t index)
{
	return (struct standing_action){
	    .rule = rule, .index = index, .action = rule->actions.all[index], .by = rule->id};
}
