/* SPDX-License-Identifier: BSD-2-Clause */
/* core: memory, outcomes, accounts, time and teardown; see core.h for the order of calls. */
#include "rules/core.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "rules/inside.h"

#define HASH_MIN 4096
#define PREPARED 64        /* free places in outcomes and schedule; more than one datagram needs */
#define RULE_RUNS_MAX 1000 /* timed rules per core_advance, in real time */

/* Keeps rarely used code out of line, off the path of most datagrams. */
#define COLD __attribute__((noinline))

struct core *core_new(
    const struct config *config, const struct names *names, const struct core_limits *limits, ns_t now)
{
	struct core *core = memory_new(1, sizeof(*core));

	core->config = config;
	core->names = names;
	core->limits = *limits;
	core->now = core->began = now;
	core->shared_own = !limits->shared;
	core->shared = limits->shared ? limits->shared : shared_new();
	core->pool = pool_new();
	core->memory = slots_new(sizeof(struct session) + limits->transport_size);
	core->schedule = schedule_new();
	core->hash_size = HASH_MIN;
	core->hash = memory_new(core->hash_size, sizeof(struct session *));
	core->shared_rules = memory_new(config->rule_count + 1, sizeof(*core->shared_rules));
	core->totals = memory_new(config->rule_count + 1, sizeof(*core->totals));
	core->links = memory_new(config->link_count + 1, sizeof(*core->links));
	core->lateness = memory_new(1, sizeof(*core->lateness));
	if (!core_is_prepared(core))
		memory_out();
	stations_init(core, now);
	for (size_t i = 0; i < config->rule_count; i++) {
		core->shared_rules[i].rule = &config->rules[i];
		if (config->rules[i].scope == SCOPE_ALL && !config->rules[i].since)
			timer_rule_arm(core, NULL, &core->shared_rules[i], now, now);
	}
	return core;
}

/* ---- Memory ---- */

void *core_alloc(struct core *core, size_t size)
{
	unsigned before = core->reserve.count;
	void *memory = reserve_alloc(&core->reserve, size);

	core->out_of_memory |= !memory || core->reserve.count < before;
	return memory;
}

static COLD bool outcomes_grow(struct core *core)
{
	size_t cap = core->outcome_cap ? 2 * core->outcome_cap : 256;
	struct outcome *ring = malloc(cap * sizeof(*ring));

	if (!ring) {
		core->out_of_memory = true;
		return false;
	}
	for (size_t i = 0; i < core->outcome_count; i++)
		ring[i] = core->outcomes[(core->outcome_first + i) % core->outcome_cap];
	free(core->outcomes);
	core->outcomes = ring;
	core->outcome_cap = cap;
	core->outcome_first = 0;
	return true;
}

static COLD bool fill_reserves(struct core *core)
{
	bool prepared = reserve_fill(&core->reserve) && schedule_reserve(core->schedule, PREPARED);

	while (prepared && core->outcome_cap - core->outcome_count < PREPARED)
		prepared = outcomes_grow(core);
	core->out_of_memory |= !prepared;
	return prepared;
}

bool core_is_prepared(struct core *core)
{
	return (reserve_is_full(&core->reserve) && core->outcome_cap - core->outcome_count >= PREPARED &&
	           schedule_has_room(core->schedule, PREPARED)) ||
	       fill_reserves(core);
}

bool core_out_of_memory(struct core *core)
{
	bool was = core->out_of_memory;

	core->out_of_memory = false;
	return was;
}

/* ---- Outcomes ---- */

struct outcome *core_outcome(struct core *core)
{
	if (core->outcome_count == core->outcome_cap && !outcomes_grow(core))
		return NULL;
	return &core->outcomes[(core->outcome_first + core->outcome_count++) & (core->outcome_cap - 1)];
}

static COLD void free_event_text(struct core *core)
{
	free(core->told);
	core->told = NULL;
}

bool core_next(struct core *core, struct outcome *outcome)
{
	if (core->told)
		free_event_text(core);
	if (!core->outcome_count && core->ended) {
		struct session *session = core->ended;

		core->ended = session->older;
		*outcome = (struct outcome){.kind = OUTCOME_ENDED, .at = session->ended, .session = session};
		return true;
	}
	if (!core->outcome_count)
		return false;
	*outcome = core->outcomes[core->outcome_first];
	core->outcome_first = (core->outcome_first + 1) & (core->outcome_cap - 1);
	core->outcome_count--;
	if (outcome->kind == OUTCOME_EVENT)
		core->told = (char *)outcome->text;
	return true;
}

struct text core_event_begin(const struct session *session)
{
	struct text text = {0};

	if (session) {
		text_add_word(&text, "s=");
		text_add_number(&text, session->number);
		text_add_word(&text, " ");
	}
	return text;
}

void core_event_end(struct core *core, struct session *session, ns_t at, struct text text)
{
	struct outcome *outcome = text.failed ? NULL : core_outcome(core);

	if (!outcome) { /* the event is lost */
		core->out_of_memory = true;
		text_free(&text);
		return;
	}
	*outcome = (struct outcome){.kind = OUTCOME_EVENT, .at = at, .session = session, .text = text.at};
}

void core_event(struct core *core, struct session *session, ns_t at, const char *format, ...)
{
	struct text text = core_event_begin(session);
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	core_event_end(core, session, at, text);
}

/* ---- Datagrams and accounts ---- */

struct datagram *core_datagram(struct core *core, struct session *session, enum way way, size_t size)
{
	struct datagram *datagram = pool_get(core->pool, size);

	if (!datagram) {
		core->out_of_memory = true;
		return NULL;
	}
	datagram->session = session;
	datagram->way = (uint8_t)way;
	core_session_hold(session);
	return datagram;
}

void core_datagram_free(struct core *core, struct datagram *datagram)
{
	struct session *session = datagram->session;

	if (datagram->flags & DATAGRAM_JOINED)
		free(datagram->parts);
	pool_put(core->pool, datagram);
	core_session_release(core, session);
}

bool core_may_queue(struct core *core, uint64_t bytes)
{
	uint64_t whole = core->queued_bytes + bytes;

	if (whole > core->byte_budget)
		core->byte_budget += shared_bytes_take(
		    core->shared, whole - core->byte_budget, core->limits.max_queued);
	return whole <= core->byte_budget;
}

/* Returns the unused part of the core's byte budget, except for `keep` bytes. */
static void return_bytes(struct core *core, uint64_t keep)
{
	uint64_t whole = core->queued_bytes + keep;

	if (core->byte_budget <= whole)
		return;
	shared_bytes_give(core->shared, core->byte_budget - whole);
	core->byte_budget = whole;
}

void core_release_budget(struct core *core)
{
	return_bytes(core, 0);
}

/* After bytes were released: leaves a large unused budget to other workers. */
static void return_spare_bytes(struct core *core)
{
	uint64_t piece = shared_piece(core->limits.max_queued);

	if (core->byte_budget > core->queued_bytes + 2 * piece)
		return_bytes(core, piece);
}

void core_count_queued(struct core *core, struct datagram *datagram)
{
	way_of(datagram)->tally.queued++;
	core->queued++;
	core->queued_bytes += datagram_weight(datagram);
}

static uint32_t datagram_count(const struct datagram *datagram)
{
	return datagram->flags & DATAGRAM_JOINED ? datagram->parts->count : 1;
}

static void count_dropped(struct core *core, struct datagram *datagram, enum reason reason)
{
	uint32_t count = datagram_count(datagram);

	/* A datagram dropped while in the schedule keeps its memory until it is due. */
	if (!(datagram->flags & DATAGRAM_SCHEDULED))
		core->queued_bytes -= datagram_weight(datagram);
	return_spare_bytes(core);
	if (datagram->session->end)
		return; /* it was counted when the session ended */
	core_unqueue(core, way_of(datagram), count);
	core_dropped(core, way_of(datagram), reason, count);
}

void core_unsent(struct core *core, struct datagram *datagram, enum reason reason, ns_t at)
{
	struct outcome *outcome = core_outcome(core);

	count_dropped(core, datagram, reason);
	datagram->due = at;
	if (!outcome) /* out of memory: counted, but not recorded */
		return core_release(core, datagram);
	*outcome = (struct outcome){.kind = OUTCOME_UNSENT,
	    .reason = reason,
	    .at = at,
	    .session = datagram->session,
	    .datagram = datagram};
}

void core_failed(struct core *core, struct datagram *datagram, enum reason reason)
{
	count_dropped(core, datagram, reason);
}

void core_release(struct core *core, struct datagram *datagram)
{
	if (datagram->flags & DATAGRAM_SCHEDULED) { /* its place in the schedule stays until it is due */
		datagram->flags |= DATAGRAM_RELEASED;
		return;
	}
	core_datagram_free(core, datagram);
}

/* Starts to collect delays with the first that shows in the capture's microseconds. (Kernel timestamps within
 * a GSO train step back by a nanosecond.) */
static void count_delay(struct core *core, struct session_way *way, ns_t arrived, ns_t due, ns_t at)
{
	if (!way->delays && due - arrived >= NS_US / 2) {
		way->delays = calloc(1, sizeof(*way->delays));
		core->out_of_memory |= !way->delays;
	}
	if (way->delays)
		buckets_add(way->delays, at - arrived);
}

static void count_sent(struct core *core, struct session_way *way, const struct datagram *datagram,
    uint32_t n, ns_t arrived, ns_t at)
{
	core_unqueue(core, way, 1);
	way->tally.sent++;
	if (datagram->copy)
		return;
	if (n < way->sent_n)
		way->tally.reordered++;
	else
		way->sent_n = n;
	count_delay(core, way, arrived, datagram->due, at);
}

void core_sent(struct core *core, struct datagram *datagram, ns_t at)
{
	struct session *session = datagram->session;
	struct session_way *way = way_of(datagram);

	if (!(datagram->flags & DATAGRAM_LATE))
		buckets_add(core->lateness, at - datagram->due);
	core->queued_bytes -= datagram_weight(datagram);
	return_spare_bytes(core);
	if (at > session->last)
		session->last = at;
	if (!session->end && !(datagram->flags & DATAGRAM_JOINED))
		count_sent(core, way, datagram, datagram->n, datagram->arrived, at);
	for (uint32_t i = 0;
	     !session->end && (datagram->flags & DATAGRAM_JOINED) && i < datagram->parts->count; i++)
		count_sent(
		    core, way, datagram, datagram->parts->all[i].n, datagram->parts->all[i].arrived, at);
	core_datagram_free(core, datagram);
}

/* ---- Time ---- */

static COLD void run_due(struct core *core, ns_t now)
{
	struct schedule_entry entry;

	core_is_prepared(core); /* best effort; failure is harmless */
	core->asked = now;
	core->rule_runs = 0;
	while (core->rule_runs < RULE_RUNS_MAX && schedule_next(core->schedule, now, &entry)) {
		if (entry.due > core->now)
			core->now = entry.due;
		switch (entry.kind) {
		case SCHEDULE_LEAVES:
			if (path_unschedule(core, entry.what))
				path_leave(core, entry.what, entry.due);
			break;
		case SCHEDULE_ENTERS:
			if (path_unschedule(core, entry.what))
				path_enter(core, entry.what, entry.due, NULL);
			break;
		case SCHEDULE_TIMER: timer_run(core, entry.what, entry.due); break;
		}
	}
	return_spare_bytes(core);
}

void core_advance(struct core *core, ns_t now)
{
	if (schedule_due(core->schedule) <= now)
		run_due(core, now);
	if (now > core->now)
		core->now = now;
}

ns_t core_due(const struct core *core)
{
	return schedule_due(core->schedule);
}

void core_last_arrival(struct core *core)
{
	core->last_arrived = true;
}

/* ---- Statistics ---- */

struct session *core_oldest(const struct core *core)
{
	return core->oldest;
}

size_t core_session_count(const struct core *core)
{
	return core->session_count;
}

bool core_is_full(const struct core *core)
{
	/* Each of the other workers may open one at the same time. */
	uint64_t others = core->shared_own ? 0 : CORE_GROUP_MAX;

	return shared_sessions(core->shared) + others >= core->limits.max_sessions;
}

uint32_t core_sessions_ever(const struct core *core)
{
	return shared_numbers(core->shared);
}

const struct account *core_refused(const struct core *core, enum way way)
{
	return &core->refused[way];
}

const struct buckets *core_lateness(const struct core *core)
{
	return core->lateness;
}

const struct rule_totals *core_rule(const struct core *core, unsigned index)
{
	return &core->totals[index];
}

const struct link_totals *core_link(const struct core *core, unsigned index)
{
	return &core->links[index];
}

uint64_t core_queued(const struct core *core)
{
	return core->queued;
}

uint64_t core_queued_bytes(const struct core *core)
{
	return core->queued_bytes;
}

size_t core_datagrams(const struct core *core)
{
	return pool_taken(core->pool);
}

size_t core_each_failures(struct core *core, struct each_failure *failures, size_t cap)
{
	size_t ended = core->each_count, left_out = core->each_left_out, count;

	for (struct session *session = core->oldest; session; session = session->newer)
		session_each_check(core, session);
	count = core->each_count < cap ? core->each_count : cap;
	if (count)
		memcpy(failures, core->each, count * sizeof(*failures));
	count = core->each_count + core->each_left_out;
	core->each_count = ended; /* live sessions may still meet their expectation */
	core->each_left_out = left_out;
	return count;
}

/* ---- Teardown ---- */

static void free_planned(struct core *core, struct datagram *datagram);

static void free_planned_list(struct core *core, struct datagram_list *list)
{
	struct datagram *datagram;

	while ((datagram = datagram_pop(list)))
		free_planned(core, datagram);
}

static void free_planned(struct core *core, struct datagram *datagram)
{
	struct plan *plan = datagram->plan;

	free_planned_list(core, &plan->copies);
	datagram->parts = plan->parts; /* core_datagram_free frees them */
	free(plan);
	core_datagram_free(core, datagram);
}

static void free_queued(struct core *core, struct session *session)
{
	for (int w = 0; w < WAYS; w++) {
		struct way_extra *extra;

		if (session->ways[w].extra == &way_extra_none)
			continue;
		extra = way_extra_writable(&session->ways[w]);
		free_planned_list(core, &extra->blackout_held);
		free_planned_list(core, &extra->asleep);
		if (extra->pack) {
			free_planned_list(core, &extra->pack->parts);
			free(extra->pack);
			extra->pack = NULL;
		}
		/* Held datagrams that are due are not in the schedule. */
		for (struct datagram *d = extra->held.first, *next; d; d = next) {
			next = d->next;
			if (d->flags & DATAGRAM_DUE)
				core_datagram_free(core, d);
		}
		extra->held = (struct datagram_list){0};
	}
	for (size_t i = 0; i < session->rule_count; i++)
		for (int w = 0; w < WAYS; w++) {
			struct group *group = session->rules[i].groups[w];

			for (uint32_t k = 0; group && k < group->count; k++)
				if (group->slots[k])
					free_planned(core, group->slots[k]);
		}
}

void core_free(struct core *core)
{
	struct schedule_entry entry;
	struct outcome outcome;

	if (!core)
		return;
	core->last_arrived = true;
	while (core_next(core, &outcome)) {
		if (outcome.kind == OUTCOME_SEND || outcome.kind == OUTCOME_UNSENT)
			core_release(core, outcome.datagram);
		else if (outcome.kind == OUTCOME_ENDED)
			core_session_release(core, outcome.session);
	}
	for (struct session *session = core->oldest; session; session = session->newer) {
		timer_cancel_all(core, session);
		free_queued(core, session);
	}
	session_rules_free(core, core->shared_rules, core->config->rule_count);
	stations_clear(core);
	while (schedule_next(core->schedule, NS_NEVER, &entry)) {
		if (!path_unschedule(core, entry.what))
			continue;
		if (entry.kind == SCHEDULE_LEAVES)
			core_datagram_free(core, entry.what);
		else
			free_planned(core, entry.what);
	}
	while (core->oldest) {
		struct session *session = core->oldest;

		follow_forget(core, session);
		core->oldest = session->newer;
		core_session_release(core, session);
	}
	stations_free(core);
	assert(pool_taken(core->pool) == 0);
	free(core->totals);
	free(core->links);
	free(core->standing);
	free(core->each);
	free(core->outcomes);
	free(core->told);
	free(core->hash);
	shared_bytes_give(core->shared, core->byte_budget);
	if (core->shared_own)
		shared_free(core->shared);
	follow_free(core);
	free(core->lateness);
	reserve_free(&core->reserve);
	schedule_free(core->schedule);
	pool_free(core->pool);
	slots_free(core->memory);
	free(core);
}
