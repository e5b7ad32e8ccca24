/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * judge: handles the arrival of a datagram.
 *
 * core_arrive counts it, drops it if memory, max_queued or the NAT refuse it, and parses its records. judge()
 * then applies a running blackout and the rules in file order; finish_judgement lets the link decide and
 * moves the datagram and its copies on, or drops them. fast_path is a shortcut for when nothing can
 * interfere.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "rules/inside.h"

/* Returns the start of the rule's time unless it has `since`; only rules that look at their age need it. */
static ns_t rule_began(const struct core *core, const struct session *session, const struct rule *rule)
{
	if (!(rule->looks & LOOKS_AGE))
		return 0;
	if (rule->scope == SCOPE_ALL)
		return core->began;
	return rule->scope == SCOPE_DEVICE && session->station ? session->station->began
	                                                       : session->user.began;
}

static void apply_rules(struct judgement *j)
{
	struct session *session = j->session;
	const struct rule *const *rules = session->rule_count ? session_rules(session) : NULL;

	for (size_t i = 0; i < session->rule_count; i++) {
		struct rule_state *own = &session->rules[i], *state;
		const struct rule *rule = rules[i];
		struct draw draw;
		bool acted = false;

		if (!rule_may_match(rule, j->input))
			continue;
		state = count_state(j->core, session, own);
		if (!rule_matches(state, own, j->input, rule_began(j->core, session, rule)))
			continue;
		j->core->totals[rule->index].matched++;
		if (j->verdict->reason)
			continue;
		if (!rule_fires(state, j->input, &draw))
			continue;
		for (size_t k = 0; k < rule->actions.count && !j->verdict->reason; k++)
			acted |= act_apply(j, own, k, draw);
		if (!acted)
			continue;
		verdict_by(j->verdict, rule->id);
		count_fired(j->core, session, NULL, state, j->input->now);
	}
}

/* ---- Remembering for replays ---- */

static struct datagram *take_snapshot(struct core *core, const struct match_input *input, uint64_t id)
{
	struct datagram *kept = pool_get(core->pool, input->size);

	core->out_of_memory |= !kept;
	if (!kept)
		return NULL;
	if (input->size)
		memcpy(kept->bytes, input->bytes, input->size);
	kept->n = input->n;
	kept->id = id;
	kept->way = (uint8_t)input->way;
	return kept;
}

static void remember_recent(struct core *core, struct session_way *way, const struct match_input *input)
{
	unsigned cap = core->config->recent + 1;
	struct way_extra *own;

	if (!core->config->recent)
		return;
	own = core_way_extra(core, way);
	if (!own)
		return;
	if (!own->recent && !(own->recent = calloc(cap, sizeof(struct datagram *)))) {
		core->out_of_memory = true;
		return;
	}
	own->recent_cap = cap;
	if (own->recent[own->recent_next])
		pool_put(core->pool, own->recent[own->recent_next]);
	own->recent[own->recent_next] = take_snapshot(core, input, core->arrivals);
	own->recent_next = (own->recent_next + 1) % cap;
}

static void remember_firsts(struct core *core, struct session *session, const struct match_input *input)
{
	for (size_t i = 0; i < core->config->first_count; i++) {
		if (!session->firsts)
			session->firsts = calloc(core->config->first_count, sizeof(struct datagram *));
		session->first_count = session->firsts ? (unsigned)core->config->first_count : 0;
		core->out_of_memory |= !session->firsts;
		if (session->firsts && !session->firsts[i] && kinds_match(&core->config->firsts[i], input))
			session->firsts[i] = take_snapshot(core, input, core->arrivals);
	}
}

/* Records how many copies of the newest datagram were made, so that a later replay numbers its own after
 * them. */
static void remember_copies(
    struct core *core, struct session *session, const struct match_input *input, uint32_t copies)
{
	const struct way_extra *kept = session->ways[input->way].extra;

	for (unsigned i = 0; kept->recent && i <= core->config->recent; i++)
		if (kept->recent[i] && kept->recent[i]->n == input->n && kept->recent[i]->copy < copies)
			kept->recent[i]->copy = (uint16_t)(copies < UINT16_MAX ? copies : UINT16_MAX);
	for (size_t i = 0; session->firsts && i < core->config->first_count; i++) {
		struct datagram *first = session->firsts[i];

		if (first && first->n == input->n && first->way == input->way && first->copy < copies)
			first->copy = (uint16_t)(copies < UINT16_MAX ? copies : UINT16_MAX);
	}
}

/* ---- The link's part ---- */

static void link_copy(struct judgement *j, struct link_state *link)
{
	struct datagram_list others = j->plan->copies;
	struct datagram *copy, *other;

	j->plan->copies = (struct datagram_list){0};
	copy = act_copy(j, ORIGIN_LINK, chance_mix(link->link->draw_key));
	if (copy)
		link_decide_copy(link, copy, copy->plan);
	while ((other = datagram_pop(&others)))
		datagram_append(&j->plan->copies, other);
}

static void decide_copies(struct judgement *j, bool in_blackout)
{
	struct datagram_list all = j->plan->copies;
	struct link_state *link;
	struct datagram *copy;

	if (!all.first)
		return;
	link = core_link_state(j->core, j->session, j->session->link);
	j->plan->copies = (struct datagram_list){0};
	while ((copy = datagram_pop(&all))) {
		struct link_decision decision = {0};

		copy->plan->in_blackout = in_blackout;
		copy->plan->chained_at = link_ordinal(
		    link, (enum way)copy->way, j->session->ways[copy->way].n);
		if (!core_may_queue(j->core, 0))
			decision.reason = REASON_OVERLOAD;
		else if (copy->origin != ORIGIN_LINK)
			link_decide(link, LINK_COPY, copy, copy->plan, &decision);
		if (!decision.reason) {
			datagram_append(&j->plan->copies, copy);
			continue;
		}
		free(copy->plan);
		copy->plan = NULL;
		core_unsent(j->core, copy, decision.reason, j->input->now);
	}
}

static void decide_original(struct judgement *j)
{
	struct link_state *link = core_link_state(j->core, j->session, j->session->link);
	struct link_decision decision;
	struct link_totals *totals;

	verdict_by_link(j->verdict, link->link->id);
	link_decide(link, LINK_ORIGINAL, j->datagram, j->plan, &decision);
	totals = &j->core->links[link->link - j->core->config->links];
	totals->decided[j->input->way]++;
	totals->lost[j->input->way] += decision.reason != REASON_NONE;
	if (decision.corrupted)
		verdict_add_mutation(j->verdict, decision.mutation);
	if (decision.reason)
		judgement_drop(j, decision.reason, link->link->id);
	else if (decision.twice)
		link_copy(j, link);
}

/* Moves the rule or link that decided to the front of the list. */
static void move_decider_first(struct verdict *verdict, uint32_t decider)
{
	unsigned at = 0;

	if (!decider)
		return;
	verdict_by(verdict, decider);
	while (at < verdict->by_count && verdict->by[at] != decider)
		at++;
	if (at == verdict->by_count)
		at--; /* the list was full: it replaces the last one */
	memmove(&verdict->by[1], &verdict->by[0], at * sizeof(verdict->by[0]));
	verdict->by[0] = decider;
}

static void enter_copies_of_dropped(struct judgement *j)
{
	struct datagram_list copies = j->plan->copies;
	struct datagram *copy;

	j->plan->copies = (struct datagram_list){0};
	while ((copy = datagram_pop(&copies))) {
		if (copy->plan->offset == 0 ||
		    path_schedule(j->core, copy, SCHEDULE_ENTERS, ns_add(j->input->now, copy->plan->offset)))
			path_enter(j->core, copy, j->input->now, NULL);
	}
}

static bool was_corrupted(const struct verdict *verdict)
{
	for (unsigned i = 0; i < verdict->mutation_count; i++)
		if (verdict->mutations[i].kind == MUTATION_CORRUPT)
			return true;
	return false;
}

/* Sends the group that the datagram joined if it is now complete. */
static void send_complete_group(struct judgement *j)
{
	for (int w = 0; w < WAYS; w++) {
		struct group *group = j->group->groups[w];

		if (group && group->count && group->count == group->size)
			gather_group_send(j->core, group, j->input->now);
	}
}

static void refuse_late(struct judgement *j);

/* Puts a datagram that was not dropped into its group, or into the link. */
static void enter_link_or_hold(struct judgement *j)
{
	struct verdict *verdict = j->verdict;
	ns_t now = j->input->now;
	bool is_held = j->plan->in_blackout && path_state(judgement_way(j), now) != PATH_OPEN;

	if (j->session->unresolved && j->input->way == WAY_UP)
		verdict->hold = HOLD_LOOKUP;
	if (j->plan->lost_at_exit && (is_held || j->group))
		path_mark_lost_at_exit(j->core, j->datagram, verdict);
	if (j->group) {
		if (!path_plan_to_heap(j->core, j->datagram))
			return refuse_late(j);
		if (!verdict->hold && !verdict->reason) {
			verdict->hold = HOLD_RULE;
			verdict->hold_name = j->group->rule->id;
		}
		send_complete_group(j);
		return;
	}
	if (is_held && verdict->reason) { /* lost at the exit, but it still occupies the wire */
		if (path_plan_to_heap(j->core, j->datagram))
			path_enter(j->core, j->datagram, now, NULL);
		else
			path_drop(j->core, j->datagram, j->plan, REASON_OVERLOAD, now, NULL);
		return;
	}
	path_enter(j->core, j->datagram, now, verdict);
}

/* Returns whether the datagram goes into a pack: the open one if it fits, else a new one if a rule asks for
 * it. Sends an open pack that it does not fit into. */
static bool should_pack(struct judgement *j)
{
	struct session_way *way = judgement_way(j);
	const struct pack *open = way->extra->pack;
	size_t size = j->datagram->size;

	if (j->group)
		return false;
	if (open && gather_pack_takes(open, size, j->plan->in_blackout))
		return true;
	if (open)
		gather_pack_send(j->core, way, j->input->now);
	return j->pack && size <= j->pack->size;
}

static void join_pack(struct judgement *j)
{
	j->plan->undecided = !j->bypass;
	if (!j->bypass)
		verdict_by_link(j->verdict, j->session->link->id);
	if (gather_pack_join(j->core, j->datagram, j->pack ? j->pack->time.low : 0,
	        j->pack ? j->pack->size : 0, j->input->now))
		return refuse_late(j);
	j->verdict->hold = HOLD_PACK;
}

static void drop_judged(struct judgement *j)
{
	core_dropped(j->core, judgement_way(j), (enum reason)j->verdict->reason, 1);
	if (j->group)
		gather_group_leave(j->group, j->datagram);
	j->datagram->plan = NULL; /* it is on the caller's stack */
	core_datagram_free(j->core, j->datagram);
	enter_copies_of_dropped(j);
	if (j->group)
		send_complete_group(j);
}

/* Drops a datagram that would have to wait when memory for that is out. */
static void refuse_late(struct judgement *j)
{
	core_unqueue(j->core, judgement_way(j), 1);
	j->core->queued_bytes -= datagram_weight(j->datagram);
	judgement_drop(j, REASON_OVERLOAD, 0);
	j->verdict->hold = HOLD_NONE;
	drop_judged(j);
}

/* After the rules: lets the link decide, then moves the datagram and its copies on, or drops them. */
static void finish_judgement(struct judgement *j)
{
	struct verdict *verdict = j->verdict;
	struct session_way *way = judgement_way(j);
	bool packed = false;

	if (!verdict->reason) {
		core_count_queued(j->core, j->datagram);
		packed = should_pack(j);
		if (!packed && !j->bypass)
			decide_original(j);
		if (verdict->reason) {
			core_unqueue(j->core, way, 1);
			j->core->queued_bytes -= datagram_weight(j->datagram);
		}
	}
	decide_copies(j, j->plan->in_blackout);
	if (was_corrupted(verdict))
		way->tally.corrupted++;
	if (verdict->reason)
		drop_judged(j);
	else if (packed)
		join_pack(j);
	else
		enter_link_or_hold(j);
	if (verdict->reason)
		move_decider_first(verdict, j->decider ? j->decider : j->session->link->id);
}

/* ---- Arrival ---- */

static void verdict_start(
    struct verdict *verdict, const struct session *session, const struct arrival *arrival, uint32_t n)
{
	/* The lists after `by` need no clearing: their counts say how much of them is valid. */
	memset(verdict, 0, offsetof(struct verdict, by));
	verdict->session = session ? session->number : 0;
	verdict->n = n;
	verdict->size = (uint32_t)arrival->size;
	verdict->way = (uint8_t)arrival->way;
	verdict->delay = NS_UNKNOWN;
	verdict->type = DTLS_NONE;
	verdict->device = session && session->section ? session->section->id : 0;
}

/* Parses the records for the capture only, without learning from a datagram that no rule sees. */
static void fill_records(
    struct verdict *verdict, const struct dtls_session *known, const struct arrival *arrival)
{
	struct dtls_session session = *known;
	struct dtls_peek peek;

	dtls_parse(&session, arrival->way, arrival->bytes, arrival->size, &peek);
	verdict->type = peek.first.type;
	verdict->epoch = peek.first.epoch;
	verdict->number = peek.first.number;
}

void core_refuse(
    struct core *core, enum reason reason, const struct arrival *arrival, struct verdict *verdict)
{
	struct account *account = &core->refused[arrival->way];
	struct dtls_session no_hellos;

	core->arrivals++;
	account->received++;
	account->bytes += arrival->size;
	account->dropped[reason]++;
	verdict_start(verdict, NULL, arrival, (uint32_t)account->received);
	verdict->reason = (uint8_t)reason;
	dtls_init(&no_hellos);
	fill_records(verdict, &no_hellos, arrival);
}

/* Parses the records into *peek, learns from them, and counts the datagram as seen by the rules. */
static void parse_records(
    struct core *core, struct session *session, const struct arrival *arrival, struct dtls_peek *peek)
{
	dtls_parse(&session->dtls, arrival->way, arrival->bytes, arrival->size, peek);
	if (peek->new_hello) {
		session->handshakes++;
		for (int w = 0; w < WAYS; w++) {
			if (session->ways[w].extra->attempts.count)
				attempts_clear(&way_extra_writable(&session->ways[w])->attempts);
			for (size_t i = 0; i < session->rule_count; i++)
				if (session->rules[i].restart)
					attempts_clear(&session->rules[i].restart->attempts[w]);
		}
	}
	session->ways[arrival->way].carried += arrival->size;
	session->seen++;
	core->seen_all++;
	if (session->station) {
		session->station->carried[arrival->way] += arrival->size;
		session->station->seen++;
	}
}

/* Fills in the attempt number of each handshake message. */
static void count_attempts(
    struct core *core, struct session_way *way, const struct dtls_peek *peek, uint32_t *attempts)
{
	struct way_extra *own = peek->message_count ? core_way_extra(core, way) : NULL;

	for (uint32_t i = 0; i < peek->message_count; i++) {
		attempts[i] = own ? attempts_count(&own->attempts, &peek->messages[i]) : 0;
		core->out_of_memory |= !attempts[i];
	}
}

static void judge(struct core *core, struct session *session, const struct arrival *arrival,
    const struct dtls_peek *peek, struct datagram *datagram, struct verdict *verdict)
{
	struct session_way *way = &session->ways[arrival->way];
	const struct station *station = session->station;
	ns_t age = arrival->at - session->user.began;
	uint32_t attempts[DTLS_MESSAGES_MAX];
	struct plan plan = {0};
	struct match_input input = {.session = session,
	    .way = arrival->way,
	    .bytes = arrival->bytes,
	    .size = arrival->size,
	    .n = way->n,
	    .now = arrival->at,
	    .age = age > 0 ? age : 0,
	    .chance_base = chance_base(session->user.key, arrival->way, way->n),
	    .seen = session->seen,
	    .seen_all = core->seen_all,
	    .carried = way->carried,
	    .seen_device = station ? station->seen : session->seen,
	    .carried_device = station ? station->carried[arrival->way] : way->carried,
	    .attempts = attempts,
	    .peek = peek,
	    .out_of_memory = &core->out_of_memory};
	struct judgement j = {.core = core,
	    .session = session,
	    .input = &input,
	    .datagram = datagram,
	    .plan = &plan,
	    .verdict = verdict};
	enum path_state state = path_state(way, arrival->at);

	if (core->config->any_attempt)
		count_attempts(core, way, peek, attempts);
	datagram->plan = &plan;
	remember_recent(core, way, &input);
	remember_firsts(core, session, &input);
	if (state == PATH_DROPS)
		judgement_drop(&j, REASON_BLACKOUT, way->extra->drop_by);
	plan.in_blackout = state == PATH_HOLDS;
	apply_rules(&j);
	finish_judgement(&j);
	if (verdict->copies)
		remember_copies(core, session, &input, verdict->copies);
}

/* Returns whether the datagram may skip judge(): there are no rules, nothing is recorded or held, and the
 * link is clean. */
static bool can_fast_path(const struct core *core, const struct session *session, enum way way)
{
	const struct config *config = core->config;

	return !session->rule_count && session->link->ways[way].clean && !session->unresolved &&
	       session->ways[WAY_UP].extra == &way_extra_none &&
	       session->ways[WAY_DOWN].extra == &way_extra_none && !config->recent && !config->first_count &&
	       !config->any_attempt;
}

static void fast_path(struct core *core, struct session *session, const struct arrival *arrival,
    struct datagram *datagram, struct verdict *verdict)
{
	struct link_state *link = core_link_state(core, session, session->link);

	core_count_queued(core, datagram);
	verdict_by_link(verdict, link->link->id);
	core->links[link->link - core->config->links].decided[arrival->way]++;
	path_fast(core, datagram, link, arrival->at, verdict);
}

/* Drops a datagram that was counted as received but has no struct datagram. */
static void refuse_counted(struct core *core, struct session *session, const struct arrival *arrival,
    enum reason reason, struct verdict *verdict)
{
	verdict->reason = (uint8_t)reason;
	core_dropped(core, &session->ways[arrival->way], reason, 1);
	fill_records(verdict, &session->dtls, arrival);
}

/* Returns NULL if memory or max_queued is exhausted. */
static struct datagram *datagram_from_arrival(
    struct core *core, struct session *session, const struct arrival *arrival)
{
	struct datagram *datagram;

	if (!core_may_queue(core, pool_weight(arrival->size)) || !core_is_prepared(core))
		return NULL;
	datagram = core_datagram(core, session, arrival->way, arrival->size);
	if (!datagram)
		return NULL;
	datagram->n = session->ways[arrival->way].n;
	datagram->id = core->arrivals;
	datagram->arrived = datagram->due = arrival->at;
	datagram->tos = arrival->tos;
	if (arrival->size)
		memcpy(datagram->bytes, arrival->bytes, arrival->size);
	return datagram;
}

void core_arrive(
    struct core *core, struct session *session, const struct arrival *arrival, struct verdict *verdict)
{
	struct session_way *way = &session->ways[arrival->way];
	struct datagram *datagram;
	struct dtls_peek peek;

	core->arrivals++;
	core_session_touch(core, session, arrival);
	session->newest = core->arrivals;
	way->n++;
	way->tally.received++;
	way->tally.bytes += arrival->size;
	verdict_start(verdict, session, arrival, way->n);
	datagram = datagram_from_arrival(core, session, arrival);
	if (!datagram) {
		refuse_counted(core, session, arrival, REASON_OVERLOAD, verdict);
		/* The device has sent even though its datagram is refused: datagrams asleep until then make
		 * room. */
		if (arrival->way == WAY_UP)
			path_wake(core, session, arrival->at);
		return;
	}
	if (arrival->way == WAY_DOWN) {
		/* A NAT silently drops datagrams to an expired mapping; no rule sees them. */
		if (!nat_lives(&session->nat, session->section, arrival->mapping, arrival->at)) {
			core_datagram_free(core, datagram);
			refuse_counted(core, session, arrival, REASON_NAT_EXPIRED, verdict);
			return;
		}
		if (arrival->is_filtered) {
			core_datagram_free(core, datagram);
			refuse_counted(core, session, arrival, REASON_FILTERED, verdict);
			return;
		}
		nat_in(&session->nat, session->section, arrival->at);
		timer_nat_arm(core, session);
	}
	parse_records(core, session, arrival, &peek);
	verdict->type = peek.first.type;
	verdict->epoch = peek.first.epoch;
	verdict->number = peek.first.number;
	if (core->config->any_follow && arrival->way == WAY_UP)
		follow_see(core, session, arrival);
	if (can_fast_path(core, session, arrival->way))
		fast_path(core, session, arrival, datagram, verdict);
	else
		judge(core, session, arrival, &peek, datagram, verdict);
	if (core->limits.recorded && arrival->way == WAY_UP && !verdict->reason)
		timer_nat_out(core, session, arrival->at);
	/* Only afterwards, so that the datagram that wakes the radio is itself delayed by the wake-up. */
	if (arrival->way == WAY_UP)
		path_wake(core, session, arrival->at);
}

uint64_t core_arrivals(const struct core *core)
{
	return core->arrivals;
}
