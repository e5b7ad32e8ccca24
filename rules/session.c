/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session: opens, ends and frees sessions.
 *
 * An open session is in the tables of session_table.c. One that ends leaves them at once, and its accounts
 * are settled; it is freed when its last reference is dropped.
 */
#include <stdlib.h>
#include <string.h>

#include "rules/inside.h"

#define EACH_MAX 1000

/* ---- Rarely used state of a way ---- */

const struct way_extra way_extra_none = {.drop_until = INT64_MIN, .hold_until = INT64_MIN};

struct way_extra *core_way_extra(struct core *core, struct session_way *way)
{
	struct way_extra *extra;

	if (way->extra != &way_extra_none)
		return way_extra_writable(way);
	extra = core_alloc(core, sizeof(*extra));
	if (!extra)
		return NULL;
	*extra = way_extra_none;
	way->extra = extra;
	return extra;
}

void core_dropped(struct core *core, struct session_way *way, enum reason reason, uint32_t count)
{
	struct way_extra *extra = count ? core_way_extra(core, way) : NULL;
	struct account *refused = &core->refused[WAY_UP];

	if (extra)
		extra->dropped[reason] += count;
	/* If memory for the session's own count is out, count them as datagrams without a session. */
	for (; count && !extra; count--) {
		if (way->tally.received)
			way->tally.received--;
		else
			way->tally.copies--;
		refused->received++;
		refused->dropped[REASON_OVERLOAD]++;
	}
}

struct account way_account(const struct session_way *way)
{
	const struct tally *tally = &way->tally;
	struct account account = {.received = tally->received,
	    .bytes = tally->bytes,
	    .copies = tally->copies,
	    .sent = tally->sent,
	    .queued = tally->queued,
	    .corrupted = tally->corrupted,
	    .reordered = tally->reordered};

	for (int i = 0; i < REASON_COUNT; i++)
		account.dropped[i] = way->extra->dropped[i];
	return account;
}

static void free_way_extra(struct session_way *way)
{
	struct way_extra *extra = (struct way_extra *)way->extra;

	if (extra == &way_extra_none)
		return;
	attempts_clear(&extra->attempts);
	free(extra);
	way->extra = &way_extra_none;
}

/* ---- Sessions ---- */

struct link_state *core_link_state(struct core *core, struct session *session, const struct link *link)
{
	struct link_state *state = session->links;

	while (state && state->link != link)
		state = state->next;
	if (state && (link->shared == SHARED_SESSION || state->shared))
		return state;
	if (state) { /* a reload has made the link a shared one, or memory was out before */
		state->shared = station_link(core, session, link);
		return state;
	}
	state = session->links ? core_alloc(core, sizeof(*state)) : &session->first_link;
	if (!state) /* out of memory: it stays on the link that it used first */
		return &session->first_link;
	link_state_init(state, link, &session->user);
	state->shared = station_link(core, session, link);
	state->next = session->links;
	session->links = state;
	return state;
}

/* Returns the key under which sessions of this identity or address are counted: for each listener, or for
 * each port that devices send to, so that it does not matter whether DNS or DTLS comes first. */
static uint64_t opened_key(const struct session *session)
{
	uint64_t where = session->destination_port ? UINT64_C(1) << 32 | session->destination_port
	                                           : session->entrance + UINT64_C(1);

	return session->identity_key ^ chance_mix(where);
}

static size_t keys_remembered(const struct core *core)
{
	return 4 * core->limits.max_sessions;
}

static void init_draws(struct core *core, struct session *session)
{
	const char *identity = session->section ? session->section->identity : NULL;
	uint64_t who = chance_hash(1, session->device.ip, address_ip_size(&session->device));

	if (identity) {
		struct address address;
		struct error error;
		/* An identity that is an address draws like a device at that address. */
		uint64_t identity_hash = address_read_host(identity, &address, &error) == 0
		                             ? chance_hash(1, address.ip, address_ip_size(&address))
		                             : chance_hash(2, identity, strlen(identity));

		/* What is intercepted of one device, its DNS and its DTLS, goes by one identity. */
		session->identity_used = shared_identity_take(core->shared, chance_mix(identity_hash),
		    session->destination_port ? (uint32_t)who | 1 : 0, keys_remembered(core));
		if (session->identity_used)
			who = identity_hash;
		else
			core_event(core, session, session->user.began,
			    "identity %s is in use by another session: this one draws by its address",
			    identity);
	}
	session->identity_key = who;
	session->user.key = chance_mix(
	    chance_mix(core->limits.seed ^ who) +
	    shared_opened(core->shared, opened_key(session), keys_remembered(core)));
}

/* Merges two lists of rules, each in file order. */
struct rule_walk {
	const struct config *config;
	const struct indexes *lists[2];
	size_t at[2];
};

static struct rule_walk begin_rule_walk(const struct config *config, const struct device *section)
{
	static const struct indexes none;

	return (struct rule_walk){.config = config,
	    .lists = {
	        &config->shared_rules, section ? &config->own_rules[section - config->devices] : &none}};
}

/* Returns the next rule that applies to a session of this number, or NULL. */
static const struct rule *next_rule(struct rule_walk *walk, uint32_t number)
{
	for (;;) {
		bool more[2] = {walk->at[0] < walk->lists[0]->count, walk->at[1] < walk->lists[1]->count};
		const struct rule *rule;
		int from;

		if (!more[0] && !more[1])
			return NULL;
		from = !more[0] ||
		       (more[1] && walk->lists[1]->all[walk->at[1]] < walk->lists[0]->all[walk->at[0]]);
		rule = &walk->config->rules[walk->lists[from]->all[walk->at[from]++]];
		if (!rule->sessions.count || spans_hold(&rule->sessions, number))
			return rule;
	}
}

struct rule_state *session_rules_new(
    const struct config *config, const struct device *section, uint32_t number, uint32_t *count)
{
	struct rule_walk walk = begin_rule_walk(config, section);
	struct rule_state *states;
	const struct rule *rule, **rules;

	for (*count = 0; next_rule(&walk, number);)
		++*count;
	states = *count ? calloc(*count, sizeof(*states) + sizeof(*rules)) : NULL;
	if (!states)
		return NULL;
	rules = (const struct rule **)(void *)(states + *count);
	walk = begin_rule_walk(config, section);
	for (size_t i = 0; (rule = next_rule(&walk, number)); i++)
		states[i].rule = rules[i] = rule;
	return states;
}

static void apply_standing(struct core *core, struct session *session, ns_t now)
{
	const struct standing_action *moved = NULL; /* the latest counts, and `back` needs nothing */

	for (size_t i = 0; i < core->standing_count; i++) {
		const struct standing_action *s = &core->standing[i];
		struct action rest = s->action;

		if (!standing_action_concerns(core, s, session))
			continue;
		if (rest.act == ACT_UPSTREAM) {
			moved = s;
			continue;
		}
		if (rest.act == ACT_BLACKOUT) {
			if (s->until <= now)
				continue;
			rest.time = (struct time_range){s->until - now, s->until - now};
		}
		act_on_session(core, session, &rest, s->by, now, 0, (struct draw){0}, REACH_DEVICE);
	}
	if (moved && moved->action.upstream)
		act_on_session(
		    core, session, &moved->action, moved->by, now, 0, (struct draw){0}, REACH_DEVICE);
}

static void log_begin(struct core *core, struct session *session)
{
	const struct device *section = session->section;
	struct text text = core_event_begin(session);
	char device[ADDRESS_TEXT_SIZE];

	text_add_word(&text, "session-begins device=");
	text_add_word(&text, address_text(&session->device, device, sizeof(device)));
	if (section) {
		text_add_word(&text, " dev=");
		text_add_word(&text, section->name);
	}
	text_add_word(&text, " link=");
	text_add_word(&text, session->link->name);
	if (session->identity_used) {
		text_add_word(&text, " identity=");
		text_add_word(&text, section->identity);
	}
	core_event_end(core, session, session->user.began, text);
}

/* Returns NULL, having changed nothing, if out of memory. */
static struct session *session_new(struct core *core, const struct device *section)
{
	struct session *session = core_is_prepared(core) &&
	                                  shared_remembers(core->shared, keys_remembered(core))
	                              ? slots_get(core->memory)
	                              : NULL;

	if (!session)
		return NULL;
	session->section = section;
	session->number = shared_number(core->shared);
	session->rules = session_rules_new(core->config, section, session->number, &session->rule_count);
	if (session->rules || !session->rule_count)
		return session;
	shared_number_return(core->shared, session->number);
	slots_put(core->memory, session);
	return NULL;
}

struct session *session_open(struct core *core, unsigned entrance, const struct entrance *where,
    const struct address *device, ns_t now)
{
	struct session *session = session_new(core, config_device(core->config, device, where));

	if (!session) {
		core->out_of_memory = true;
		return NULL;
	}
	session->device = *device;
	session->entrance = entrance;
	session->destination_port = where->destination.port;
	session->user.header = device->family == FAMILY_IPV6 ? 48 : 28;
	session->user.began = session->last = now;
	session->link =
	    &core->config->links[session->section ? session->section->link : core->config->default_link];
	session->refs = 1;
	session->nat.told = NS_NEVER;
	for (int way = 0; way < WAYS; way++)
		session->ways[way].extra = &way_extra_none;
	dtls_init(&session->dtls);

	session_table_add(core, session);

	init_draws(core, session);
	log_begin(core, session);
	for (size_t i = 0; i < session->rule_count; i++)
		if (session->rules[i].rule->scope == SCOPE_SESSION && !session->rules[i].rule->since)
			timer_rule_arm(core, session, &session->rules[i], now, now);
	station_join(core, session, now);
	station_arm(core, session, now);
	apply_standing(core, session, now);
	timer_idle_set(core, session);
	return session;
}

static bool each_grow(struct core *core)
{
	size_t cap = core->each_cap ? 2 * core->each_cap : 8;
	struct each_failure *each = realloc(core->each, cap * sizeof(*each));

	core->out_of_memory |= !each;
	if (!each)
		return false;
	core->each = each;
	core->each_cap = cap;
	return true;
}

void session_each_check(struct core *core, const struct session *session)
{
	for (size_t i = 0; i < session->rule_count; i++) {
		const struct rule *rule = session->rules[i].rule;

		if (!rule->expect_each || span_holds(&rule->expect, session->rules[i].fired_ever))
			continue;
		if (core->each_count == EACH_MAX) {
			core->each_left_out++;
			continue;
		}
		if (core->each_count == core->each_cap && !each_grow(core)) {
			core->each_left_out++;
			continue;
		}
		core->each[core->each_count++] = (struct each_failure){
		    .rule = rule->index, .session = session->number, .got = session->rules[i].fired_ever};
	}
}

void core_session_end(struct core *core, struct session *session, enum session_end end, ns_t now)
{
	struct outcome *outcome;

	session_table_remove(core, session);
	follow_forget(core, session);
	station_leave(session);
	shared_leave(core->shared);
	if (session->identity_used)
		shared_release(core->shared, chance_mix(session->identity_key));
	shared_release(core->shared, opened_key(session));
	session_each_check(core, session);
	for (int way = 0; way < WAYS; way++) {
		core_dropped(core, &session->ways[way], REASON_MAX_SESSIONS, session->ways[way].tally.queued);
		core_unqueue(core, &session->ways[way], session->ways[way].tally.queued);
	}
	session->end = end;
	session->ended = now;
	path_drop_all(core, session, REASON_MAX_SESSIONS, now);
	timer_cancel_all(core, session);
	core_event(core, session, now, "session-ends %s", end == SESSION_IDLE ? "idle" : "max-sessions");
	outcome = core_outcome(core);
	if (outcome) {
		*outcome = (struct outcome){.kind = OUTCOME_ENDED, .at = now, .session = session};
	} else {
		session->older = core->ended;
		core->ended = session;
	}
}

void session_rule_clear(struct core *core, struct rule_state *state)
{
	timer_cancel(core, &state->timer);
	for (int way = 0; way < WAYS; way++) {
		free(state->groups[way]);
		state->groups[way] = NULL;
		if (state->restart)
			attempts_clear(&state->restart->attempts[way]);
	}
	free(state->restart);
	state->restart = NULL;
}

void session_rules_free(struct core *core, struct rule_state *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		session_rule_clear(core, &rules[i]);
	free(rules);
}

void session_recent_forget(struct core *core, struct session_way *way)
{
	struct way_extra *extra;

	if (!way->extra->recent)
		return;
	extra = way_extra_writable(way);
	for (unsigned i = 0; i < extra->recent_cap; i++)
		if (extra->recent[i])
			pool_put(core->pool, extra->recent[i]);
	free(extra->recent);
	extra->recent = NULL;
	extra->recent_next = 0;
}

static void session_free(struct core *core, struct session *session)
{
	while (session->links) {
		struct link_state *state = session->links;

		session->links = state->next;
		link_state_fini(state);
		if (state != &session->first_link)
			free(state);
	}
	for (int w = 0; w < WAYS; w++) {
		struct session_way *way = &session->ways[w];

		session_recent_forget(core, way);
		free(way->delays);
		free_way_extra(way);
	}
	for (unsigned i = 0; session->firsts && i < session->first_count; i++)
		if (session->firsts[i])
			pool_put(core->pool, session->firsts[i]);
	free(session->firsts);
	session_rules_free(core, session->rules, session->rule_count);
	station_release(core, session);
	slots_put(core->memory, session);
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
