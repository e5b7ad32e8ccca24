/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link: link_decide draws loss, corruption, duplication, latency and reordering from the seed; link_enter
 * takes the datagram through radio sleep (sleep_through), the bottleneck and its queue, and keeps the order.
 */
#include "rules/link.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The numbers of a datagram's draws on a link. */
enum link_draw {
	DRAW_LOSS,
	DRAW_STATE,
	DRAW_SCORE,
	DRAW_CORRUPT,
	DRAW_CORRUPT_BIT,
	DRAW_DUPLICATE,
	DRAW_LATENCY,
	DRAW_REORDER,
	DRAW_WAKE
};

void link_state_init(struct link_state *state, const struct link *link, const struct link_user *user)
{
	*state = (struct link_state){.link = link, .user = user, .carried = user->began};
	for (int way = 0; way < WAYS; way++)
		state->ways[way].last_due = state->ways[way].awake = INT64_MIN;
}

void link_state_fini(struct link_state *state)
{
	for (int way = 0; way < WAYS; way++) {
		if (state->ways[way].wire)
			free(state->ways[way].wire->waiting);
		free(state->ways[way].wire);
	}
}

/* Returns the state that holds what those who share the link have in common. */
static struct link_state *common(struct link_state *state)
{
	return state->shared ? state->shared : state;
}

static struct draw link_draw_for(struct link_state *state, enum way way, uint64_t n)
{
	return chance_draw(common(state)->user->key, way, n, state->link->draw_key);
}

uint32_t link_ordinal(const struct link_state *state, enum way way, uint32_t n)
{
	return state->shared ? state->shared->ways[way].chains.n : n;
}

/* ---- Chains ---- */

static void gilbert_step(struct link_chains *chains, const struct gilbert *g, struct draw draw)
{
	double both = g->to_bad + g->to_good;

	if (chains->n == 1)
		chains->bad = both > 0 && chance_unit(draw, DRAW_STATE) <
		                              g->to_bad / both; /* draw the stationary state */
	else if (chance_hit(draw, DRAW_STATE, chains->bad ? g->to_good : g->to_bad))
		chains->bad = !chains->bad;
}

static void score_step(struct link_chains *chains, double correlation, struct draw draw)
{
	double innovation = chance_normal_quantile(chance_unit(draw, DRAW_SCORE));

	if (chains->n == 1)
		chains->score = innovation;
	else
		chains->score = correlation * chains->score +
		                sqrt(1 - correlation * correlation) * innovation;
}

/* Without chains there is nothing to step; chains that a reload adds start from there. */
static void chains_skip(struct link_chains *chains, uint32_t n)
{
	if (n > chains->n)
		chains->n = n;
}

struct link_chains link_chains_at(struct link_state *state, enum way way, uint32_t n)
{
	const struct link_way *w = &state->link->ways[way];
	struct link_chains *newest = &common(state)->ways[way].chains;
	struct link_chains chains = n < newest->n ? (struct link_chains){0} : *newest;
	bool scored = w->correlation > 0 && w->jitter;

	if (!w->chained && !scored)
		chains_skip(&chains, n);
	while (chains.n < n) {
		struct draw draw = link_draw_for(state, way, ++chains.n);

		if (w->chained)
			gilbert_step(&chains, &w->gilbert, draw);
		if (scored)
			score_step(&chains, w->correlation, draw);
	}
	if (n > newest->n)
		*newest = chains;
	return chains;
}

/* ---- Deciding ---- */

static bool is_lost(const struct link_way *w, const struct link_chains *chains, struct draw draw)
{
	if (w->chained)
		return chance_hit(draw, DRAW_LOSS, chains->bad ? w->gilbert.loss_bad : w->gilbert.loss_good);
	return chance_hit(draw, DRAW_LOSS, w->loss);
}

static ns_t draw_lag(const struct link_way *w, const struct link_chains *chains, struct draw draw)
{
	double deviate, lag;

	if (!w->jitter)
		return w->latency;
	deviate = w->correlation > 0 ? dist_at_score(&w->dist, chains->score)
	                             : dist_at_share(&w->dist, chance_unit(draw, DRAW_LATENCY));
	if (w->dist.kind == DIST_LOGNORMAL)
		lag = deviate;
	else
		lag = (double)w->latency + (double)w->jitter * deviate;
	if (lag <= 0)
		return 0;
	return lag < (double)UNITS_TIME_MAX ? llround(lag) : UNITS_TIME_MAX;
}

static void corrupt_bit(struct datagram *datagram, struct draw draw, struct link_decision *decision)
{
	uint64_t bit = chance_below(draw, DRAW_CORRUPT_BIT, (uint64_t)datagram->size * 8);

	datagram->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	decision->corrupted = true;
	decision->mutation = (struct mutation){
	    .kind = MUTATION_CORRUPT, .byte = (uint16_t)(bit / 8), .value = (uint8_t)(bit % 8)};
}

void link_decide(struct link_state *state, enum arrival_kind kind, struct datagram *datagram,
    struct plan *plan, struct link_decision *decision)
{
	const struct link_way *w = &state->link->ways[datagram->way];
	enum way way = (enum way)datagram->way;
	struct link_chains chains;
	uint32_t n = datagram->n;

	*decision = (struct link_decision){0};
	plan->link = state;
	if (state->shared) /* by order of arrival at the link */
		n = kind == LINK_ORIGINAL ? link_ordinal(state, way, 0) + 1 : plan->chained_at;
	if (w->clean) {
		if (kind == LINK_ORIGINAL)
			chains_skip(&common(state)->ways[way].chains, n);
		return;
	}
	plan->draw = link_draw_for(state, way, n);
	if (kind == LINK_COPY)
		plan->draw = chance_copy(plan->draw, plan->salt);
	chains = link_chains_at(state, way, kind == LINK_ORIGINAL ? n : plan->chained_at);
	if (w->mtu && datagram->size + state->user->header > w->mtu) {
		decision->reason = REASON_MTU;
		return;
	}
	if (is_lost(w, &chains, plan->draw)) {
		if (w->loss_at == LOSS_ENTRY) {
			decision->reason = REASON_LOSS;
			return;
		}
		plan->lost_at_exit = true;
	}
	if (datagram->size && chance_hit(plan->draw, DRAW_CORRUPT, w->corrupt))
		corrupt_bit(datagram, plan->draw, decision);
	decision->twice = kind == LINK_ORIGINAL && chance_hit(plan->draw, DRAW_DUPLICATE, w->duplicate);
	plan->lag = draw_lag(w, &chains, plan->draw);
	plan->reordered = chance_hit(plan->draw, DRAW_REORDER, w->reorder);
}

void link_decide_copy(struct link_state *state, struct datagram *copy, struct plan *plan)
{
	const struct link_way *w = &state->link->ways[copy->way];
	uint32_t n = link_ordinal(state, (enum way)copy->way, copy->n);
	struct link_chains chains = link_chains_at(state, (enum way)copy->way, n);

	plan->link = state;
	plan->draw = chance_copy(link_draw_for(state, (enum way)copy->way, n), plan->salt);
	plan->lag = draw_lag(w, &chains, plan->draw);
	plan->lost_at_exit = w->loss_at == LOSS_EXIT && is_lost(w, &chains, plan->draw);
	plan->reordered = chance_hit(plan->draw, DRAW_REORDER, w->reorder);
}

/* ---- The bottleneck ---- */

static void prune_waiting(struct link_wire *s, ns_t now)
{
	while (s->waiting_count && s->waiting[s->waiting_first].start <= now) {
		s->waiting_bytes -= s->waiting[s->waiting_first].size;
		s->waiting_first = (s->waiting_first + 1) % s->waiting_cap;
		s->waiting_count--;
	}
}

static bool push_waiting(struct link_wire *s, ns_t start, uint32_t size)
{
	if (s->waiting_count == s->waiting_cap) {
		uint32_t cap = s->waiting_cap ? 2 * s->waiting_cap : 8;
		struct link_waiting *ring = malloc(cap * sizeof(*ring));

		if (!ring)
			return false;
		for (uint32_t i = 0; i < s->waiting_count; i++)
			ring[i] = s->waiting[(s->waiting_first + i) % s->waiting_cap];
		free(s->waiting);
		s->waiting = ring;
		s->waiting_cap = cap;
		s->waiting_first = 0;
	}
	s->waiting[(s->waiting_first + s->waiting_count++) % s->waiting_cap] = (struct link_waiting){
	    .start = start, .size = size};
	s->waiting_bytes += size;
	return true;
}

static bool is_queue_full(
    const struct link_way *w, const struct link_wire *s, uint32_t size, ns_t start, ns_t now)
{
	switch (w->queue.kind) {
	case AMOUNT_PACKETS: return s->waiting_count >= w->queue.value;
	case AMOUNT_BYTES: return s->waiting_bytes + size > w->queue.value;
	case AMOUNT_TIME: return (uint64_t)(start - now) > w->queue.value;
	}
	return false;
}

static ns_t began_of(const struct link_state *state)
{
	return state->shared ? state->shared->user->began : state->user->began;
}

static ns_t opportunity_time(
    const struct link_state *state, const struct trace *trace, const struct link_wire *s)
{
	return began_of(state) + ((ns_t)(s->cycle * trace->period_ms) + trace->at_ms[s->opportunity]) * NS_MS;
}

static void next_opportunity(const struct trace *trace, struct link_wire *s)
{
	if (++s->opportunity == trace->count) {
		s->opportunity = 0;
		s->cycle++;
	}
	s->opportunity_left = TRACE_OPPORTUNITY;
}

/* Returns the index of the first stamp of a cycle at or after `ms`, or the number of stamps if there is none.
 */
static uint32_t seek_stamp(const struct trace *trace, uint64_t ms)
{
	size_t low = 0, high = trace->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (trace->at_ms[middle] < ms)
			low = middle + 1;
		else
			high = middle;
	}
	return (uint32_t)low;
}

/* Moves on to the first opportunity at or after `from`; the rest of the current one is used if it qualifies.
 */
static void seek_opportunity(
    const struct link_state *state, const struct trace *trace, struct link_wire *s, ns_t from)
{
	uint64_t elapsed_ms = from > began_of(state)
	                          ? (uint64_t)((from - began_of(state) + NS_MS - 1) / NS_MS)
	                          : 0;
	uint64_t cycle = elapsed_ms / trace->period_ms;

	if (!s->opportunity_open) {
		s->opportunity_open = true;
		s->opportunity_left = TRACE_OPPORTUNITY;
	}
	if (cycle > s->cycle + 1) {
		/* The last stamp of the previous cycle coincides with the start of this one. */
		s->cycle = cycle - 1;
		s->opportunity = seek_stamp(trace, elapsed_ms - s->cycle * trace->period_ms);
		if (s->opportunity == trace->count) {
			s->cycle = cycle;
			s->opportunity = seek_stamp(trace, elapsed_ms - cycle * trace->period_ms);
		}
		s->opportunity_left = TRACE_OPPORTUNITY;
	}
	while (s->opportunity_left == 0 || opportunity_time(state, trace, s) < from)
		next_opportunity(trace, s);
}

/* When the transmission of a datagram starts and ends. */
struct transmission {
	ns_t start, end;
};

static struct transmission transmit_by_trace(
    const struct link_state *state, const struct trace *trace, struct link_wire *s, ns_t from, uint64_t bytes)
{
	struct transmission transmission;

	seek_opportunity(state, trace, s, from);
	transmission.start = transmission.end = opportunity_time(state, trace, s);
	while (bytes > s->opportunity_left) {
		bytes -= s->opportunity_left;
		next_opportunity(trace, s);
		transmission.end = opportunity_time(state, trace, s);
	}
	s->opportunity_left -= (uint32_t)bytes;
	return transmission;
}

static struct transmission transmit(
    const struct link_state *state, const struct link_way *w, struct link_wire *s, ns_t from, uint32_t size)
{
	uint64_t bytes = size + (w->overhead == OVERHEAD_IP ? state->user->header : w->overhead);
	struct transmission transmission = {.start = from, .end = from};

	if (w->trace.count)
		transmission = transmit_by_trace(state, &w->trace, s, from, bytes);
	else if (w->rate)
		transmission.end = ns_add(
		    from, (ns_t)((unsigned __int128)bytes * 8 * (uint64_t)NS_S / w->rate));
	transmission.end = ns_add(transmission.end, w->packet_time);
	return transmission;
}

static struct link_wire *get_wire(struct link_way_state *way)
{
	if (!way->wire && (way->wire = calloc(1, sizeof(*way->wire))))
		way->wire->busy = INT64_MIN;
	return way->wire;
}

/* Takes a datagram through the bottleneck. Sets *over to the end of its transmission, or returns why it is
 * dropped. */
static enum reason cross_bottleneck(struct link_state *state, const struct link_way *w,
    struct link_way_state *way, uint32_t size, ns_t now, ns_t *over)
{
	struct link_wire *s, before;
	struct transmission transmission;
	ns_t from;

	*over = now;
	if (!w->rate && !w->packet_time && !w->trace.count)
		return REASON_NONE;
	if (!(s = get_wire(way)))
		return REASON_OVERLOAD;
	from = now > s->busy ? now : s->busy;
	prune_waiting(s, now);
	before = *s;
	transmission = transmit(state, w, s, from, size);
	if (transmission.start > now) {
		enum reason reason = is_queue_full(w, s, size, transmission.start, now) ? REASON_QUEUE
		                     : !push_waiting(s, transmission.start, size)       ? REASON_OVERLOAD
		                                                                        : REASON_NONE;

		if (reason) {
			*s = before; /* a dropped datagram uses no opportunity */
			return reason;
		}
	}
	s->busy = transmission.end;
	*over = transmission.end;
	return REASON_NONE;
}

/* ---- Entering ---- */

/* Delays *now by the wake-up of the radio; returns false if the datagram must wait until the device sends. */
static bool sleep_through(struct link_state *state, const struct link_way *w, struct link_way_state *s,
    const struct datagram *datagram, const struct plan *plan, ns_t *now)
{
	if (!w->wake_after)
		return true;
	if (*now >= s->awake && *now - state->carried >= w->wake_after) {
		if (w->wake_delay.next_up && datagram->way == WAY_DOWN)
			return false;
		if (!w->wake_delay.next_up)
			s->awake = ns_add(*now, chance_time(plan->draw, DRAW_WAKE, &w->wake_delay.time));
	}
	if (s->awake > *now)
		*now = s->awake;
	return true;
}

/* Notes that the link was in use until `end`. */
static void set_carried(struct link_state *state, ns_t end)
{
	if (end > common(state)->carried)
		common(state)->carried = end;
}

/* Returns `due`, moved back if order = keep and an earlier datagram is due later. */
static ns_t keep_order(const struct link_way *w, struct link_way_state *s, enum arrival_kind kind, ns_t due)
{
	if (w->order != ORDER_KEEP)
		return due;
	if (due < s->last_due)
		due = s->last_due;
	if (kind == LINK_ORIGINAL)
		s->last_due = due;
	return due;
}

void link_enter(struct link_state *state, enum arrival_kind kind, const struct datagram *datagram,
    const struct plan *plan, ns_t now, struct passage *passage)
{
	const struct link_way *w = &state->link->ways[datagram->way];
	struct link_way_state *s = &state->ways[datagram->way];
	struct link_state *all = common(state);
	ns_t over;

	*passage = (struct passage){.outcome = PASSAGE_LEAVES, .due = now};
	if (!sleep_through(all, w, &all->ways[datagram->way], datagram, plan, &now)) {
		passage->outcome = PASSAGE_SLEEPS;
		return;
	}
	passage->reason = cross_bottleneck(state, w, &all->ways[datagram->way], datagram->size, now, &over);
	if (!passage->reason)
		set_carried(state, over);
	if (!passage->reason && plan->lost_at_exit)
		passage->reason = REASON_LOSS;
	if (passage->reason) {
		passage->outcome = PASSAGE_DROPPED;
		return;
	}
	passage->due = keep_order(w, s, kind, ns_add(over, plan->lag));
	if (plan->reordered && w->reorder_by.kind == AMOUNT_TIME) {
		passage->due = ns_add(passage->due, (ns_t)w->reorder_by.value);
	} else if (plan->reordered) {
		passage->hold = (uint32_t)w->reorder_by.value;
		passage->hold_max = w->reorder_wait;
	}
}

ns_t link_fast(struct link_state *state, const struct datagram *datagram, ns_t now)
{
	struct link_way_state *s = &state->ways[datagram->way];

	if (state->shared)
		state->shared->ways[datagram->way].chains.n++;
	else
		chains_skip(&s->chains, datagram->n);
	set_carried(state, now);
	return keep_order(&state->link->ways[datagram->way], s, LINK_ORIGINAL, now);
}

void link_wake(struct link_state *state, ns_t now)
{
	if (state->link->ways[WAY_DOWN].wake_delay.next_up)
		set_carried(state, now);
}
