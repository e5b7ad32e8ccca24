/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather: datagrams that wait for one another before the link: the groups of `permute`, and the packs of
 * `pack`, whose parts are joined into one datagram when the pack leaves.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rules/inside.h"

/* ---- Groups ---- */

bool gather_group_join(struct core *core, struct rule_state *state, const struct action *action,
    struct datagram *datagram, ns_t now)
{
	int w = state->rule->way == RULE_EITHER ? 0 : datagram->way;
	struct group *group = state->groups[w];

	if (!group) {
		group = core_alloc(core, sizeof(*group));
		if (!group)
			return false;
		state->groups[w] = group;
	}
	if (group->count == 0) {
		timer_set(core, &group->timer, TIMER_GROUP, datagram->session, group, ns_add(now, HOLD_MAX));
		if (!group->timer)
			return false;
		group->size = action->count;
		memcpy(group->order, action->order, sizeof(group->order));
	}
	assert(group->count < ACTION_PERMUTE_MAX);
	group->slots[group->count++] = datagram;
	return true;
}

/* Called for a datagram that is dropped after joining: its place in the group stays empty. */
void gather_group_leave(struct rule_state *state, struct datagram *datagram)
{
	for (int w = 0; w < WAYS; w++)
		for (uint32_t i = 0; state->groups[w] && i < state->groups[w]->count; i++)
			if (state->groups[w]->slots[i] == datagram)
				state->groups[w]->slots[i] = NULL;
}

/* A complete group is sent in the rule's order; one that timed out incomplete, in order of arrival. */
void gather_group_send(struct core *core, struct group *group, ns_t now)
{
	struct group members;
	bool is_complete = group->count == group->size;

	timer_cancel(core, &group->timer);
	members = *group;
	*group = (struct group){0};
	for (uint32_t i = 0; i < members.count; i++) {
		struct datagram *datagram = members.slots[is_complete ? members.order[i] : i];

		if (!datagram)
			continue;
		/* Among equal due times it is ordered as if it arrived now. */
		datagram->after = (uint32_t)(datagram->session->newest - datagram->id);
		path_enter(core, datagram, now, NULL);
	}
}

/* ---- Packs ---- */

static struct pack *pack_new(struct core *core, struct session *session, struct session_way *way, ns_t due)
{
	struct pack *pack = core_alloc(core, sizeof(*pack));

	if (!pack)
		return NULL;
	timer_set(core, &pack->timer, TIMER_PACK, session, way, due);
	if (pack->timer)
		return pack;
	free(pack);
	return NULL;
}

bool gather_pack_takes(const struct pack *pack, size_t size, bool in_blackout)
{
	return pack->size + size <= pack->max && pack->parts.first->plan->in_blackout == in_blackout;
}

int gather_pack_join(struct core *core, struct datagram *datagram, ns_t wait, size_t max, ns_t now)
{
	struct session_way *way = way_of(datagram);
	struct way_extra *extra = core_way_extra(core, way);
	struct plan *stack_plan = datagram->plan;

	if (!extra || !path_plan_to_heap(core, datagram))
		return -1;
	if (!extra->pack) {
		extra->pack = pack_new(core, datagram->session, way, ns_add(now, wait));
		if (!extra->pack) {
			free(datagram->plan);
			datagram->plan = stack_plan;
			return -1;
		}
		extra->pack->max = max;
	}
	datagram_append(&extra->pack->parts, datagram);
	extra->pack->count++;
	extra->pack->size += datagram->size;
	return 0;
}

/* Joins the parts into one datagram with the ordinal and draws of the first; returns NULL if out of memory.
 */
static struct datagram *pack_join_parts(struct core *core, struct pack *pack)
{
	struct datagram *first = pack->parts.first, *joint, *part;
	struct parts *parts;
	uint32_t at = 0, index = 0;

	parts = malloc(sizeof(*parts) + pack->count * sizeof(*parts->all));
	joint = parts ? core_datagram(core, first->session, (enum way)first->way, pack->size) : NULL;
	if (!joint) {
		free(parts);
		core->out_of_memory = true;
		return NULL;
	}
	core->queued_bytes += datagram_weight(joint);
	parts->count = pack->count;
	joint->n = first->n;
	joint->id = first->id;
	joint->after = first->after;
	joint->arrived = first->arrived;
	joint->tos = first->tos;
	joint->flags = DATAGRAM_JOINED;
	joint->plan = first->plan;
	joint->plan->parts = parts;
	while ((part = datagram_pop(&pack->parts))) {
		memcpy(joint->bytes + at, part->bytes, part->size);
		at += part->size;
		parts->all[index++] = (struct part){.arrived = part->arrived, .id = part->id, .n = part->n};
		if (part != first) {
			struct datagram *copy;

			while ((copy = datagram_pop(&part->plan->copies)))
				datagram_append(&joint->plan->copies, copy);
			free(part->plan);
		}
		part->plan = NULL;
		core->queued_bytes -= datagram_weight(part);
		core_datagram_free(core, part);
	}
	return joint;
}

/* Drops the parts of a pack that could not be joined for lack of memory. */
static void drop_parts(struct core *core, struct pack *pack, ns_t now)
{
	struct datagram *part;

	while ((part = datagram_pop(&pack->parts))) {
		struct plan *plan = part->plan;

		path_enter_copies_of_dropped(core, plan, now);
		path_drop(core, part, plan, REASON_OVERLOAD, now, NULL);
		free(plan);
	}
}

void gather_pack_send(struct core *core, struct session_way *way, ns_t now)
{
	struct way_extra *extra = way_extra_writable(way);
	struct pack *pack = extra->pack;
	struct datagram *joint;

	timer_cancel(core, &pack->timer);
	extra->pack = NULL;
	joint = pack_join_parts(core, pack);
	if (!joint)
		drop_parts(core, pack, now);
	free(pack);
	if (joint)
		path_enter(core, joint, now, NULL);
}
