/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * act: carries out the actions of a rule that fires, on the datagram that made it fire and on its session,
 * and restarts the counts of the rules that have it as their `since`.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "rules/inside.h"

/* ---- Counting and restarting ---- */

struct rule_state *act_state(struct core *core, struct session *session, struct rule_state *own)
{
	struct rule_state *state;

	if (own->rule->scope == SCOPE_ALL)
		return &core->shared_rules[own->rule->index];
	state = own->rule->scope == SCOPE_DEVICE ? station_state(session->station, own->rule) : NULL;
	return state ? state : own;
}

/* Whom something concerns: one session, all of a station, or (both NULL) all. */
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
	struct rule_state *state = act_state(core, session, own);
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

void act_rule_fired(
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

void act_rule_fired_outside(struct core *core, struct session *session, const struct rule *rule, ns_t now)
{
	struct rule_state *own = session ? find_state(session, rule->index)
	                                 : &core->shared_rules[rule->index];

	if (own)
		act_rule_fired(core, session, NULL, session ? act_state(core, session, own) : own, now);
	else
		core->totals[rule->index].fired++; /* the rule does not apply to this session */
}

/* ---- Actions without a datagram ---- */

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

void standing_action_add(struct core *core, struct standing_action standing)
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

/* Carries out an action for this session, for all of its device (scope = device), or for all sessions that
 * the rule admits (scope = all); the last two include later ones. */
static void act_in_scope(struct judgement *j, const struct rule *rule, size_t index, struct draw draw)
{
	struct standing_action filter = standing_action_of(rule, index);

	if (rule->scope == SCOPE_DEVICE && j->session->station)
		act_on_station(
		    j->core, j->session->station, &filter.action, rule->id, j->input->now, index, draw);
	else if (rule->scope != SCOPE_ALL)
		act_on_session(
		    j->core, j->session, &filter.action, rule->id, j->input->now, index, draw, REACH_SESSION);
	else
		act_on_all(j->core, &filter, draw, j->input->now);
}

/* ---- Actions on a datagram ---- */

void judgement_drop(struct judgement *j, enum reason reason, uint32_t decider)
{
	j->verdict->reason = (uint8_t)reason;
	j->decider = decider;
}

struct copy_source {
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

/* Makes a copy that enters the link with the datagram; returns NULL if out of memory. */
static struct datagram *make_copy(struct judgement *j, const struct copy_source *from)
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
	if (!path_plan_to_heap(core, copy)) {
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

/* Returns K of the next "copy=K"; all copies from UINT16_MAX on share that number. */
static uint16_t next_copy_number(uint32_t copies)
{
	return (uint16_t)(copies < UINT16_MAX ? copies + 1 : UINT16_MAX);
}

struct datagram *act_copy(struct judgement *j, enum origin origin, uint64_t salt)
{
	return make_copy(j, &(struct copy_source){.origin = origin,
	                        .way = j->input->way,
	                        .n = j->datagram->n,
	                        .id = j->datagram->id,
	                        .bytes = j->datagram->bytes,
	                        .size = j->datagram->size,
	                        .number = next_copy_number(j->verdict->copies),
	                        .salt = salt});
}

static uint64_t copy_salt(const struct rule *rule, size_t index, uint64_t number)
{
	return chance_mix(rule->draw_key + rule_draw(index, (unsigned)number));
}

/* Flips `count` bits, at drawn positions or from the lowest bit of byte BYTE on. Returns false if these reach
 * past the datagram's end. */
static bool flip_bits(struct datagram *datagram, const struct action *action, struct draw draw, size_t index,
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
			/* Never flip a bit twice, which would restore it: take the next free one. */
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

static bool act_duplicate(
    struct judgement *j, const struct rule *rule, size_t index, const struct action *action)
{
	for (uint32_t k = 1; k <= action->count; k++) {
		struct datagram *copy = act_copy(j, ORIGIN_DUPLICATE, copy_salt(rule, index, k));

		if (copy)
			copy->plan->offset = (ns_t)k * action->time.low;
	}
	return true;
}

static bool act_decoy(
    struct judgement *j, const struct rule *rule, size_t index, const struct action *action, struct draw draw)
{
	uint64_t first = action->byte == ACTION_NO_BYTE ? 0 : (uint64_t)action->byte * 8;
	struct datagram *copy;

	if (first + action->count > (uint64_t)j->datagram->size * 8)
		return false;
	copy = act_copy(j, ORIGIN_DECOY, copy_salt(rule, index, 0));
	if (copy) {
		copy->plan->ahead = true;
		flip_bits(copy, action, draw, index, NULL);
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

static struct datagram *find_recorded(struct judgement *j, const struct action *action)
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

static bool act_replay(
    struct judgement *j, const struct rule *rule, size_t index, const struct action *action)
{
	struct datagram *kept = find_recorded(j, action);

	if (!kept)
		return false;
	kept->copy = next_copy_number(kept->copy);
	make_copy(j, &(struct copy_source){.origin = ORIGIN_REPLAY,
	                 .way = (enum way)kept->way,
	                 .n = kept->n,
	                 .id = kept->id,
	                 .bytes = kept->bytes,
	                 .size = kept->size,
	                 .number = kept->copy,
	                 .salt = copy_salt(rule, index, 0) + j->datagram->n});
	return true;
}

static bool act_inject(
    struct judgement *j, const struct rule *rule, size_t index, const struct action *action)
{
	make_copy(j, &(struct copy_source){.origin = ORIGIN_INJECT,
	                 .way = j->input->way,
	                 .n = j->datagram->n,
	                 .id = j->datagram->id,
	                 .bytes = action->bytes,
	                 .size = action->size,
	                 .number = next_copy_number(j->verdict->copies),
	                 .salt = copy_salt(rule, index, 0)});
	return true;
}

static bool start_blackout(struct judgement *j, const struct rule *rule, size_t index, struct draw draw)
{
	act_in_scope(j, rule, index, draw);
	switch (path_state(judgement_way(j), j->input->now)) {
	case PATH_DROPS: judgement_drop(j, REASON_BLACKOUT, rule->id); break;
	case PATH_HOLDS: j->plan->in_blackout = true; break;
	case PATH_OPEN: break;
	}
	return true;
}

/* Returns whether the datagram will join an open pack. It then leaves when the pack does, so actions that
 * affect its delay have no effect. */
static bool will_join_pack(const struct judgement *j)
{
	const struct pack *open = judgement_way(j)->extra->pack;

	return open && !j->group && gather_pack_takes(open, j->datagram->size, j->plan->in_blackout);
}

bool act_apply(struct judgement *j, struct rule_state *own, size_t index, struct draw draw)
{
	const struct rule *rule = own->rule;
	const struct action *action = &rule->actions.all[index];

	switch (action->act) {
	case ACT_DROP: judgement_drop(j, REASON_RULE, rule->id); return true;
	case ACT_DELAY:
		if (will_join_pack(j))
			return false;
		j->plan->extra = ns_add(
		    j->plan->extra, chance_time(draw, rule_draw(index, 0), &action->time));
		return true;
	case ACT_HOLD:
		if (will_join_pack(j))
			return false;
		if (action->either && action->count > j->plan->hold_either)
			j->plan->hold_either = action->count;
		if (!action->either && action->count > j->plan->hold_own)
			j->plan->hold_own = action->count;
		j->plan->hold_name = rule->id;
		return true;
	case ACT_DUPLICATE: return act_duplicate(j, rule, index, action);
	case ACT_CORRUPT: return flip_bits(j->datagram, action, draw, index, j->verdict);
	case ACT_SET: return set_byte(j, action);
	case ACT_DECOY: return act_decoy(j, rule, index, action, draw);
	case ACT_TRUNCATE: return truncate_to(j, action->size);
	case ACT_REPLAY: return act_replay(j, rule, index, action);
	case ACT_PERMUTE:
		if (j->group || j->pack ||
		    !gather_group_join(j->core, own, action, j->datagram, j->input->now))
			return false;
		j->group = own;
		return true;
	case ACT_INJECT: return act_inject(j, rule, index, action);
	case ACT_PACK:
		if (j->group || (j->datagram->size > action->size && !will_join_pack(j)))
			return false;
		j->pack = action;
		return true;
	case ACT_BLACKOUT: return start_blackout(j, rule, index, draw);
	case ACT_LINK:
	case ACT_REBIND:
	case ACT_UPSTREAM: act_in_scope(j, rule, index, draw); return true;
	case ACT_BYPASS:
		if (will_join_pack(j))
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
