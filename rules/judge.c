/*
 * judge: a datagram arrives: what the rules make of it, and what the link decides at once.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "rules/inside.h"

/* One datagram while it is judged. */
struct judging {
	struct core *core;
	struct session *session;
	const struct sight *sight;
	struct datagram *datagram; /* NULL where a blackout took it before the rules */
	struct plan *plan;
	struct verdict *verdict;
	uint16_t decider;              /* name of the rule that dropped it */
	struct rule_state *group;      /* whose group it joined */
	const struct action *pack;     /* that wants it packed */
	bool bypass;
};

static struct session_way *own_way(const struct judging *j)
{
	return &j->session->ways[j->sight->way];
}

/* ---- Counting and restarting ---- */

static struct rule_state *state_of(struct core *core, struct rule_state *own)
{
	return own->rule->scope == SCOPE_ALL ? &core->shared[own->rule->index] : own;
}

static struct rule_state *find_state(struct session *session, unsigned rule)
{
	for (size_t i = 0; i < session->rule_count; i++)
		if (session->rules[i].rule->index == rule)
			return &session->rules[i];
	return NULL;
}

static struct restart *restart_of(struct rule_state *state, ns_t now, uint64_t seen)
{
	if (!state->restart)
		state->restart = calloc(1, sizeof(*state->restart));
	assert(state->restart);
	state->restart->at = now;
	state->restart->seen = seen;
	return state->restart;
}

/* What is counted in the session itself, whatever the rule's scope: bytes carried, and attempts. */
static void restart_own(struct session *session, struct rule_state *own, ns_t now)
{
	struct restart *anew = restart_of(own, now, session->seen);

	for (int way = 0; way < WAYS; way++) {
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

/* Every count and time of a watching rule starts anew, with the next datagram: in the session where the other one
 * fired (NULL: in all), or where its scope is all sessions in all of them. */
static void restart(struct core *core, struct session *session, const struct rule *watcher, ns_t now)
{
	struct rule_state *own;
	bool all = watcher->scope == SCOPE_ALL;
	bool only = session && !all;

	if (all) {
		restart_of(&core->shared[watcher->index], now, core->seen_all);
		restart_counts(core, NULL, &core->shared[watcher->index], now);
	}
	for (struct session *s = only ? session : core->oldest; s; s = only ? NULL : s->newer) {
		if (!(own = find_state(s, watcher->index)))
			continue;
		restart_own(s, own, now);
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

/* ---- Actions without a datagram ---- */

static void blackout(struct core *core, struct session *session, const struct action *action, ns_t length, uint16_t by,
    ns_t now)
{
	ns_t until = ns_add(now, length);
	bool raised = false;
	char time[32];
	const char *ways = action->ways[WAY_UP] && action->ways[WAY_DOWN] ? ""
	                   : action->ways[WAY_UP]                        ? " up"
	                                                                 : " down";

	for (int w = 0; w < WAYS; w++) {
		struct session_way *way = &session->ways[w];
		ns_t *dark = action->mode == BLACKOUT_HOLD ? &way->dark_hold : &way->dark_drop;

		if (!action->ways[w] || *dark >= until)
			continue;
		*dark = until;
		raised = true;
		*(action->mode == BLACKOUT_HOLD ? &way->hold_by : &way->drop_by) = by;
	}
	if (raised)
		timer_dark_set(core, session, now);
	core_event(core, session, now, "blackout-begins %s%s%s by=%s", units_time_text(length, time, sizeof(time)), ways,
	    action->mode == BLACKOUT_HOLD ? " hold" : "", names_get(core->names, by));
}

static void link_change(struct core *core, struct session *session, unsigned link, uint16_t by, ns_t now)
{
	session->link = &core->config->links[link];
	session->link_set = true;
	core_event(core, session, now, "link %s by=%s", session->link->name, names_get(core->names, by));
}

void judge_act(struct core *core, struct session *session, const struct action *action, uint16_t by, ns_t now,
    size_t index, struct draw draw)
{
	switch (action->act) {
	case ACT_BLACKOUT:
		blackout(core, session, action, chance_time(draw, rule_draw(index, 0), &action->time), by, now);
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

void judge_remember(struct core *core, struct standing standing)
{
	size_t kept = 0;

	/* What is over, and what this one takes the place of, goes. */
	for (size_t i = 0; i < core->standing_count; i++) {
		struct standing *s = &core->standing[i];
		bool over = s->action->act == ACT_BLACKOUT && s->until <= core->now;

		if (!over && !(s->action == standing.action && s->action->act == ACT_LINK))
			core->standing[kept++] = *s;
	}
	core->standing_count = kept;
	if (kept == core->standing_room) {
		core->standing_room = kept ? 2 * kept : 8;
		core->standing = realloc(core->standing, core->standing_room * sizeof(*core->standing));
		assert(core->standing);
	}
	core->standing[core->standing_count++] = standing;
}

/* Does it for this session, or with scope = all for every one that the rule allows, those to come included. */
static void act_widely(struct judging *j, const struct rule *rule, size_t index, struct draw draw)
{
	const struct action *action = &rule->actions.all[index];
	struct core *core = j->core;

	if (rule->scope == SCOPE_SESSION) {
		judge_act(core, j->session, action, rule->id, j->sight->now, index, draw);
		return;
	}
	if (action->act != ACT_REBIND)
		judge_remember(core, (struct standing){.rule = rule,
	                         .action = action,
	                         .until = ns_add(j->sight->now,
	                             chance_time(draw, rule_draw(index, 0), &action->time))});
	for (struct session *s = core->oldest; s; s = s->newer)
		if (rule_concerns(rule, s, core->config))
			judge_act(core, s, action, rule->id, j->sight->now, index, draw);
}

/* ---- Actions on a datagram ---- */

static void drop(struct judging *j, enum reason reason, uint16_t decider)
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

/* Makes a copy that enters with the datagram; NULL where memory or max_queued is out (then it counts as dropped). */
static struct datagram *copy_make(struct judging *j, const struct copying *from)
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
	copy->order = j->core->arrivals;
	copy->arrived = j->sight->now;
	copy->due = j->sight->now;
	copy->copy = from->number;
	copy->origin = (uint8_t)from->origin;
	copy->tos = j->datagram->tos;
	copy->plan = &plan;
	path_plan_keep(copy);
	j->verdict->copies++;
	way_of(copy)->account.copies++;
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
static struct datagram *copy_own(struct judging *j, enum origin origin, uint64_t salt)
{
	return copy_make(j, &(struct copying){.origin = origin,
	                        .way = j->sight->way,
	                        .n = j->datagram->n,
	                        .id = j->datagram->id,
	                        .bytes = j->datagram->bytes,
	                        .size = j->datagram->size,
	                        .number = next_number(j->verdict->copies),
	                        .salt = salt});
}

static uint64_t salt_of(const struct rule *rule, size_t index, uint64_t number)
{
	return chance_mix(rule->luck + rule_draw(index, (unsigned)number));
}

/* Flips `count` bits, drawn or from the lowest of byte BYTE on; gives false where that reaches past the end. */
static bool flip(
    struct datagram *datagram, const struct action *action, struct draw draw, size_t index, struct verdict *verdict)
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
			verdict_deed(verdict, (struct deed){.kind = DEED_CORRUPT,
			                          .byte = (uint16_t)(bit / 8),
			                          .value = (uint8_t)(bit % 8)});
	}
	return true;
}

static bool duplicate(struct judging *j, const struct rule *rule, size_t index, const struct action *action)
{
	for (uint32_t k = 1; k <= action->count; k++) {
		struct datagram *copy = copy_own(j, ORIGIN_DUPLICATE, salt_of(rule, index, k));

		if (copy)
			copy->plan->offset = (ns_t)k * action->time.low;
	}
	return true;
}

static bool decoy(
    struct judging *j, const struct rule *rule, size_t index, const struct action *action, struct draw draw)
{
	uint64_t first = action->byte == ACTION_NO_BYTE ? 0 : (uint64_t)action->byte * 8;
	struct datagram *copy;

	if (first + action->count > (uint64_t)j->datagram->size * 8)
		return false;
	copy = copy_own(j, ORIGIN_DECOY, salt_of(rule, index, 0));
	if (copy) {
		copy->plan->ahead = true;
		flip(copy, action, draw, index, NULL);
	}
	return true;
}

static bool truncate_to(struct judging *j, uint32_t size)
{
	if (size >= j->datagram->size)
		return false;
	j->datagram->size = size;
	verdict_deed(j->verdict, (struct deed){.kind = DEED_TRUNCATE, .byte = (uint16_t)size});
	return true;
}

static bool set_byte(struct judging *j, const struct action *action)
{
	if (action->byte >= j->datagram->size)
		return false;
	j->datagram->bytes[action->byte] = action->value;
	verdict_deed(
	    j->verdict, (struct deed){.kind = DEED_SET, .byte = (uint16_t)action->byte, .value = action->value});
	return true;
}

static struct datagram *remembered(struct judging *j, const struct action *action)
{
	struct session_way *way = own_way(j);
	unsigned room = j->core->config->recent + 1;

	if (action->by_kind)
		return j->session->firsts ? j->session->firsts[action->kept] : NULL;
	for (unsigned i = 0; way->recent && i < room; i++)
		if (way->recent[i] && way->recent[i]->n + action->count == j->datagram->n)
			return way->recent[i];
	return NULL;
}

static bool replay(struct judging *j, const struct rule *rule, size_t index, const struct action *action)
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

static bool inject(struct judging *j, const struct rule *rule, size_t index, const struct action *action)
{
	copy_make(j, &(struct copying){.origin = ORIGIN_INJECT,
	                 .way = j->sight->way,
	                 .n = j->datagram->n,
	                 .id = j->datagram->id,
	                 .bytes = action->bytes,
	                 .size = action->size,
	                 .number = next_number(j->verdict->copies),
	                 .salt = salt_of(rule, index, 0)});
	return true;
}

static bool start_blackout(struct judging *j, const struct rule *rule, size_t index, struct draw draw)
{
	act_widely(j, rule, index, draw);
	switch (path_dark(own_way(j), j->sight->now)) {
	case DARK_DROP: drop(j, REASON_BLACKOUT, rule->id); break;
	case DARK_HOLD: j->plan->in_blackout = true; break;
	case DARK_NOT: break;
	}
	return true;
}

/* Gives false where the action leaves the datagram alone. */
static bool apply(struct judging *j, struct rule_state *own, size_t index, struct draw draw)
{
	const struct rule *rule = own->rule;
	const struct action *action = &rule->actions.all[index];

	switch (action->act) {
	case ACT_DROP: drop(j, REASON_RULE, rule->id); return true;
	case ACT_DELAY:
		j->plan->extra = ns_add(j->plan->extra, chance_time(draw, rule_draw(index, 0), &action->time));
		return true;
	case ACT_HOLD:
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
		if (j->group || j->pack)
			return false;
		j->group = own;
		path_group_join(j->core, own, action, j->datagram, j->sight->now);
		return true;
	case ACT_INJECT: return inject(j, rule, index, action);
	case ACT_PACK:
		if (j->group)
			return false;
		j->pack = action;
		return true;
	case ACT_BLACKOUT: return start_blackout(j, rule, index, draw);
	case ACT_LINK:
	case ACT_REBIND: act_widely(j, rule, index, draw); return true;
	case ACT_BYPASS: j->bypass = true; return true;
	case ACT_NOTE:
		core_event(j->core, j->session, j->sight->now, "note by=%s dir=%s n=%u",
		    names_get(j->core->names, rule->id), verdict_ways[j->sight->way], j->sight->n);
		return true;
	case ACT_COUNT: break;
	}
	return false;
}

static void judge_rules(struct judging *j)
{
	struct session *session = j->session;

	for (size_t i = 0; i < session->rule_count; i++) {
		struct rule_state *own = &session->rules[i];
		struct rule_state *state = state_of(j->core, own);
		const struct rule *rule = own->rule;
		struct draw draw;
		bool acted = false;

		if (!rule_matches(state, own, j->sight, rule->scope == SCOPE_ALL ? j->core->began : session->began))
			continue;
		j->core->totals[rule->index].matched++;
		if (j->verdict->reason)
			continue;
		draw = chance_draw(session->key, j->sight->way, j->sight->n, rule->luck);
		if (!rule_fires(state, j->sight, draw))
			continue;
		for (size_t k = 0; k < rule->actions.count && !j->verdict->reason; k++)
			acted |= apply(j, own, k, draw);
		if (!acted)
			continue;
		verdict_by(j->verdict, rule->id);
		judge_fired(j->core, session, state, j->sight->now);
	}
}

/* ---- Remembering for replays ---- */

static struct datagram *snapshot(struct core *core, const struct sight *sight, uint64_t id)
{
	struct datagram *kept = pool_get(core->pool, sight->size);

	if (!kept)
		return NULL;
	if (sight->size)
		memcpy(kept->bytes, sight->bytes, sight->size);
	kept->n = sight->n;
	kept->id = id;
	kept->way = (uint8_t)sight->way;
	return kept;
}

static void remember_recent(struct core *core, struct session_way *way, const struct sight *sight)
{
	unsigned room = core->config->recent + 1;

	if (!core->config->recent)
		return;
	if (!way->recent && !(way->recent = calloc(room, sizeof(struct datagram *))))
		return;
	way->recent_room = room;
	if (way->recent[way->recent_next])
		pool_put(core->pool, way->recent[way->recent_next]);
	way->recent[way->recent_next] = snapshot(core, sight, core->arrivals);
	way->recent_next = (way->recent_next + 1) % room;
}

static void remember_firsts(struct core *core, struct session *session, const struct sight *sight)
{
	for (size_t i = 0; i < core->config->first_count; i++) {
		if (!session->firsts)
			session->firsts = calloc(core->config->first_count, sizeof(struct datagram *));
		session->first_count = (unsigned)core->config->first_count;
		if (session->firsts && !session->firsts[i] && kinds_match(&core->config->firsts[i], sight->peek, sight))
			session->firsts[i] = snapshot(core, sight, core->arrivals);
	}
}

/* Copies made of the newest so far: a later replay of it counts on from there. */
static void remember_copies(struct core *core, struct session *session, const struct sight *sight, uint32_t copies)
{
	struct session_way *way = &session->ways[sight->way];

	for (unsigned i = 0; way->recent && i <= core->config->recent; i++)
		if (way->recent[i] && way->recent[i]->n == sight->n && way->recent[i]->copy < copies)
			way->recent[i]->copy = (uint16_t)(copies < UINT16_MAX ? copies : UINT16_MAX);
	for (size_t i = 0; session->firsts && i < core->config->first_count; i++) {
		struct datagram *first = session->firsts[i];

		if (first && first->n == sight->n && first->way == sight->way && first->copy < copies)
			first->copy = (uint16_t)(copies < UINT16_MAX ? copies : UINT16_MAX);
	}
}

/* ---- The link's part ---- */

static void link_copy(struct judging *j, struct link_state *link)
{
	struct datagram_list others = j->plan->copies;
	struct datagram *copy, *other;

	j->plan->copies = (struct datagram_list){0};
	copy = copy_own(j, ORIGIN_LINK, chance_mix(link->link->luck));
	if (copy)
		link_decide_copy(link, copy, copy->plan);
	while ((other = datagram_take(&others)))
		datagram_append(&j->plan->copies, other);
}

static void decide_copies(struct judging *j, bool in_blackout)
{
	struct link_state *link = core_link_state(j->session, j->session->link);
	struct datagram_list all = j->plan->copies;
	struct datagram *copy;

	j->plan->copies = (struct datagram_list){0};
	while ((copy = datagram_take(&all))) {
		struct link_decision decision = {0};

		copy->plan->in_blackout = in_blackout;
		link_step(link, (enum way)copy->way, j->session->ways[copy->way].n);
		if (j->core->queued_bytes > j->core->limits.max_queued)
			decision.reason = REASON_OVERLOAD;
		else if (copy->origin != ORIGIN_LINK)
			link_decide(link, LINK_COPY, copy, copy->plan, &decision);
		if (!decision.reason) {
			datagram_append(&j->plan->copies, copy);
			continue;
		}
		free(copy->plan);
		copy->plan = NULL;
		core_unsent(j->core, copy, decision.reason, j->sight->now);
	}
}

static void decide_own(struct judging *j)
{
	struct link_state *link = core_link_state(j->session, j->session->link);
	struct link_decision decision;

	verdict_by(j->verdict, link->link->id);
	link_decide(link, LINK_ORIGINAL, j->datagram, j->plan, &decision);
	if (decision.corrupted)
		verdict_deed(j->verdict, decision.deed);
	if (decision.reason)
		drop(j, decision.reason, link->link->id);
	else if (decision.twice)
		link_copy(j, link);
}

/* The one that decided stands first. */
static void decider_first(struct verdict *verdict, uint16_t decider)
{
	unsigned at = 0;

	if (!decider)
		return;
	verdict_by(verdict, decider);
	while (at < verdict->by_count && verdict->by[at] != decider)
		at++;
	if (at == verdict->by_count)
		at--; /* the list was full: it takes the last place's */
	memmove(&verdict->by[1], &verdict->by[0], at * sizeof(verdict->by[0]));
	verdict->by[0] = decider;
}

static void orphans_enter(struct judging *j)
{
	struct datagram_list copies = j->plan->copies;
	struct datagram *copy;

	j->plan->copies = (struct datagram_list){0};
	while ((copy = datagram_take(&copies))) {
		if (copy->plan->offset == 0 ||
		    schedule_put(j->core->schedule, ns_add(j->sight->now, copy->plan->offset), copy->order,
		        SCHEDULE_ENTERS, copy))
			path_enter(j->core, copy, j->sight->now, NULL);
	}
}

static bool corrupted(const struct verdict *verdict)
{
	for (unsigned i = 0; i < verdict->deed_count; i++)
		if (verdict->deeds[i].kind == DEED_CORRUPT)
			return true;
	return false;
}

/* The group that it joined may be whole now. */
static void group_finish(struct judging *j)
{
	for (int w = 0; w < WAYS; w++) {
		struct group *group = j->group->groups[w];

		if (group && group->count && group->count == group->size)
			path_group_send(j->core, group, j->sight->now);
	}
}

/* Not dropped by a rule or the link: into what holds it, or across the link. */
static void set_off(struct judging *j)
{
	struct session_way *way = own_way(j);
	struct verdict *verdict = j->verdict;
	ns_t now = j->sight->now;
	bool dark = j->plan->in_blackout && path_dark(way, now) != DARK_NOT;

	if (j->session->unresolved && j->sight->way == WAY_UP)
		verdict->hold = HOLD_LOOKUP;
	if (j->plan->lost_at_exit && (dark || j->group))
		path_make_ghost(j->core, j->datagram, verdict);
	if (j->group) {
		path_plan_keep(j->datagram);
		if (!verdict->hold && !verdict->reason) {
			verdict->hold = HOLD_RULE;
			verdict->hold_name = j->group->rule->id;
		}
		group_finish(j);
		return;
	}
	if (dark && verdict->reason) { /* a ghost */
		path_plan_keep(j->datagram);
		path_enter(j->core, j->datagram, now, NULL);
		return;
	}
	path_enter(j->core, j->datagram, now, verdict);
}

/* Does it go into a pack: the open one where it fits, else one of its own where a rule says so? */
static bool packs(struct judging *j)
{
	struct session_way *way = own_way(j);
	size_t size = j->datagram->size;

	if (j->group)
		return false;
	/* What a blackout holds and what it does not hold cannot leave together. */
	if (way->pack && way->pack->size + size <= way->pack->most &&
	    way->pack->parts.first->plan->in_blackout == j->plan->in_blackout)
		return true;
	if (way->pack)
		path_pack_send(j->core, way, j->sight->now);
	return j->pack && size <= j->pack->size;
}

static void pack(struct judging *j)
{
	j->plan->link = j->bypass ? NULL : core_link_state(j->session, j->session->link);
	if (!j->bypass)
		verdict_by(j->verdict, j->session->link->id);
	path_pack_join(j->core, j->datagram, j->pack ? j->pack->time.low : 0, j->pack ? j->pack->size : 0, j->sight->now);
	j->verdict->hold = HOLD_PACK;
}

static void dropped(struct judging *j)
{
	own_way(j)->account.dropped[j->verdict->reason]++;
	if (j->group)
		path_group_leave(j->group, j->datagram);
	core_datagram_free(j->core, j->datagram);
	orphans_enter(j);
	if (j->group)
		group_finish(j);
}

/* Behind the rules: the link decides, then the datagram and its copies set off, or die. */
static void finish(struct judging *j)
{
	struct verdict *verdict = j->verdict;
	struct session_way *way = own_way(j);
	bool packed = false;

	if (!verdict->reason) {
		core_count_queued(j->core, j->datagram);
		packed = packs(j);
		if (!packed && !j->bypass)
			decide_own(j);
		if (verdict->reason) {
			way->account.queued--;
			j->core->queued_bytes -= j->datagram->size;
		}
	}
	decide_copies(j, j->plan->in_blackout);
	if (corrupted(verdict))
		way->account.corrupted++;
	if (verdict->reason)
		dropped(j);
	else if (packed)
		pack(j);
	else
		set_off(j);
	if (verdict->reason)
		decider_first(verdict, j->decider ? j->decider : j->session->link->id);
}

/* ---- Arrival ---- */

static void verdict_start(
    struct verdict *verdict, const struct session *session, const struct arrival *arrival, uint32_t n)
{
	/* The lists behind are filled as far as their counts say. */
	memset(verdict, 0, offsetof(struct verdict, by));
	verdict->session = session ? session->number : 0;
	verdict->n = n;
	verdict->size = (uint32_t)arrival->size;
	verdict->way = (uint8_t)arrival->way;
	verdict->delay = NS_UNKNOWN;
	verdict->type = DTLS_NONE;
	verdict->device = session && session->section ? session->section->id : 0;
}

/* What its records are, for the capture alone: nothing is learned from a datagram that no rule sees. */
static void tell_records(
    struct verdict *verdict, const struct dtls_session *known, const struct arrival *arrival)
{
	struct dtls_session session = *known;
	struct dtls_peek peek;

	dtls_look(&session, arrival->way, arrival->bytes, arrival->size, &peek);
	verdict->type = peek.first.type;
	verdict->epoch = peek.first.epoch;
	verdict->number = peek.first.number;
}

void core_refuse(struct core *core, enum reason reason, const struct arrival *arrival, struct verdict *verdict)
{
	struct account *account = &core->refused[arrival->way];
	struct dtls_session strange;

	core->arrivals++;
	account->received++;
	account->bytes += arrival->size;
	account->dropped[reason]++;
	verdict_start(verdict, NULL, arrival, (uint32_t)account->received);
	verdict->reason = (uint8_t)reason;
	dtls_init(&strange);
	tell_records(verdict, &strange, arrival);
}

static void look(struct core *core, struct session *session, const struct arrival *arrival, struct dtls_peek *peek,
    struct sight *sight)
{
	struct session_way *way = &session->ways[arrival->way];

	dtls_look(&session->dtls, arrival->way, arrival->bytes, arrival->size, peek);
	if (peek->new_hello) {
		session->handshakes++;
		for (int w = 0; w < WAYS; w++) {
			attempts_clear(&session->ways[w].attempts);
			for (size_t i = 0; i < session->rule_count; i++)
				if (session->rules[i].restart)
					attempts_clear(&session->rules[i].restart->attempts[w]);
		}
	}
	way->carried += arrival->size;
	*sight = (struct sight){.session = session,
	    .way = arrival->way,
	    .bytes = arrival->bytes,
	    .size = arrival->size,
	    .n = way->n,
	    .now = arrival->at,
	    .seen = ++session->seen,
	    .seen_all = ++core->seen_all,
	    .carried = way->carried,
	    .peek = peek};
	if (core->config->any_attempt && peek->message.there)
		sight->attempt = attempts_count(&way->attempts, &peek->message);
}

void core_arrive(struct core *core, struct session *session, const struct arrival *arrival, struct verdict *verdict)
{
	struct session_way *way = &session->ways[arrival->way];
	struct plan plan = {0};
	struct dtls_peek peek;
	struct sight sight;
	struct judging j = {.core = core, .session = session, .sight = &sight, .plan = &plan, .verdict = verdict};
	enum dark dark;

	core->arrivals++;
	core_session_touch(core, session, arrival->way, arrival->at);
	way->n++;
	way->account.received++;
	way->account.bytes += arrival->size;
	verdict_start(verdict, session, arrival, way->n);
	if (core->queued_bytes + arrival->size > core->limits.max_queued)
		drop(&j, REASON_OVERLOAD, 0);
	else if (!(j.datagram = core_datagram(core, session, arrival->way, arrival->size)))
		drop(&j, REASON_OVERLOAD, 0);
	if (verdict->reason) {
		way->account.dropped[REASON_OVERLOAD]++;
		tell_records(verdict, &session->dtls, arrival);
		/* It is too much to take in, but the device has sent: what slept until then makes room. */
		if (arrival->way == WAY_UP)
			path_wake(core, session, arrival->at);
		return;
	}
	j.datagram->n = way->n;
	j.datagram->id = j.datagram->order = core->arrivals;
	j.datagram->arrived = j.datagram->due = arrival->at;
	j.datagram->tos = arrival->tos;
	j.datagram->plan = &plan;
	if (arrival->size)
		memcpy(j.datagram->bytes, arrival->bytes, arrival->size);

	if (arrival->way == WAY_DOWN) {
		/* A NAT that has forgotten is silent: no rule sees what comes to it. */
		if (!nat_lives(&session->nat, session->section, arrival->mapping, arrival->at)) {
			core_datagram_free(core, j.datagram);
			drop(&j, REASON_NAT_EXPIRED, 0);
			way->account.dropped[REASON_NAT_EXPIRED]++;
			tell_records(verdict, &session->dtls, arrival);
			return;
		}
		nat_in(&session->nat, session->section, arrival->at);
		timer_nat_arm(core, session);
	}
	look(core, session, arrival, &peek, &sight);
	verdict->type = peek.first.type;
	verdict->epoch = peek.first.epoch;
	verdict->number = peek.first.number;
	remember_recent(core, way, &sight);
	remember_firsts(core, session, &sight);

	dark = path_dark(way, arrival->at);
	if (dark == DARK_DROP)
		drop(&j, REASON_BLACKOUT, way->drop_by);
	plan.in_blackout = dark == DARK_HOLD;
	judge_rules(&j);
	finish(&j);
	if (verdict->copies)
		remember_copies(core, session, &sight, verdict->copies);
	/* Behind it: the datagram that wakes the radio pays for that itself. */
	if (arrival->way == WAY_UP)
		path_wake(core, session, arrival->at);
}

uint64_t core_arrivals(const struct core *core)
{
	return core->arrivals;
}
