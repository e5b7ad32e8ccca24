/* SPDX-License-Identifier: BSD-2-Clause */
/* act: carries out the actions of a rule that fires, on the datagram that made it fire. */
#include <string.h>

#include "rules/inside.h"

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
