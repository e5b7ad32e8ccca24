/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * path: a datagram's way after the rules: what holds it before the link (a blackout with hold; permute and
 * pack are in gather.c), the link itself, and what holds it after the link (reorder_by, a rule's hold).
 *
 *   judged ─┬─ group (permute) ─┬─ blackout_held ── link ──┬── schedule ── due ──┬── sent
 *           └─ pack ────────────┘               asleep ────┘      held (hold N) ─┘
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rules/inside.h"

enum path_state path_state(const struct session_way *way, ns_t now)
{
	if (now < way->extra->drop_until)
		return PATH_DROPS;
	return now < way->extra->hold_until ? PATH_HOLDS : PATH_OPEN;
}

/* The plan starts on the stack of judge(); a datagram that must wait needs its own. */
struct plan *path_plan_to_heap(struct core *core, struct datagram *datagram)
{
	struct plan *copy = core_alloc(core, sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *datagram->plan;
	datagram->plan = copy;
	return copy;
}

/* Timestamps of different sockets may be out of order, but no datagram leaves before it arrived. */
static ns_t clamp_to_arrival(const struct datagram *datagram, ns_t due)
{
	return due > datagram->arrived ? due : datagram->arrived;
}

/* ---- The schedule ---- */

int path_schedule(struct core *core, struct datagram *datagram, enum schedule_kind kind, ns_t due)
{
	struct session_way *way = way_of(datagram);

	if (schedule_put(core->schedule, due, datagram->id + datagram->after, kind, datagram)) {
		core->out_of_memory = true;
		return -1;
	}
	datagram->flags |= DATAGRAM_SCHEDULED;
	if (kind == SCHEDULE_ENTERS)
		datagram->flags |= DATAGRAM_PLANNED;
	list_push(way->scheduled, datagram, newer, older);
	return 0;
}

bool path_unschedule(struct core *core, struct datagram *datagram)
{
	bool is_dropped = datagram->flags & DATAGRAM_DROPPED;

	list_unlink(way_of(datagram)->scheduled, datagram, newer, older);
	datagram->flags &= (uint16_t) ~(DATAGRAM_SCHEDULED | DATAGRAM_PLANNED);
	if (is_dropped)
		core->queued_bytes -= datagram_weight(datagram);
	if (datagram->flags & DATAGRAM_RELEASED)
		core_datagram_free(core, datagram);
	return !is_dropped;
}

/* ---- After the link ---- */

/* Counts a datagram that has left towards the holds of earlier datagrams of its session, and releases those
 * whose hold is over. */
static void count_departure(struct core *core, struct session *session, enum way way, uint64_t id, ns_t now)
{
	for (int w = 0; w < WAYS; w++) {
		struct datagram *next;

		for (struct datagram *d = session->ways[w].extra->held.first; d; d = next) {
			next = d->next;
			if (d->id >= id)
				continue;
			if (d->left_own && w == (int)way)
				d->left_own--;
			if (d->left_either)
				d->left_either--;
			if (d->left_own || d->left_either || !(d->flags & DATAGRAM_DUE))
				continue;
			timer_cancel(core, &d->timeout);
			datagram_remove(&way_extra_writable(&session->ways[w])->held, d);
			d->flags &= (uint16_t)~DATAGRAM_HELD;
			d->due = clamp_to_arrival(d, now);
			/* Use the schedule, so that several leave in order of arrival. */
			if (path_schedule(core, d, SCHEDULE_LEAVES, d->due))
				core_unsent(core, d, REASON_OVERLOAD, now);
		}
	}
}

static void emit_datagram(struct core *core, struct datagram *datagram, ns_t now)
{
	struct session *session = datagram->session;
	enum way way = (enum way)datagram->way;
	struct outcome *outcome;

	if (way == WAY_UP)
		timer_nat_out(core, session, now);
	outcome = core_outcome(core);
	if (!outcome) {
		core_failed(core, datagram, REASON_OVERLOAD);
		core_release(core, datagram);
		return;
	}
	*outcome = (struct outcome){.kind = OUTCOME_SEND,
	    .at = now,
	    .session = session,
	    .datagram = datagram,
	    .mapping = session->nat.mapping};
	if (datagram->copy || !(session->ways[0].extra->held.first || session->ways[1].extra->held.first))
		return;
	if (!(datagram->flags & DATAGRAM_JOINED))
		return count_departure(core, session, way, datagram->id, now);
	for (uint32_t i = 0; i < datagram->parts->count; i++)
		count_departure(core, session, way, datagram->parts->all[i].id, now);
}

void path_leave(struct core *core, struct datagram *datagram, ns_t now)
{
	if (datagram->flags & DATAGRAM_HELD) {
		if (datagram->left_own || datagram->left_either) {
			datagram->flags |= DATAGRAM_DUE;
			return;
		}
		timer_cancel(core, &datagram->timeout);
		datagram_remove(&way_extra_writable(way_of(datagram))->held, datagram);
		datagram->flags &= (uint16_t)~DATAGRAM_HELD;
	}
	emit_datagram(core, datagram, now);
}

void path_held_expired(struct core *core, struct datagram *datagram, ns_t now)
{
	datagram_remove(&way_extra_writable(way_of(datagram))->held, datagram);
	datagram->flags &= (uint16_t)~DATAGRAM_HELD;
	datagram->due = clamp_to_arrival(datagram, now);
	path_leave(core, datagram, now);
}

/* Makes a datagram wait, after the link, for later ones to leave if a rule or reorder_by asks for it. */
static void hold_datagram(
    struct core *core, struct datagram *datagram, const struct plan *plan, const struct passage *passage)
{
	uint32_t own = plan->hold_own > passage->hold ? plan->hold_own : passage->hold;
	ns_t max = passage->hold ? passage->hold_max : 0;

	if ((!own && !plan->hold_either) || !core_way_extra(core, way_of(datagram)))
		return;
	if (plan->hold_own || plan->hold_either)
		max = max > HOLD_MAX ? max : HOLD_MAX;
	timer_set(
	    core, &datagram->timeout, TIMER_HELD, datagram->session, datagram, ns_add(datagram->due, max));
	if (!datagram->timeout)
		return;
	datagram->flags |= DATAGRAM_HELD;
	datagram->left_own = (uint16_t)own;
	datagram->left_either = (uint16_t)plan->hold_either;
	datagram_append(&way_extra_writable(way_of(datagram))->held, datagram);
}

/* ---- The link ---- */

static bool is_lost_at_exit(const struct datagram *datagram)
{
	return datagram->flags & DATAGRAM_LOST_AT_EXIT;
}

static void set_hold(struct verdict *verdict, enum hold hold, uint32_t name, uint32_t count)
{
	if (!verdict)
		return;
	verdict->delay = NS_UNKNOWN;
	if (verdict->hold)
		return;
	verdict->hold = (uint8_t)hold;
	verdict->hold_name = name;
	verdict->hold_count = count;
}

/* Reports the loss at the exit of a datagram that is held before the link. It is counted and released from
 * the byte budget now, but will still occupy the wire. */
void path_mark_lost_at_exit(struct core *core, struct datagram *datagram, struct verdict *verdict)
{
	verdict->reason = REASON_LOSS;
	datagram->flags |= DATAGRAM_LOST_AT_EXIT;
	core_unqueue(core, way_of(datagram), 1);
	core_dropped(core, way_of(datagram), REASON_LOSS, 1);
	core->queued_bytes -= datagram_weight(datagram);
}

void path_drop(struct core *core, struct datagram *datagram, struct plan *plan, enum reason reason, ns_t now,
    struct verdict *verdict)
{
	datagram->parts = plan->parts;
	if (is_lost_at_exit(datagram)) {
		core_datagram_free(core, datagram);
	} else if (verdict) {
		verdict->reason = (uint8_t)reason;
		core_unqueue(core, way_of(datagram), 1);
		core_dropped(core, way_of(datagram), reason, 1);
		core->queued_bytes -= datagram_weight(datagram);
		core_datagram_free(core, datagram);
	} else {
		core_unsent(core, datagram, reason, now);
	}
}

void path_enter_copies(struct core *core, struct datagram_list *copies, bool ahead, ns_t now)
{
	struct datagram_list rest = {0};
	struct datagram *copy;

	while ((copy = datagram_pop(copies))) {
		if (copy->plan->ahead != ahead)
			datagram_append(&rest, copy);
		else if (copy->plan->offset == 0 || is_lost_at_exit(copy))
			path_enter(core, copy, now, NULL);
		else if (path_schedule(core, copy, SCHEDULE_ENTERS, ns_add(now, copy->plan->offset)))
			path_enter(core, copy, now, NULL);
	}
	*copies = rest;
}

void path_enter_copies_of_dropped(struct core *core, struct plan *plan, ns_t now)
{
	path_enter_copies(core, &plan->copies, true, now);
	path_enter_copies(core, &plan->copies, false, now);
}

/* Returns whether a datagram can bypass the schedule: it is due at once and nothing goes before it.
 * (Datagrams that it wakes up arrived earlier and must leave earlier.) */
static bool leaves_at_once(const struct core *core, const struct datagram *datagram,
    const struct passage *passage, const struct plan *plan, ns_t now)
{
	bool held = passage->hold || plan->hold_own || plan->hold_either;

	return datagram->due <= now && !held && !datagram->session->ways[WAY_DOWN].extra->asleep.first &&
	       schedule_due(core->schedule) > now;
}

/* Takes a datagram across the link: it is scheduled to leave, dropped, or put to sleep with its plan. Returns
 * whether the plan is no longer needed. `is_alone`: it has just arrived and has no copies. */
static bool cross_link(struct core *core, struct datagram *datagram, struct plan *plan, bool is_alone,
    ns_t now, struct verdict *verdict)
{
	struct passage passage = {.outcome = PASSAGE_LEAVES, .due = now};
	struct session_way *way = way_of(datagram);

	if (plan->link)
		link_enter(
		    plan->link, datagram->copy ? LINK_COPY : LINK_ORIGINAL, datagram, plan, now, &passage);
	if (passage.outcome == PASSAGE_SLEEPS) {
		/* A datagram with an open verdict has its plan on the stack. */
		if (!core_way_extra(core, way) || (verdict && !path_plan_to_heap(core, datagram))) {
			path_drop(core, datagram, plan, REASON_OVERLOAD, now, verdict);
			return true;
		}
		datagram_append(&way_extra_writable(way)->asleep, datagram);
		if (plan->link->shared)
			station_of_link(plan->link->shared)->asleep++;
		if (verdict && plan->lost_at_exit)
			path_mark_lost_at_exit(core, datagram, verdict);
		set_hold(verdict, HOLD_SLEEP, 0, 0);
		return false;
	}
	if (passage.outcome == PASSAGE_DROPPED) {
		core->out_of_memory |= passage.reason == REASON_OVERLOAD;
		path_drop(core, datagram, plan, passage.reason, now, verdict);
		return true;
	}
	datagram->parts = plan->parts;
	datagram->due = clamp_to_arrival(datagram, ns_add(passage.due, plan->extra));
	if (verdict && !verdict->hold)
		verdict->delay = datagram->due - datagram->arrived;
	if (is_alone && leaves_at_once(core, datagram, &passage, plan, now)) {
		emit_datagram(core, datagram, datagram->due);
		return true;
	}
	if (path_schedule(core, datagram, SCHEDULE_LEAVES, datagram->due)) {
		core_unsent(core, datagram, REASON_OVERLOAD, now);
		return true;
	}
	hold_datagram(core, datagram, plan, &passage);
	if (plan->hold_own || plan->hold_either)
		set_hold(verdict, HOLD_RULE, plan->hold_name, 0);
	else if (passage.hold)
		set_hold(verdict, HOLD_REORDER, 0, passage.hold);
	return true;
}

/* Makes the link's duplicate of a datagram that waited before the link. */
static void duplicate_late(struct core *core, const struct datagram *original, ns_t now)
{
	struct datagram *copy = core_datagram(
	    core, original->session, (enum way)original->way, original->size);
	struct plan plan = {.salt = chance_mix(original->plan->link->link->draw_key)};
	uint16_t number = 1;

	if (!copy)
		return;
	for (const struct datagram *other = original->plan->copies.first; other; other = other->next)
		number++;
	if (original->size)
		memcpy(copy->bytes, original->bytes, original->size);
	copy->n = original->n;
	copy->id = original->id;
	copy->after = original->after;
	copy->arrived = copy->due = now;
	copy->copy = number;
	copy->origin = ORIGIN_LINK;
	copy->tos = original->tos;
	copy->plan = &plan;
	link_decide_copy(original->plan->link, copy, &plan);
	if (!path_plan_to_heap(core, copy)) {
		copy->plan = NULL;
		core_datagram_free(core, copy);
		return;
	}
	way_of(copy)->tally.copies++;
	core_count_queued(core, copy);
	datagram_append(&original->plan->copies, copy);
}

/* Lets the link decide about a datagram whose arrival has already been recorded. Returns the reason to drop
 * it, or REASON_NONE. */
static enum reason decide_late(struct core *core, struct datagram *datagram, ns_t now)
{
	struct session *session = datagram->session;
	struct link_state *link = core_link_state(core, session, session->link);
	struct link_decision decision;
	struct link_totals *totals = &core->links[session->link - core->config->links];

	datagram->plan->undecided = datagram->plan->lost_at_exit = datagram->plan->reordered = false;
	link_decide(link, datagram->copy ? LINK_COPY : LINK_ORIGINAL, datagram, datagram->plan, &decision);
	if (!datagram->copy) {
		totals->decided[datagram->way]++;
		totals->lost[datagram->way] += decision.reason != REASON_NONE;
		way_of(datagram)->tally.corrupted += decision.corrupted;
		if (decision.corrupted)
			datagram->flags |= DATAGRAM_CORRUPTED;
	}
	if (decision.twice)
		duplicate_late(core, datagram, now);
	return decision.reason;
}

/* Prepares a datagram that waited before the link for entering it. Returns the reason to drop it, or
 * REASON_NONE. */
static enum reason prepare_for_link(struct core *core, struct datagram *datagram, ns_t now)
{
	struct plan *plan = datagram->plan;
	struct session *session = datagram->session;
	bool moved = plan->in_blackout && plan->link && plan->link->link != session->link;

	plan->in_blackout = false;
	if (moved && is_lost_at_exit(datagram))
		plan->link = core_link_state(core, session, session->link);
	else if (moved || plan->undecided)
		return decide_late(core, datagram, now);
	return REASON_NONE;
}

static void prepare_copies_for_link(struct core *core, struct datagram_list *copies, ns_t now)
{
	struct datagram_list waiting = *copies;
	struct datagram *copy;

	*copies = (struct datagram_list){0};
	while ((copy = datagram_pop(&waiting))) {
		struct plan *plan = copy->plan;
		enum reason reason = prepare_for_link(core, copy, now);

		if (!reason) {
			datagram_append(copies, copy);
			continue;
		}
		path_drop(core, copy, plan, reason, now, NULL);
		free(plan);
	}
}

/* Prepares a datagram and its copies for entering the link. Returns false if the datagram was dropped, in
 * which case its copies have gone on. */
static bool prepare_all_for_link(struct core *core, struct datagram *datagram, ns_t now)
{
	struct plan *plan = datagram->plan;
	enum reason reason = prepare_for_link(core, datagram, now);

	prepare_copies_for_link(core, &plan->copies, now);
	if (!reason)
		return true;
	path_enter_copies_of_dropped(core, plan, now);
	path_drop(core, datagram, plan, reason, now, NULL);
	free(plan);
	return false;
}

void path_enter(struct core *core, struct datagram *datagram, ns_t now, struct verdict *verdict)
{
	struct session_way *way = way_of(datagram);
	struct plan *plan = datagram->plan;
	struct datagram_list copies;
	bool has_own_plan = verdict == NULL;

	/* Test with the core's time too: if the blackout's end has passed, nothing may wait for it. */
	if (plan->in_blackout && path_state(way, later(now, core->now)) != PATH_OPEN) {
		if (!core_way_extra(core, way) || (!has_own_plan && !path_plan_to_heap(core, datagram))) {
			path_drop(core, datagram, plan, REASON_OVERLOAD, now, verdict);
			if (has_own_plan)
				free(plan);
			return;
		}
		datagram_append(&way_extra_writable(way)->blackout_held, datagram);
		set_hold(verdict, HOLD_BLACKOUT, 0, 0);
		return;
	}
	if ((plan->in_blackout || plan->undecided) && !prepare_all_for_link(core, datagram, now))
		return;
	copies = plan->copies;
	plan->copies = (struct datagram_list){0};
	if (copies.first)
		path_enter_copies(core, &copies, true, now);
	if (cross_link(core, datagram, plan, !has_own_plan && !copies.first, now, verdict) && has_own_plan)
		free(plan);
	if (copies.first)
		path_enter_copies(core, &copies, false, now);
}

void path_fast(
    struct core *core, struct datagram *datagram, struct link_state *link, ns_t now, struct verdict *verdict)
{
	datagram->due = clamp_to_arrival(datagram, link_fast(link, datagram, now));
	verdict->delay = datagram->due - datagram->arrived;
	if (datagram->due <= now && schedule_due(core->schedule) > now)
		emit_datagram(core, datagram, datagram->due);
	else if (path_schedule(core, datagram, SCHEDULE_LEAVES, datagram->due))
		core_unsent(core, datagram, REASON_OVERLOAD, now);
}

/* ---- Before the link ---- */

static void enter_all(struct core *core, struct datagram_list *list, ns_t now)
{
	struct datagram_list waiting = *list;
	struct datagram *datagram;

	*list = (struct datagram_list){0};
	while ((datagram = datagram_pop(&waiting)))
		path_enter(core, datagram, now, NULL);
}

/* If a blackout ends now, the datagrams that it held enter the link, in order, as if they arrived now. */
void path_blackout_end(struct core *core, struct session *session, ns_t now)
{
	bool ended[WAYS];

	for (int w = 0; w < WAYS; w++) {
		const struct way_extra *way = session->ways[w].extra;

		ended[w] = (way->drop_until > way->hold_until ? way->drop_until : way->hold_until) == now;
	}
	if (session->end)
		return;
	if (ended[WAY_UP] && ended[WAY_DOWN])
		core_event(core, session, now, "blackout-ends");
	else if (ended[WAY_UP] || ended[WAY_DOWN])
		core_event(
		    core, session, now, "blackout-ends %s", verdict_ways[ended[WAY_UP] ? WAY_UP : WAY_DOWN]);
	for (int w = 0; w < WAYS; w++)
		if (path_state(&session->ways[w], now) == PATH_OPEN &&
		    session->ways[w].extra->blackout_held.first)
			enter_all(core, &way_extra_writable(&session->ways[w])->blackout_held, now);
}

/* The radio is awake for all that share it. */
static void wake_others(struct core *core, struct station *station, ns_t now)
{
	bool is_everyone = station == &core->stations.everyone;

	station->asleep = 0;
	for (struct session *s = is_everyone ? core->oldest : station->sessions; s;
	     s = is_everyone ? s->newer : s->station_next)
		if (s->ways[WAY_DOWN].extra->asleep.first)
			enter_all(core, &way_extra_writable(&s->ways[WAY_DOWN])->asleep, now);
}

/* The device has sent: the datagrams asleep until then enter the link. */
void path_wake(struct core *core, struct session *session, ns_t now)
{
	for (struct link_state *state = session->links; state; state = state->next) {
		link_wake(state, now);
		if (state->shared && station_of_link(state->shared)->asleep)
			wake_others(core, station_of_link(state->shared), now);
	}
	if (session->ways[WAY_DOWN].extra->asleep.first)
		enter_all(core, &way_extra_writable(&session->ways[WAY_DOWN])->asleep, now);
}

/* ---- End of a session ---- */

static void drop_list(struct core *core, struct datagram_list *list, enum reason reason, ns_t now)
{
	struct datagram *datagram;

	while ((datagram = datagram_pop(list))) {
		struct plan *plan = datagram->plan;

		drop_list(core, &plan->copies, reason, now);
		path_drop(core, datagram, plan, reason, now, NULL);
		free(plan);
	}
}

/* Drops scheduled datagrams; their places in the schedule stay until they are due. */
static void drop_scheduled(struct core *core, struct datagram *scheduled, enum reason reason, ns_t now)
{
	for (struct datagram *d = scheduled; d; d = d->older) {
		if (d->flags & DATAGRAM_PLANNED) {
			struct plan *plan = d->plan;

			d->flags &= (uint16_t)~DATAGRAM_PLANNED;
			d->parts = plan->parts;
			free(plan);
		}
		d->flags |= DATAGRAM_DROPPED;
		core_unsent(core, d, reason, now);
	}
}

/* Ends the holds after the link. Datagrams that are due are dropped here; the others are in the schedule. */
static void drop_held(struct core *core, struct datagram_list *list, enum reason reason, ns_t now)
{
	struct datagram *datagram;

	while ((datagram = datagram_pop(list))) {
		timer_cancel(core, &datagram->timeout);
		datagram->flags &= (uint16_t)~DATAGRAM_HELD;
		if (datagram->flags & DATAGRAM_DUE)
			core_unsent(core, datagram, reason, now);
	}
}

void path_drop_all(struct core *core, struct session *session, enum reason reason, ns_t now)
{
	for (int w = 0; w < WAYS; w++) {
		struct way_extra *own;

		if (session->ways[w].extra == &way_extra_none) {
			drop_scheduled(core, session->ways[w].scheduled, reason, now);
			continue;
		}
		own = way_extra_writable(&session->ways[w]);
		drop_list(core, &own->blackout_held, reason, now);
		drop_list(core, &own->asleep, reason, now);
		drop_held(core, &own->held, reason, now);
		drop_scheduled(core, session->ways[w].scheduled, reason, now);
		if (own->pack) {
			struct pack *pack = own->pack;

			own->pack = NULL;
			timer_cancel(core, &pack->timer);
			drop_list(core, &pack->parts, reason, now);
			free(pack);
		}
	}
	for (size_t i = 0; i < session->rule_count; i++) {
		for (int w = 0; w < WAYS; w++) {
			struct group *group = session->rules[i].groups[w];
			struct datagram_list list = {0};

			for (uint32_t k = 0; group && k < group->count; k++)
				if (group->slots[k])
					datagram_append(&list, group->slots[k]);
			if (group) {
				timer_cancel(core, &group->timer);
				*group = (struct group){0};
			}
			drop_list(core, &list, reason, now);
		}
	}
}
