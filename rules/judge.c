/*
 * judge: a datagram arrives: what the rules make of it, and what the link decides at once.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "rules/inside.h"

static void judge_rules(struct judging *j)
{
	struct session *session = j->session;

	for (size_t i = 0; i < session->rule_count; i++) {
		struct rule_state *own = &session->rules[i];
		struct rule_state *state = act_state(j->core, own);
		const struct rule *rule = own->rule;
		struct draw draw;
		bool acted = false;

		if (!rule_matches(state, own, j->sight,
		        rule->scope == SCOPE_ALL ? j->core->began : session->user.began))
			continue;
		j->core->totals[rule->index].matched++;
		if (j->verdict->reason)
			continue;
		if (!rule_fires(state, j->sight, &draw))
			continue;
		for (size_t k = 0; k < rule->actions.count && !j->verdict->reason; k++)
			acted |= act_apply(j, own, k, draw);
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

	core->out_of_memory |= !kept;
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
	struct seldom *own;

	if (!core->config->recent)
		return;
	own = core_seldom(core, way);
	if (!own)
		return;
	if (!own->recent && !(own->recent = calloc(room, sizeof(struct datagram *)))) {
		core->out_of_memory = true;
		return;
	}
	own->recent_room = room;
	if (own->recent[own->recent_next])
		pool_put(core->pool, own->recent[own->recent_next]);
	own->recent[own->recent_next] = snapshot(core, sight, core->arrivals);
	own->recent_next = (own->recent_next + 1) % room;
}

static void remember_firsts(struct core *core, struct session *session, const struct sight *sight)
{
	for (size_t i = 0; i < core->config->first_count; i++) {
		if (!session->firsts)
			session->firsts = calloc(core->config->first_count, sizeof(struct datagram *));
		session->first_count = session->firsts ? (unsigned)core->config->first_count : 0;
		core->out_of_memory |= !session->firsts;
		if (session->firsts && !session->firsts[i] && kinds_match(&core->config->firsts[i], sight))
			session->firsts[i] = snapshot(core, sight, core->arrivals);
	}
}

/* Copies made of the newest so far: a later replay of it counts on from there. */
static void remember_copies(
    struct core *core, struct session *session, const struct sight *sight, uint32_t copies)
{
	const struct seldom *kept = session->ways[sight->way].seldom;

	for (unsigned i = 0; kept->recent && i <= core->config->recent; i++)
		if (kept->recent[i] && kept->recent[i]->n == sight->n && kept->recent[i]->copy < copies)
			kept->recent[i]->copy = (uint16_t)(copies < UINT16_MAX ? copies : UINT16_MAX);
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
	copy = act_copy(j, ORIGIN_LINK, chance_mix(link->link->luck));
	if (copy)
		link_decide_copy(link, copy, copy->plan);
	while ((other = datagram_take(&others)))
		datagram_append(&j->plan->copies, other);
}

static void decide_copies(struct judging *j, bool in_blackout)
{
	struct datagram_list all = j->plan->copies;
	struct link_state *link;
	struct datagram *copy;

	if (!all.first)
		return;
	link = core_link_state(j->core, j->session, j->session->link);
	j->plan->copies = (struct datagram_list){0};
	while ((copy = datagram_take(&all))) {
		struct link_decision decision = {0};

		copy->plan->in_blackout = in_blackout;
		copy->plan->chained_at = j->session->ways[copy->way].n;
		if (!core_holds(j->core, 0))
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
	struct link_state *link = core_link_state(j->core, j->session, j->session->link);
	struct link_decision decision;
	struct link_totals *totals;

	verdict_by_link(j->verdict, link->link->id);
	link_decide(link, LINK_ORIGINAL, j->datagram, j->plan, &decision);
	totals = &j->core->links[link->link - j->core->config->links];
	totals->decided[j->sight->way]++;
	totals->lost[j->sight->way] += decision.reason != REASON_NONE;
	if (decision.corrupted)
		verdict_deed(j->verdict, decision.deed);
	if (decision.reason)
		judging_drop(j, decision.reason, link->link->id);
	else if (decision.twice)
		link_copy(j, link);
}

/* The one that decided stands first. */
static void decider_first(struct verdict *verdict, uint32_t decider)
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
		    path_schedule(j->core, copy, SCHEDULE_ENTERS, ns_add(j->sight->now, copy->plan->offset)))
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
			gather_group_send(j->core, group, j->sight->now);
	}
}

static void refuse_late(struct judging *j);

/* Not dropped by a rule or the link: into what holds it, or across the link. */
static void set_off(struct judging *j)
{
	struct verdict *verdict = j->verdict;
	ns_t now = j->sight->now;
	bool dark = j->plan->in_blackout && path_dark(judging_way(j), now) != DARK_NOT;

	if (j->session->unresolved && j->sight->way == WAY_UP)
		verdict->hold = HOLD_LOOKUP;
	if (j->plan->lost_at_exit && (dark || j->group))
		path_make_ghost(j->core, j->datagram, verdict);
	if (j->group) {
		if (!path_plan_keep(j->core, j->datagram))
			return refuse_late(j);
		if (!verdict->hold && !verdict->reason) {
			verdict->hold = HOLD_RULE;
			verdict->hold_name = j->group->rule->id;
		}
		group_finish(j);
		return;
	}
	if (dark && verdict->reason) { /* a ghost */
		if (path_plan_keep(j->core, j->datagram))
			path_enter(j->core, j->datagram, now, NULL);
		else
			path_die(j->core, j->datagram, j->plan, REASON_OVERLOAD, now, NULL);
		return;
	}
	path_enter(j->core, j->datagram, now, verdict);
}

/* Does it go into a pack: the open one where it fits, else one of its own where a rule says so? */
static bool packs(struct judging *j)
{
	struct session_way *way = judging_way(j);
	const struct pack *open = way->seldom->pack;
	size_t size = j->datagram->size;

	if (j->group)
		return false;
	if (open && gather_pack_takes(open, size, j->plan->in_blackout))
		return true;
	if (open)
		gather_pack_send(j->core, way, j->sight->now);
	return j->pack && size <= j->pack->size;
}

static void pack(struct judging *j)
{
	j->plan->undecided = !j->bypass;
	if (!j->bypass)
		verdict_by_link(j->verdict, j->session->link->id);
	if (gather_pack_join(j->core, j->datagram, j->pack ? j->pack->time.low : 0,
	        j->pack ? j->pack->size : 0, j->sight->now))
		return refuse_late(j);
	j->verdict->hold = HOLD_PACK;
}

static void dropped(struct judging *j)
{
	core_dropped(j->core, judging_way(j), (enum reason)j->verdict->reason, 1);
	if (j->group)
		gather_group_leave(j->group, j->datagram);
	j->datagram->plan = NULL; /* it is the caller's */
	core_datagram_free(j->core, j->datagram);
	orphans_enter(j);
	if (j->group)
		group_finish(j);
}

/* What would have to wait finds no memory. */
static void refuse_late(struct judging *j)
{
	core_unqueue(j->core, judging_way(j), 1);
	j->core->queued_bytes -= datagram_weight(j->datagram);
	judging_drop(j, REASON_OVERLOAD, 0);
	j->verdict->hold = HOLD_NONE;
	dropped(j);
}

/* Behind the rules: the link decides, then the datagram and its copies set off, or die. */
static void finish(struct judging *j)
{
	struct verdict *verdict = j->verdict;
	struct session_way *way = judging_way(j);
	bool packed = false;

	if (!verdict->reason) {
		core_count_queued(j->core, j->datagram);
		packed = packs(j);
		if (!packed && !j->bypass)
			decide_own(j);
		if (verdict->reason) {
			core_unqueue(j->core, way, 1);
			j->core->queued_bytes -= datagram_weight(j->datagram);
		}
	}
	decide_copies(j, j->plan->in_blackout);
	if (corrupted(verdict))
		way->tally.corrupted++;
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

void core_refuse(
    struct core *core, enum reason reason, const struct arrival *arrival, struct verdict *verdict)
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

/* Learns from its records, and counts it. */
static void look(
    struct core *core, struct session *session, const struct arrival *arrival, struct dtls_peek *peek)
{
	dtls_look(&session->dtls, arrival->way, arrival->bytes, arrival->size, peek);
	if (peek->new_hello) {
		session->handshakes++;
		for (int w = 0; w < WAYS; w++) {
			if (session->ways[w].seldom->attempts.count)
				attempts_clear(&seldom_own(&session->ways[w])->attempts);
			for (size_t i = 0; i < session->rule_count; i++)
				if (session->rules[i].restart)
					attempts_clear(&session->rules[i].restart->attempts[w]);
		}
	}
	session->ways[arrival->way].carried += arrival->size;
	session->seen++;
	core->seen_all++;
}

/* Which try of each of its handshake messages this is. */
static void count_attempts(struct core *core, struct session_way *way, struct sight *sight)
{
	struct seldom *own = sight->peek->message_count ? core_seldom(core, way) : NULL;

	for (uint32_t i = 0; i < sight->peek->message_count; i++) {
		sight->attempts[i] = own ? attempts_count(&own->attempts, &sight->peek->messages[i]) : 0;
		core->out_of_memory |= !sight->attempts[i];
	}
}

/* What rules see of it. */
static struct sight sight_of(
    struct core *core, struct session *session, const struct arrival *arrival, const struct dtls_peek *peek)
{
	struct session_way *way = &session->ways[arrival->way];
	struct sight sight = {.session = session,
	    .way = arrival->way,
	    .bytes = arrival->bytes,
	    .size = arrival->size,
	    .n = way->n,
	    .now = arrival->at,
	    .seen = session->seen,
	    .seen_all = core->seen_all,
	    .carried = way->carried,
	    .peek = peek,
	    .out_of_memory = &core->out_of_memory};

	if (core->config->any_attempt)
		count_attempts(core, way, &sight);
	return sight;
}

static void judge(struct core *core, struct session *session, const struct arrival *arrival,
    const struct dtls_peek *peek, struct datagram *datagram, struct verdict *verdict)
{
	struct session_way *way = &session->ways[arrival->way];
	struct plan plan = {0};
	struct sight sight = sight_of(core, session, arrival, peek);
	struct judging j = {.core = core,
	    .session = session,
	    .sight = &sight,
	    .datagram = datagram,
	    .plan = &plan,
	    .verdict = verdict};
	enum dark dark = path_dark(way, arrival->at);

	datagram->plan = &plan;
	remember_recent(core, way, &sight);
	remember_firsts(core, session, &sight);
	if (dark == DARK_DROP)
		judging_drop(&j, REASON_BLACKOUT, way->seldom->drop_by);
	plan.in_blackout = dark == DARK_HOLD;
	judge_rules(&j);
	finish(&j);
	if (verdict->copies)
		remember_copies(core, session, &sight, verdict->copies);
}

/* Is there nothing to judge: no rule, nothing that remembers, waits or holds, and a link that is clean? Then
 * what judge() would come to is known. */
static bool nothing_decides(const struct core *core, const struct session *session, enum way way)
{
	const struct config *config = core->config;

	return !session->rule_count && session->link->ways[way].clean && !session->unresolved &&
	       session->ways[WAY_UP].seldom == &seldom_none &&
	       session->ways[WAY_DOWN].seldom == &seldom_none && !config->recent && !config->first_count &&
	       !config->any_attempt;
}

static void pass(struct core *core, struct session *session, const struct arrival *arrival,
    struct datagram *datagram, struct verdict *verdict)
{
	struct link_state *link = core_link_state(core, session, session->link);

	core_count_queued(core, datagram);
	verdict_by_link(verdict, link->link->id);
	core->links[link->link - core->config->links].decided[arrival->way]++;
	path_pass(core, datagram, link, arrival->at, verdict);
}

/* It was counted, but goes no further. */
static void turn_away(struct core *core, struct session *session, const struct arrival *arrival,
    enum reason reason, struct verdict *verdict)
{
	verdict->reason = (uint8_t)reason;
	core_dropped(core, &session->ways[arrival->way], reason, 1);
	tell_records(verdict, &session->dtls, arrival);
}

/* NULL: there is no room for it. */
static struct datagram *take_in(struct core *core, struct session *session, const struct arrival *arrival)
{
	struct datagram *datagram;

	if (!core_holds(core, pool_weight(arrival->size)) || !core_is_prepared(core))
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
	datagram = take_in(core, session, arrival);
	if (!datagram) {
		turn_away(core, session, arrival, REASON_OVERLOAD, verdict);
		/* It is too much to take in, but the device has sent: what slept until then makes room. */
		if (arrival->way == WAY_UP)
			path_wake(core, session, arrival->at);
		return;
	}
	if (arrival->way == WAY_DOWN) {
		/* A NAT that has forgotten is silent: no rule sees what comes to it. */
		if (!nat_lives(&session->nat, session->section, arrival->mapping, arrival->at)) {
			core_datagram_free(core, datagram);
			turn_away(core, session, arrival, REASON_NAT_EXPIRED, verdict);
			return;
		}
		nat_in(&session->nat, session->section, arrival->at);
		timer_nat_arm(core, session);
	}
	look(core, session, arrival, &peek);
	verdict->type = peek.first.type;
	verdict->epoch = peek.first.epoch;
	verdict->number = peek.first.number;
	if (core->config->any_follow && arrival->way == WAY_UP)
		follow_see(core, session, arrival);
	if (nothing_decides(core, session, arrival->way))
		pass(core, session, arrival, datagram, verdict);
	else
		judge(core, session, arrival, &peek, datagram, verdict);
	if (core->limits.recorded && arrival->way == WAY_UP && !verdict->reason)
		timer_nat_out(core, session, arrival->at);
	/* Behind it: the datagram that wakes the radio pays for that itself. */
	if (arrival->way == WAY_UP)
		path_wake(core, session, arrival->at);
}

uint64_t core_arrivals(const struct core *core)
{
	return core->arrivals;
}
