/* SPDX-License-Identifier: BSD-2-Clause */
/* act: what a rule does when it fires: to the datagram that made it fire, and to the session. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "rules/inside.h"

/* ---- Counting and restarting ---- */

struct rule_state *act_state(struct core *core, struct rule_state *own)
{
	return own->rule->scope == SCOPE_ALL ? &core->shared_rules[own->rule->index] : own;
}

static struct rule_state *find_state(struct session *session, unsigned rule)
{
	for (size_t i = 0; i < session->rule_count; i++)
		if (session->rules[i].rule->index == rule)
			return &session->rules[i];
	return NULL;
}

/* NULL when memory is out: the watching rule does not notice. */
static struct restart *restart_of(struct core *core, struct rule_state *state, ns_t now, uint64_t seen)
{
	if (!state->restart)
		state->restart = core_get(core, sizeof(*state->restart));
	if (!state->restart)
		return NULL;
	state->restart->at = now;
	state->restart->seen = seen;
	return state->restart;
}

/* What is counted in the session itself, whatever the rule's scope: bytes carried, and attempts. */
static void restart_own(struct core *core, struct session *session, struct rule_state *own, ns_t now)
{
	struct restart *anew = restart_of(core, own, now, session->seen);

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

/* Every count and time of a watching rule starts anew, with the next datagram: in the session where the other
 * one fired (NULL: in all), or where its scope is all sessions in all of them. */
static void restart(struct core *core, struct session *session, const struct rule *watcher, ns_t now)
{
	struct rule_state *own;
	bool all = watcher->scope == SCOPE_ALL;
	bool only = session && !all;

	if (all) {
		restart_of(core, &core->shared_rules[watcher->index], now, core->seen_all);
		restart_counts(core, NULL, &core->shared_rules[watcher->index], now);
	}
	for (struct session *s = only ? session : core->oldest; s; s = only ? NULL : s->newer) {
		if (!(own = find_state(s, watcher->index)))
			continue;
		restart_own(core, s, own, now);
		if (!all)
			restart_counts(core, s, own, now);
	}
}

void judge_fired(struct core *core, struct session *session, struct rule_state *state, ns_t now)
{
	const struct rule *rule = state->rule;
	struct rule_state *own;

	state->fired++;
	core->totals[rule->index].fired++;
	for (struct session *s = session ? session : core->oldest; s; s = session ? NULL : s->newer)
		if ((own = find_state(s, rule->index)))
			own->fired_ever++;
	for (size_t i = 0; i < rule->watchers.count; i++)
		restart(core, session, &core->config->rules[rule->watchers.all[i]], now);
}

void judge_fired_outside(struct core *core, struct session *session, const struct rule *rule, ns_t now)
{
	struct rule_state *own = session ? find_state(session, rule->index)
	                                 : &core->shared_rules[rule->index];

	if (own)
		judge_fired(core, session, session ? act_state(core, own) : own, now);
	else
		core->totals[rule->index].fired++; /* the session is none of the rule's own */
}

/* ---- Actions without a datagram ---- */

/* `blackout 0`: ends those that are running. */
static void end_blackouts(struct core *core, struct session *session, const struct action *action, ns_t now)
{
	bool ended = false;

	for (int w = 0; w < WAYS; w++) {
		struct way_extra *own;

		if (!action->ways[w] || path_state(&session->ways[w], now) == PATH_OPEN)
			continue;
		own = way_extra_own(&session->ways[w]);
		own->drop_until = own->drop_until > now ? now : own->drop_until;
		own->hold_until = own->hold_until > now ? now : own->hold_until;
		ended = true;
	}
	if (!ended)
		return;
	timer_blackout_set(core, session, now);
	path_blackout_end(core, session, now);
}

static void blackout(struct core *core, struct session *session, const struct action *action, ns_t length,
    uint32_t by, ns_t now)
{
	ns_t until = ns_add(now, length);
	bool raised = false;
	char time[32];
	const char *ways = action->ways[WAY_UP] && action->ways[WAY_DOWN] ? ""
	                   : action->ways[WAY_UP]                         ? " up"
	                                                                  : " down";

	if (!length)
		return end_blackouts(core, session, action, now);
	for (int w = 0; w < WAYS; w++) {
		struct way_extra *own;
		ns_t *end;

		if (!action->ways[w])
			continue;
		own = core_way_extra(core, &session->ways[w]);
		if (!own)
			continue; /* memory is out: this way stays light */
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

static void link_change(struct core *core, struct session *session, unsigned link, uint32_t by, ns_t now)
{
	session->link = &core->config->links[link];
	session->link_set = true;
	core_event(core, session, now, "link %s by=%s", session->link->name, names_get(core->names, by));
}

void judge_act(struct core *core, struct session *session, const struct action *action, uint32_t by, ns_t now,
    size_t index, struct draw draw)
{
	switch (action->act) {
	case ACT_BLACKOUT:
		blackout(
		    core, session, action, chance_time(draw, rule_draw(index, 0), &action->time), by, now);
		break;
	case ACT_LINK: link_change(core, session, action->link, by, now); break;
	case ACT_NOTE: core_event(core, session, now, "note by=%s", names_get(core->names, by)); break;
	case ACT_REBIND:
		nat_rebind(&session->nat, action->what);
		core_event(core, session, now, "nat-expired by=%s", names_get(core->names, by));
		break;
	default: break;
	}
}

/* Returns whether this one applies to every session and way that the other one applies to. */
static bool covers(const struct standing_action *standing, const struct standing_action *other)
{
	bool ways = true;

	for (int way = 0; way < WAYS; way++)
		ways &= standing->action.ways[way] || !other->action.ways[way];
	return ways && !standing->rule && (!standing->device || standing->device == other->device);
}

void judge_remember(struct core *core, struct standing_action standing)
{
	bool is_end = standing.action.act == ACT_BLACKOUT && standing.until <= core->now;
	size_t kept = 0;

	/* What is over, and what this one takes the place of, goes. */
	for (size_t i = 0; i < core->standing_count; i++) {
		struct standing_action *s = &core->standing[i];
		bool over = s->action.act == ACT_BLACKOUT && s->until <= core->now;
		bool same = s->action.act == ACT_LINK && standing.action.act == ACT_LINK &&
		            s->rule == standing.rule && s->index == standing.index &&
		            s->device == standing.device;

		bool ended = s->action.act == ACT_BLACKOUT && is_end && covers(&standing, s);

		if (!over && !same && !ended)
			core->standing[kept++] = *s;
	}
	core->standing_count = kept;
	if (is_end)
		return;
	if (kept == core->standing_cap) {
		size_t cap = kept ? 2 * kept : 8;
		struct standing_action *more = realloc(core->standing, cap * sizeof(*more));

		if (!more) { /* sessions to come will not know of it */
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

size_t judge_everywhere(struct core *core, const struct standing_action *filter, struct draw draw, ns_t now)
{
	struct standing_action standing = *filter;
	size_t count = 0;

	standing.until = ns_add(now, chance_time(draw, rule_draw(filter->index, 0), &filter->action.time));
	if (filter->action.act == ACT_BLACKOUT || filter->action.act == ACT_LINK)
		judge_remember(core, standing);
	for (struct session *session = core->oldest; session; session = session->newer) {
		if (!standing_action_concerns(core, filter, session))
			continue;
		judge_act(core, session, &filter->action, filter->by, now, filter->index, draw);
		count++;
	}
	return count;
}

struct standing_action standing_action_of(const struct rule *rule, size_t index)
{
	return (struct standing_action){
	    .rule = rule, .index = index, .action = rule->actions.all[index], .by = rule->id};
}

/* Does it for this session, or with scope = all for every one that the rule allows, those to come included.
 */
static void act_widely(struct judgement *j, const struct rule *rule, size_t index, struct draw draw)
{
	struct standing_action filter = standing_action_of(rule, index);

	if (rule->scope == SCOPE_SESSION)
		judge_act(j->core, j->session, &filter.action, rule->id, j->input->now, index, draw);
	else
		judge_everywhere(j->core, &filter, draw, j->input->now);
}

/* ---- Actions on a datagram ---- */

void judgement_drop(struct judgement *j, enum reason reason, uint32_t decider)
{
	j->verdict->reason = (uint8_t)reason;
	j->decider = decider;
}

struct copying {
	enum origin origin;
	enum way way;
	uint32_t n;
	uint64_t id;
	const uint8_t *bytes;
	size_t size;
	ns_t offset;
	bool ahead;
	uint16_t number; /* K of "copy=K" */
	uint64_t salt;
};

/* Makes a copy that enters with the datagram; NULL where memory or max_queued is out (then it counts as
 * dropped). */
static struct datagram *copy_make(struct judgement *j, const struct copying *from)
{
	struct core *core = j->core;
	struct datagram *copy = core_datagram(core, j->session, from->way, from->size);
	struct plan plan = {.offset = from->offset, .ahead = from->ahead, .salt = from->salt};

	if (!copy)
		return NULL;
	if (from->size)
		memcpy(copy->bytes, from->bytes, from->size);
	copy->n = from->n;
	copy->id = from->id;
	copy->after = (uint32_t)(j->core->arrivals - from->id);
	copy->arrived = j->input->now;
	copy->due = j->input->now;
	copy->copy = from->number;
	copy->origin = (uint8_t)from->origin;
	copy->tos = j->datagram->tos;
	copy->plan = &plan;
	if (!path_plan_keep(core, copy)) {
		copy->plan = NULL;
		core_datagram_free(core, copy);
		return NULL;
	}
	j->verdict->copies++;
	way_of(copy)->tally.copies++;
	core_count_queued(core, copy);
	datagram_append(&j->plan->copies, copy);
	return copy;
}

/* K of "copy=K"; past the last number they share it. */
static uint16_t next_number(uint32_t copies)
{
	return (uint16_t)(copies < UINT16_MAX ? copies + 1 : UINT16_MAX);
}

/* A copy of the datagram as it is now. */
struct datagram *act_copy(struct judgement *j, enum origin origin, uint64_t salt)
{
	return copy_make(j, &(struct copying){.origin = origin,
	                        .way = j->input->way,
	                        .n = j->datagram->n,
	                        .id = j->datagram->id,
	                        .bytes = j->datagram->bytes,
	                        .size = j->datagram->size,
	                        .number = next_number(j->verdict->copies),
	                        .salt = salt});
}

static uint64_t salt_of(const struct rule *rule, size_t index, uint64_t number)
{
	return chance_mix(rule->draw_key + rule_draw(index, (unsigned)number));
}

/* Flips `count` bits, drawn or from the lowest of byte BYTE on; gives false where that reaches past the end.
 */
static bool flip(struct datagram *datagram, const struct action *action, struct draw draw, size_t index,
    struct verdict *verdict)
{
	uint64_t bits = (uint64_t)datagram->size * 8;
	uint64_t chosen[ACTION_BITS_MAX];
	uint64_t first = action->byte == ACTION_NO_BYTE ? 0 : (uint64_t)action->byte * 8;

	if (first + action->count > bits)
		return false;
	for (uint32_t i = 0; i < action->count; i++) {
		uint64_t bit = first + i;

		if (action->byte == ACTION_NO_BYTE) {
			bit = chance_below(draw, rule_draw(index, i), bits);
			/* No bit twice, or it would be whole again: the next one that is free. */
			for (uint32_t k = 0; k < i; k++)
				if (chosen[k] == bit) {
					bit = (bit + 1) % bits;
					k = UINT32_MAX;
				}
		}
		chosen[i] = bit;
		datagram->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (verdict)
			verdict_add_mutation(verdict, (struct mutation){.kind = MUTATION_CORRUPT,
			                                  .byte = (uint16_t)(bit / 8),
			                                  .value = (uint8_t)(bit % 8)});
	}
	return true;
}

static bool duplicate(struct judgement *j, const struct rule *rule, size_t index, const struct action *action)
{
	for (uint32_t k = 1; k <= action->count; k++) {
		struct datagram *copy = act_copy(j, ORIGIN_DUPLICATE, salt_of(rule, index, k));

		if (copy)
			copy->plan->offset = (ns_t)k * action->time.low;
	}
	return true;
}

static bool decoy(
    struct judgement *j, const struct rule *rule, size_t index, const struct action *action, struct draw draw)
{
	uint64_t first = action->byte == ACTION_NO_BYTE ? 0 : (uint64_t)action->byte * 8;
	struct datagram *copy;

	if (first + action->count > (uint64_t)j->datagram->size * 8)
		return false;
	copy = act_copy(j, ORIGIN_DECOY, salt_of(rule, index, 0));
	if (copy) {
		copy->plan->ahead = true;
		flip(copy, action, draw, index, NULL);
	}
	return true;
}

static bool truncate_to(struct judgement *j, uint32_t size)
{
	if (size >= j->datagram->size)
		return false;
	j->datagram->size = size;
	verdict_add_mutation(
	    j->verdict, (struct mutation){.kind = MUTATION_TRUNCATE, .byte = (uint16_t)size});
	return true;
}

static bool set_byte(struct judgement *j, const struct action *action)
{
	if (action->byte >= j->datagram->size)
		return false;
	j->datagram->bytes[action->byte] = action->value;
	verdict_add_mutation(j->verdict,
	    (struct mutation){.kind = MUTATION_SET, .byte = (uint16_t)action->byte, .value = action->value});
	return true;
}

static struct datagram *remembered(struct judgement *j, const struct action *action)
{
	const struct way_extra *kept = judgement_way(j)->extra;
	unsigned cap = j->core->config->recent + 1;

	if (action->by_kind)
		return j->session->firsts ? j->session->firsts[action->kept] : NULL;
	for (unsigned i = 0; kept->recent && i < cap; i++)
		if (kept->recent[i] && kept->recent[i]->n + action->count == j->datagram->n)
			return kept->recent[i];
	return NULL;
}

static bool replay(struct judgement *j, const struct rule *rule, size_t index, const struct action *action)
{
	struct datagram *kept = remembered(j, action);

	if (!kept)
		return false;
	kept->copy = next_number(kept->copy);
	copy_make(j, &(struct copying){.origin = ORIGIN_REPLAY,
	                 .way = (enum way)kept->way,
	                 .n = kept->n,
	                 .id = kept->id,
	                 .bytes = kept->bytes,
	                 .size = kept->size,
	                 .number = kept->copy,
	                 .salt = salt_of(rule, index, 0) + j->datagram->n});
	return true;
}

static bool inject(struct judgement *j, const struct rule *rule, size_t index, const struct action *action)
{
	copy_make(j, &(struct copying){.origin = ORIGIN_INJECT,
	                 .way = j->input->way,
	                 .n = j->datagram->n,
	                 .id = j->datagram->id,
	                 .bytes = action->bytes,
	                 .size = action->size,
	                 .number = next_number(j->verdict->copies),
	                 .salt = salt_of(rule, index, 0)});
	return true;
}

static bool start_blackout(struct judgement *j, const struct rule *rule, size_t index, struct draw draw)
{
	act_widely(j, rule, index, draw);
	switch (path_state(judgement_way(j), j->input->now)) {
	case PATH_DROPS: judgement_drop(j, REASON_BLACKOUT, rule->id); break;
	case PATH_HOLDS: j->plan->in_blackout = true; break;
	case PATH_OPEN: break;
	}
	return true;
}

/* A datagram that joins an open pack leaves with its first one: what would change its own way does nothing.
 */
static bool joins_pack(const struct judgement *j)
{
	const struct pack *open = judgement_way(j)->extra->pack;

	return open && !j->group && gather_pack_takes(open, j->datagram->size, j->plan->in_blackout);
}

/* Returns false if the action leaves the datagram alone. */
bool act_apply(struct judgement *j, struct rule_state *own, size_t index, struct draw draw)
{
	const struct rule *rule = own->rule;
	const struct action *action = &rule->actions.all[index];

	switch (action->act) {
	case ACT_DROP: judgement_drop(j, REASON_RULE, rule->id); return true;
	case ACT_DELAY:
		if (joins_pack(j))
			return false;
		j->plan->extra = ns_add(
		    j->plan->extra, chance_time(draw, rule_draw(index, 0), &action->time));
		return true;
	case ACT_HOLD:
		if (joins_pack(j))
			return false;
		if (action->either && action->count > j->plan->hold_either)
			j->plan->hold_either = action->count;
		if (!action->either && action->count > j->plan->hold_own)
			j->plan->hold_own = action->count;
		j->plan->hold_name = rule->id;
		return true;
	case ACT_DUPLICATE: return duplicate(j, rule, index, action);
	case ACT_CORRUPT: return flip(j->datagram, action, draw, index, j->verdict);
	case ACT_SET: return set_byte(j, action);
	case ACT_DECOY: return decoy(j, rule, index, action, draw);
	case ACT_TRUNCATE: return truncate_to(j, action->size);
	case ACT_REPLAY: return replay(j, rule, index, action);
	case ACT_PERMUTE:
		if (j->group || j->pack ||
		    !gather_group_join(j->core, own, action, j->datagram, j->input->now))
			return false;
		j->group = own;
		return true;
	case ACT_INJECT: return inject(j, rule, index, action);
	case ACT_PACK:
		if (j->group || (j->datagram->size > action->size && !joins_pack(j)))
			return false;
		j->pack = action;
		return true;
	case ACT_BLACKOUT: return start_blackout(j, rule, index, draw);
	case ACT_LINK:
	case ACT_REBIND: act_widely(j, rule, index, draw); return true;
	case ACT_BYPASS:
		if (joins_pack(j))
			return false;
		j->bypass = true;
		return true;
	case ACT_NOTE:
		core_event(j->core, j->session, j->input->now, "note by=%s dir=%s n=%u",
		    names_get(j->core->names, rule->id), verdict_ways[j->input->way], j->input->n);
		return true;
	case ACT_COUNT: break;
	}
	return false;
}
