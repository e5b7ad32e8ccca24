/* core: sessions, outcomes and accounts; see core.h for the order of calls. */
#include "rules/core.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "rules/inside.h"

#define HASH_LEAST 256
#define OPENED_LEAST 65536
#define EACH_MOST 1000

struct core *core_new(
    const struct config *config, const struct names *names, const struct core_limits *limits, ns_t now)
{
	struct core *core = calloc(1, sizeof(*core));

	assert(core);
	core->config = config;
	core->names = names;
	core->limits = *limits;
	core->now = core->began = now;
	core->pool = pool_new();
	core->schedule = schedule_new();
	core->hash_size = HASH_LEAST;
	core->hash = calloc(core->hash_size, sizeof(struct session *));
	core->shared = calloc(config->rule_count + 1, sizeof(*core->shared));
	core->totals = calloc(config->rule_count + 1, sizeof(*core->totals));
	core->lateness = calloc(1, sizeof(*core->lateness));
	assert(core->hash && core->shared && core->totals && core->lateness);
	for (size_t i = 0; i < config->rule_count; i++) {
		core->shared[i].rule = &config->rules[i];
		if (config->rules[i].scope == SCOPE_ALL && !config->rules[i].since)
			timer_rule_arm(core, NULL, &core->shared[i], now, now);
	}
	return core;
}

/* ---- Outcomes ---- */

void core_outcome(struct core *core, const struct outcome *outcome)
{
	if (core->outcome_count == core->outcome_room) {
		size_t room = core->outcome_room ? 2 * core->outcome_room : 256;
		struct outcome *ring = malloc(room * sizeof(*ring));

		assert(ring);
		for (size_t i = 0; i < core->outcome_count; i++)
			ring[i] = core->outcomes[(core->outcome_first + i) % core->outcome_room];
		free(core->outcomes);
		core->outcomes = ring;
		core->outcome_room = room;
		core->outcome_first = 0;
	}
	core->outcomes[(core->outcome_first + core->outcome_count++) & (core->outcome_room - 1)] = *outcome;
}

bool core_next(struct core *core, struct outcome *outcome)
{
	free(core->told);
	core->told = NULL;
	if (!core->outcome_count)
		return false;
	*outcome = core->outcomes[core->outcome_first];
	core->outcome_first = (core->outcome_first + 1) & (core->outcome_room - 1);
	core->outcome_count--;
	if (outcome->kind == OUTCOME_EVENT)
		core->told = (char *)outcome->text;
	return true;
}

void core_event(struct core *core, struct session *session, ns_t at, const char *format, ...)
{
	struct text text = {0};
	va_list list;

	if (session)
		text_add(&text, "s=%u ", session->number);
	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	core_outcome(core, &(struct outcome){.kind = OUTCOME_EVENT, .at = at, .session = session, .text = text.at});
}

/* ---- Datagrams and accounts ---- */

struct datagram *core_datagram(struct core *core, struct session *session, enum way way, size_t size)
{
	struct datagram *datagram = pool_get(core->pool, size);

	if (!datagram)
		return NULL;
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

void core_count_queued(struct core *core, struct datagram *datagram)
{
	way_of(datagram)->account.queued++;
	core->queued_bytes += datagram->size;
}

static uint64_t datagrams_in(const struct datagram *datagram)
{
	return datagram->flags & DATAGRAM_JOINED ? datagram->parts->count : 1;
}

static void count_dropped(struct core *core, struct datagram *datagram, enum reason reason)
{
	struct account *account = &way_of(datagram)->account;
	uint64_t count = datagrams_in(datagram);

	core->queued_bytes -= datagram->size;
	if (datagram->session->end)
		return; /* counted when it ended */
	account->queued -= count;
	account->dropped[reason] += count;
}

void core_unsent(struct core *core, struct datagram *datagram, enum reason reason, ns_t at)
{
	count_dropped(core, datagram, reason);
	core_outcome(core, &(struct outcome){.kind = OUTCOME_UNSENT,
	                       .reason = reason,
	                       .at = at,
	                       .session = datagram->session,
	                       .datagram = datagram});
}

void core_failed(struct core *core, struct datagram *datagram, enum reason reason)
{
	count_dropped(core, datagram, reason);
}

void core_release(struct core *core, struct datagram *datagram)
{
	core_datagram_free(core, datagram);
}

static void count_delay(struct session_way *way, ns_t arrived, ns_t due, ns_t at)
{
	if (!way->delays && due > arrived)
		way->delays = calloc(1, sizeof(*way->delays));
	if (way->delays)
		buckets_add(way->delays, at - arrived);
}

static void count_sent(struct session_way *way, const struct datagram *datagram, uint32_t n, ns_t arrived, ns_t at)
{
	way->account.queued--;
	way->account.sent++;
	if (datagram->copy)
		return;
	if (n < way->sent_n)
		way->account.reordered++;
	else
		way->sent_n = n;
	count_delay(way, arrived, datagram->due, at);
}

void core_sent(struct core *core, struct datagram *datagram, ns_t at)
{
	struct session *session = datagram->session;
	struct session_way *way = way_of(datagram);

	if (!(datagram->flags & DATAGRAM_LATE))
		buckets_add(core->lateness, at - datagram->due);
	core->queued_bytes -= datagram->size;
	if (at > session->last)
		session->last = at;
	if (!session->end && !(datagram->flags & DATAGRAM_JOINED))
		count_sent(way, datagram, datagram->n, datagram->arrived, at);
	for (uint32_t i = 0; !session->end && (datagram->flags & DATAGRAM_JOINED) && i < datagram->parts->count; i++)
		count_sent(way, datagram, datagram->parts->all[i].n, datagram->parts->all[i].arrived, at);
	core_datagram_free(core, datagram);
}

/* ---- How many sessions an address has opened ---- */

static struct opened *opened_slot(struct opened *slots, size_t size, uint64_t key)
{
	size_t at = key & (size - 1);

	while (slots[at].key && slots[at].key != key)
		at = (at + 1) & (size - 1);
	return &slots[at];
}

/* Grows, or once there are more addresses than it may remember forgets those without a session. */
static void opened_make_room(struct core *core)
{
	size_t most = 4 * core->limits.max_sessions > OPENED_LEAST ? 4 * core->limits.max_sessions : OPENED_LEAST;
	size_t size = core->opened_size ? 2 * core->opened_size : 1024, count = 0;
	bool forget = core->opened_count >= most;
	struct opened *slots;

	if (core->opened_size && core->opened_count < core->opened_size / 2 && !forget)
		return;
	if (forget)
		size = core->opened_size;
	slots = calloc(size, sizeof(*slots));
	assert(slots);
	for (size_t i = 0; i < core->opened_size; i++) {
		if (!core->opened[i].key || (forget && !core->opened[i].live))
			continue;
		*opened_slot(slots, size, core->opened[i].key) = core->opened[i];
		count++;
	}
	free(core->opened);
	core->opened = slots;
	core->opened_size = size;
	core->opened_count = count;
}

static struct opened *opened_get(struct core *core, uint64_t key)
{
	struct opened *slot;

	opened_make_room(core);
	slot = opened_slot(core->opened, core->opened_size, key | 1);
	if (!slot->key) {
		slot->key = key | 1;
		core->opened_count++;
	}
	return slot;
}

/* ---- Sessions ---- */

static size_t hash_of(const struct core *core, unsigned listener, const struct address *device)
{
	return (address_hash(device) ^ chance_mix(listener)) & (core->hash_size - 1);
}

static struct session *session_find(const struct core *core, unsigned listener, const struct address *device)
{
	struct session *session = core->hash[hash_of(core, listener, device)];

	while (session && !(session->listener == listener && address_equal(&session->device, device)))
		session = session->hash_next;
	return session;
}

static void hash_grow(struct core *core)
{
	struct session **hash = calloc(2 * core->hash_size, sizeof(struct session *));

	if (!hash)
		return;
	free(core->hash);
	core->hash = hash;
	core->hash_size *= 2;
	for (struct session *s = core->oldest; s; s = s->newer) {
		size_t at = hash_of(core, s->listener, &s->device);

		s->hash_next = core->hash[at];
		core->hash[at] = s;
	}
}

static void silent_remove(struct core *core, struct session *session)
{
	if (!session->silent_listed)
		return;
	*(session->silent_older ? &session->silent_older->silent_newer : &core->silent_oldest) = session->silent_newer;
	*(session->silent_newer ? &session->silent_newer->silent_older : &core->silent_newest) = session->silent_older;
	session->silent_listed = false;
}

static void silent_append(struct core *core, struct session *session)
{
	session->silent_older = core->silent_newest;
	session->silent_newer = NULL;
	*(core->silent_newest ? &core->silent_newest->silent_newer : &core->silent_oldest) = session;
	core->silent_newest = session;
	session->silent_listed = true;
}

struct link_state *core_link_state(struct session *session, const struct link *link)
{
	struct link_state *state = session->links;

	while (state && state->link != link)
		state = state->next;
	if (state)
		return state;
	state = malloc(sizeof(*state));
	assert(state);
	link_state_init(state, link, session->key, session->header, session->began);
	state->next = session->links;
	session->links = state;
	return state;
}

/* Under which its sessions at this listener are counted. */
static uint64_t opened_key(const struct session *session)
{
	return session->identity_key ^ chance_mix(session->listener + 1);
}

static void draw_from(struct core *core, struct session *session)
{
	const char *identity = session->section ? session->section->identity : NULL;
	struct opened *opened;
	uint64_t who = chance_hash(1, session->device.ip, address_ip_size(&session->device));

	if (identity) {
		uint64_t named = chance_hash(2, identity, strlen(identity));

		opened = opened_get(core, chance_mix(named));
		if (opened->live) {
			core_event(core, session, session->began,
			    "identity %s is in use by another session: this one draws by its address", identity);
		} else {
			opened->live = 1;
			session->identity_used = true;
			who = named;
		}
	}
	session->identity_key = who;
	opened = opened_get(core, opened_key(session));
	opened->live++;
	session->key = chance_mix(chance_mix(core->limits.seed ^ who) + opened->count++);
}

static void rules_attach(struct core *core, struct session *session)
{
	const struct config *config = core->config;

	session->rules = calloc(config->rule_count + 1, sizeof(*session->rules));
	assert(session->rules);
	session->rule_count = 0;
	for (size_t i = 0; i < config->rule_count; i++)
		if (rule_concerns(&config->rules[i], session, config))
			session->rules[session->rule_count++].rule = &config->rules[i];
}

static void standing_apply(struct core *core, struct session *session, ns_t now)
{
	for (size_t i = 0; i < core->standing_count; i++) {
		const struct standing *s = &core->standing[i];
		struct action rest = *s->action;

		if (!rule_concerns(s->rule, session, core->config))
			continue;
		if (rest.act == ACT_BLACKOUT) {
			if (s->until <= now)
				continue;
			rest.time = (struct time_range){s->until - now, s->until - now};
		}
		judge_act(core, session, &rest, s->rule->id, now, 0, (struct draw){0});
	}
}

static struct session *session_open(
    struct core *core, unsigned listener, const struct address *listening, const struct address *device, ns_t now)
{
	struct session *session = calloc(1, sizeof(*session));
	char text[ADDRESS_TEXT_ROOM];
	size_t at;

	if (!session)
		return NULL;
	if (core->session_count >= core->hash_size)
		hash_grow(core);
	session->device = *device;
	session->listener = listener;
	session->number = ++core->sessions_ever;
	session->header = device->family == FAMILY_IPV6 ? 48 : 28;
	session->began = session->last = now;
	session->section = config_device(core->config, device, listening);
	session->link =
	    &core->config->links[session->section ? session->section->link : core->config->default_link];
	session->refs = 1;
	session->nat.told = NS_NEVER;
	for (int way = 0; way < WAYS; way++)
		session->ways[way].dark_drop = session->ways[way].dark_hold = INT64_MIN;
	dtls_init(&session->dtls);

	at = hash_of(core, listener, device);
	session->hash_next = core->hash[at];
	core->hash[at] = session;
	session->older = core->newest;
	*(core->newest ? &core->newest->newer : &core->oldest) = session;
	core->newest = session;
	core->session_count++;
	silent_append(core, session);

	core_event(core, session, now, "session-begins device=%s%s%s link=%s", address_text(device, text, sizeof(text)),
	    session->section ? " dev=" : "", session->section ? session->section->name : "", session->link->name);
	draw_from(core, session);
	rules_attach(core, session);
	for (size_t i = 0; i < session->rule_count; i++)
		if (session->rules[i].rule->scope == SCOPE_SESSION && !session->rules[i].rule->since)
			timer_rule_arm(core, session, &session->rules[i], now, now);
	standing_apply(core, session, now);
	timer_idle_set(core, session);
	return session;
}

struct session *core_session(struct core *core, unsigned listener, const struct address *listening,
    const struct address *device, ns_t now, bool *opened)
{
	struct session *session = session_find(core, listener, device);

	*opened = false;
	if (session)
		return session;
	if (core->session_count >= core->limits.max_sessions) {
		if (!core->silent_oldest)
			return NULL;
		core_session_end(core, core->silent_oldest, SESSION_EVICTED, now);
	}
	session = session_open(core, listener, listening, device, now);
	*opened = session != NULL;
	return session;
}

void core_session_touch(struct core *core, struct session *session, enum way way, ns_t now)
{
	if (now > session->last)
		session->last = now;
	if (session->answered)
		return;
	silent_remove(core, session);
	if (way == WAY_DOWN)
		session->answered = true;
	else
		silent_append(core, session);
}

static void each_check(struct core *core, const struct session *session)
{
	for (size_t i = 0; i < session->rule_count; i++) {
		const struct rule *rule = session->rules[i].rule;

		if (!rule->expect_each || span_holds(&rule->expect, session->rules[i].fired_ever))
			continue;
		if (core->each_count == EACH_MOST) {
			core->each_left_out++;
			continue;
		}
		if (core->each_count == core->each_room) {
			core->each_room = core->each_room ? 2 * core->each_room : 8;
			core->each = realloc(core->each, core->each_room * sizeof(*core->each));
			assert(core->each);
		}
		core->each[core->each_count++] = (struct each_failure){
		    .rule = rule->index, .session = session->number, .got = session->rules[i].fired_ever};
	}
}

void core_session_end(struct core *core, struct session *session, enum session_end end, ns_t now)
{
	struct session **link = &core->hash[hash_of(core, session->listener, &session->device)];

	while (*link != session)
		link = &(*link)->hash_next;
	*link = session->hash_next;
	*(session->older ? &session->older->newer : &core->oldest) = session->newer;
	*(session->newer ? &session->newer->older : &core->newest) = session->older;
	silent_remove(core, session);
	core->session_count--;
	if (session->identity_used)
		opened_get(core, chance_mix(session->identity_key))->live = 0;
	opened_get(core, opened_key(session))->live--;
	each_check(core, session);
	for (int way = 0; way < WAYS; way++) {
		struct account *account = &session->ways[way].account;

		account->dropped[REASON_MAX_SESSIONS] += account->queued;
		account->queued = 0;
	}
	session->end = end;
	session->ended = now;
	path_forget(core, session, REASON_MAX_SESSIONS, now);
	timer_cancel_all(core, session);
	core_event(core, session, now, "session-ends %s", end == SESSION_IDLE ? "idle" : "max-sessions");
	core_outcome(core, &(struct outcome){.kind = OUTCOME_ENDED, .at = now, .session = session});
}

static void rules_free(struct core *core, struct rule_state *rules, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		timer_cancel(core, &rules[i].timer);
		for (int way = 0; way < WAYS; way++) {
			free(rules[i].groups[way]);
			if (rules[i].restart)
				attempts_clear(&rules[i].restart->attempts[way]);
		}
		free(rules[i].restart);
	}
	free(rules);
}

static void session_free(struct core *core, struct session *session)
{
	while (session->links) {
		struct link_state *state = session->links;

		session->links = state->next;
		link_state_fini(state);
		free(state);
	}
	for (int w = 0; w < WAYS; w++) {
		struct session_way *way = &session->ways[w];

		for (unsigned i = 0; way->recent && i < way->recent_room; i++)
			if (way->recent[i])
				pool_put(core->pool, way->recent[i]);
		free(way->recent);
		free(way->delays);
		attempts_clear(&way->attempts);
	}
	for (unsigned i = 0; session->firsts && i < session->first_count; i++)
		if (session->firsts[i])
			pool_put(core->pool, session->firsts[i]);
	free(session->firsts);
	rules_free(core, session->rules, session->rule_count);
	free(session);
}

void core_session_hold(struct session *session)
{
	session->refs++;
}

void core_session_release(struct core *core, struct session *session)
{
	if (--session->refs == 0)
		session_free(core, session);
}

/* ---- Time ---- */

void core_advance(struct core *core, ns_t now)
{
	struct schedule_entry entry;

	while (schedule_next(core->schedule, now, &entry)) {
		if (entry.due > core->now)
			core->now = entry.due;
		switch (schedule_kind(&entry)) {
		case SCHEDULE_LEAVES: path_leave(core, entry.what, entry.due); break;
		case SCHEDULE_ENTERS: path_enter(core, entry.what, entry.due, NULL); break;
		case SCHEDULE_TIMER: timer_run(core, entry.what, entry.due); break;
		}
	}
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

/* ---- Reload ---- */

static const struct link *link_named(const struct config *config, const char *name)
{
	/* The last one first: a user's own [link clean] stands before the one that no section names. */
	for (size_t i = config->link_count; i-- > 0;)
		if (strcmp(config->links[i].name, name) == 0)
			return &config->links[i];
	return NULL;
}

static struct rule_state *state_named(struct rule_state *states, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (states[i].rule && strcmp(states[i].rule->name, name) == 0)
			return &states[i];
	return NULL;
}

/* Takes over what an old state of the same name has counted; what it no longer owns is cleared there. */
static void state_move(struct rule_state *into, struct rule_state *from)
{
	const struct rule *rule = into->rule;

	*into = *from;
	into->rule = rule;
	if (into->timer) {
		into->timer->subject = into;
		into->timer->slot = &into->timer;
	}
	*from = (struct rule_state){.rule = from->rule};
}

static bool same_times(const struct rule *a, const struct rule *b)
{
	return a->at_given == b->at_given && a->every_given == b->every_given &&
	       memcmp(&a->at, &b->at, sizeof(a->at)) == 0 && memcmp(&a->every, &b->every, sizeof(a->every)) == 0;
}

static void state_rearm(struct core *core, struct session *session, struct rule_state *state,
    const struct rule *before, ns_t began, ns_t now)
{
	if (state->rule->since && !state->restart)
		return timer_cancel(core, &state->timer);
	if (before && same_times(before, state->rule) && state->timer)
		return;
	if (state->restart)
		began = state->restart->at;
	timer_rule_arm(core, session, state, state->rounds ? now : began, now);
}

static void session_rules_reload(struct core *core, struct session *session, ns_t now)
{
	struct rule_state *old = session->rules;
	size_t old_count = session->rule_count;

	rules_attach(core, session);
	for (size_t i = 0; i < session->rule_count; i++) {
		struct rule_state *state = &session->rules[i];
		struct rule_state *from = state_named(old, old_count, state->rule->name);

		if (from)
			state_move(state, from);
		if (state->rule->scope == SCOPE_ALL)
			timer_cancel(core, &state->timer);
		else
			state_rearm(core, session, state, from ? from->rule : NULL, session->began, now);
	}
	/* What a rule that is gone had gathered goes on its way. */
	for (size_t i = 0; i < old_count; i++)
		for (int way = 0; way < WAYS; way++)
			if (old[i].groups[way] && old[i].groups[way]->count) {
				old[i].groups[way]->size = ACTION_PERMUTE_MAX + 1; /* never whole: in order of arrival */
				path_group_send(core, old[i].groups[way], now);
			}
	rules_free(core, old, old_count);
}

static void session_reload(
    struct core *core, struct session *session, const struct address *listening, const char *set, ns_t now)
{
	const struct config *config = core->config;
	const struct link *link = set ? link_named(config, set) : NULL;

	session->section = config_device(config, &session->device, listening);
	session->link_set = link != NULL;
	if (!link)
		link = &config->links[session->section ? session->section->link : config->default_link];
	session->link = link;
	session_rules_reload(core, session, now);
	timer_idle_set(core, session);
	timer_nat_arm(core, session);
}

/* Points what a session keeps of links at the new ones of the same name; of one that is gone, at the clean link. */
static void links_reload(struct session *session, const struct config *config)
{
	for (struct link_state *state = session->links; state; state = state->next) {
		const struct link *link = link_named(config, state->link->name);

		state->link = link ? link : &config->links[0];
		for (int way = 0; way < WAYS; way++) {
			struct link_way_state *s = &state->ways[way];

			/* Another trace may be shorter: its place is sought anew. */
			s->opportunity_open = false;
			s->opportunity = s->opportunity_left = 0;
			s->cycle = 0;
		}
	}
}

/* Firsts stay where the new configuration asks for the same kinds; what is behind `replay N` is gathered anew. */
static void firsts_reload(
    struct core *core, struct session *session, const struct config *before, const struct config *config)
{
	struct datagram **firsts = config->first_count ? calloc(config->first_count, sizeof(*firsts)) : NULL;

	for (size_t i = 0; session->firsts && i < session->first_count; i++) {
		size_t k = 0;

		while (k < config->first_count && memcmp(&config->firsts[k], &before->firsts[i], sizeof(struct kinds)) != 0)
			k++;
		if (firsts && k < config->first_count)
			firsts[k] = session->firsts[i];
		else if (session->firsts[i])
			pool_put(core->pool, session->firsts[i]);
	}
	free(session->firsts);
	session->firsts = firsts;
	session->first_count = firsts ? (unsigned)config->first_count : 0;
}

static void recent_forget(struct core *core, struct session *session)
{
	for (int w = 0; w < WAYS; w++) {
		struct session_way *way = &session->ways[w];

		for (unsigned i = 0; way->recent && i < way->recent_room; i++)
			if (way->recent[i])
				pool_put(core->pool, way->recent[i]);
		free(way->recent);
		way->recent = NULL;
		way->recent_next = 0;
	}
}

static void shared_reload(struct core *core, const struct config *config, ns_t now)
{
	struct rule_state *old = core->shared;
	struct rule_totals *totals = core->totals;
	size_t old_count = core->config->rule_count;

	core->shared = calloc(config->rule_count + 1, sizeof(*core->shared));
	core->totals = calloc(config->rule_count + 1, sizeof(*core->totals));
	assert(core->shared && core->totals);
	for (size_t i = 0; i < config->rule_count; i++) {
		struct rule_state *state = &core->shared[i];
		struct rule_state *from = state_named(old, old_count, config->rules[i].name);

		state->rule = &config->rules[i];
		if (from)
			core->totals[i] = totals[from->rule->index];
		if (from)
			state_move(state, from);
		if (state->rule->scope != SCOPE_ALL) {
			timer_cancel(core, &state->timer);
			continue;
		}
		state_rearm(core, NULL, state, from ? from->rule : NULL, core->began, now);
	}
	rules_free(core, old, old_count);
	free(totals);
}

/* Failures of sessions that have ended name rules by index: by the new one, where the rule is still there. */
static void each_reload(struct core *core, const struct config *config)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->each_count; i++) {
		struct each_failure failure = core->each[i];
		const char *name = core->config->rules[failure.rule].name;

		for (size_t k = 0; k < config->rule_count; k++)
			if (strcmp(config->rules[k].name, name) == 0) {
				failure.rule = (unsigned)k;
				core->each[kept++] = failure;
			}
	}
	core->each_count = kept;
}

/* Standing acts point into the old configuration: kept by name where rule and action are still there. */
static void standing_reload(struct core *core, const struct config *config)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->standing_count; i++) {
		struct standing s = core->standing[i];
		size_t index = (size_t)(s.action - s.rule->actions.all);

		for (size_t k = 0; k < config->rule_count; k++) {
			const struct rule *rule = &config->rules[k];

			if (strcmp(rule->name, s.rule->name) != 0 || index >= rule->actions.count ||
			    rule->actions.all[index].act != s.action->act)
				continue;
			s.rule = rule;
			s.action = &rule->actions.all[index];
			core->standing[kept++] = s;
		}
	}
	core->standing_count = kept;
}

void core_reload(struct core *core, const struct config *config, const struct core_limits *limits,
    const struct address *listening, ns_t now)
{
	const struct config *before = core->config;
	struct text name = {0};

	each_reload(core, config);
	shared_reload(core, config, now);
	standing_reload(core, config);
	core->config = config;
	core->limits = *limits;
	for (struct session *session = core->oldest; session; session = session->newer) {
		text_clear(&name);
		text_add(&name, "%s", session->link->name);
		links_reload(session, config);
		recent_forget(core, session);
		firsts_reload(core, session, before, config);
		session_reload(core, session, &listening[session->listener], session->link_set ? name.at : NULL, now);
	}
	text_free(&name);
}

/* ---- What is known ---- */

struct session *core_oldest(const struct core *core)
{
	return core->oldest;
}

size_t core_session_count(const struct core *core)
{
	return core->session_count;
}

uint32_t core_sessions_ever(const struct core *core)
{
	return core->sessions_ever;
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

uint64_t core_queued(const struct core *core)
{
	uint64_t sum = 0;

	for (const struct session *s = core->oldest; s; s = s->newer)
		sum += s->ways[WAY_UP].account.queued + s->ways[WAY_DOWN].account.queued;
	return sum;
}

uint64_t core_queued_bytes(const struct core *core)
{
	return core->queued_bytes;
}

size_t core_datagrams(const struct core *core)
{
	return pool_taken(core->pool);
}

size_t core_each_failures(struct core *core, struct each_failure *failures, size_t room)
{
	size_t ended = core->each_count, left_out = core->each_left_out, count;

	for (struct session *session = core->oldest; session; session = session->newer)
		each_check(core, session);
	count = core->each_count < room ? core->each_count : room;
	if (count)
		memcpy(failures, core->each, count * sizeof(*failures));
	count = core->each_count + core->each_left_out;
	core->each_count = ended; /* those that live on may yet hold */
	core->each_left_out = left_out;
	return count;
}

/* ---- The end ---- */

static void drop_plan(struct core *core, struct datagram *datagram);

static void drop_list(struct core *core, struct datagram_list *list)
{
	struct datagram *datagram;

	while ((datagram = datagram_take(list)))
		drop_plan(core, datagram);
}

static void drop_plan(struct core *core, struct datagram *datagram)
{
	struct plan *plan = datagram->plan;

	drop_list(core, &plan->copies);
	datagram->parts = plan->parts; /* which core_datagram_free frees */
	free(plan);
	core_datagram_free(core, datagram);
}

static void session_drop(struct core *core, struct session *session)
{
	for (int w = 0; w < WAYS; w++) {
		struct session_way *way = &session->ways[w];

		drop_list(core, &way->dark);
		drop_list(core, &way->asleep);
		if (way->pack) {
			drop_list(core, &way->pack->parts);
			free(way->pack);
			way->pack = NULL;
		}
		/* Held ones that are due stand in no schedule. */
		for (struct datagram *d = way->held.first, *next; d; d = next) {
			next = d->next;
			if (d->flags & DATAGRAM_DUE)
				core_datagram_free(core, d);
		}
		way->held = (struct datagram_list){0};
	}
	for (size_t i = 0; i < session->rule_count; i++)
		for (int w = 0; w < WAYS; w++) {
			struct group *group = session->rules[i].groups[w];

			for (uint32_t k = 0; group && k < group->count; k++)
				if (group->slots[k])
					drop_plan(core, group->slots[k]);
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
			core_datagram_free(core, outcome.datagram);
		else if (outcome.kind == OUTCOME_ENDED)
			core_session_release(core, outcome.session);
	}
	for (struct session *session = core->oldest; session; session = session->newer) {
		timer_cancel_all(core, session);
		session_drop(core, session);
	}
	rules_free(core, core->shared, core->config->rule_count);
	while (schedule_next(core->schedule, NS_NEVER, &entry)) {
		if (schedule_kind(&entry) == SCHEDULE_LEAVES)
			core_datagram_free(core, entry.what);
		else
			drop_plan(core, entry.what);
	}
	while (core->oldest) {
		struct session *session = core->oldest;

		core->oldest = session->newer;
		core_session_release(core, session);
	}
	assert(pool_taken(core->pool) == 0);
	free(core->totals);
	free(core->standing);
	free(core->each);
	free(core->outcomes);
	free(core->told);
	free(core->opened);
	free(core->hash);
	free(core->lateness);
	schedule_free(core->schedule);
	pool_free(core->pool);
	free(core);
}
