/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session: opens, finds, moves and ends sessions.
 *
 * Live sessions are in a hash table by entrance and device address, in a list by age and, until the cloud has
 * answered, in a list by silence, from which max_sessions evicts. An ended session leaves all three at once;
 * it is freed when its last reference is dropped.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache.h"
#include "rules/inside.h"

#define EACH_MAX 1000
#define PREFETCH_MIN 256 /* sessions; so few stay in the cache by themselves */

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

static size_t hash_of(const struct core *core, unsigned entrance, const struct address *device)
{
	return (address_hash(device) ^ chance_mix(entrance)) & (core->hash_size - 1);
}

/* Finds the session of a device in a hash chain. */
static struct session *chain_find(struct session *session, unsigned entrance, const struct address *device)
{
	while (session && !(session->entrance == entrance && address_equal(&session->device, device)))
		session = session->hash_next;
	return session;
}

struct session *session_find(const struct core *core, unsigned entrance, const struct address *device)
{
	return chain_find(core->hash[hash_of(core, entrance, device)], entrance, device);
}

bool core_should_prefetch(const struct core *core)
{
	return core->session_count >= PREFETCH_MIN;
}

static inline void prefetch_sessions(const struct session *session, enum way way)
{
	size_t way_start = offsetof(struct session, ways) + way * sizeof(struct session_way);
	size_t link = offsetof(struct session, first_link);
	size_t links = link + offsetof(struct link_state, ways) + way * sizeof(struct link_way_state);

	cache_prefetch(session, 0, offsetof(struct session, ways));
	cache_prefetch(session, way_start, way_start + sizeof(struct session_way));
	cache_prefetch(session, link, link + offsetof(struct link_state, ways));
	cache_prefetch(session, links, links + offsetof(struct link_way_state, awake));
}

void core_prefetch_session(const struct session *session)
{
	prefetch_sessions(session, WAY_DOWN);
}

/* Prefetches in passes (bucket, session, list neighbours), so that each pass hits the cache lines that the
 * previous one requested. */
bool core_prefetch_batch(const struct core *core, const unsigned *entrances,
    const struct address *const *devices, struct session **sessions, size_t count)
{
	size_t at[CORE_PREFETCH_MAX];

	if (!core_should_prefetch(core))
		return false;
	assert(count <= CORE_PREFETCH_MAX);
	for (size_t i = 0; i < count; i++) {
		at[i] = hash_of(core, entrances[i], devices[i]);
		__builtin_prefetch(&core->hash[at[i]]);
	}
	for (size_t i = 0; i < count; i++) {
		sessions[i] = core->hash[at[i]];
		if (sessions[i])
			__builtin_prefetch(sessions[i]);
	}
	for (size_t i = 0; i < count; i++) {
		sessions[i] = chain_find(sessions[i], entrances[i], devices[i]);
		if (sessions[i])
			prefetch_sessions(sessions[i], WAY_UP);
	}
	for (size_t i = 0; i < count; i++) {
		if (!sessions[i])
			continue;
		if (sessions[i]->silent_listed && sessions[i]->silent_older)
			__builtin_prefetch(sessions[i]->silent_older, 1);
		if (sessions[i]->silent_listed && sessions[i]->silent_newer)
			__builtin_prefetch(sessions[i]->silent_newer, 1);
	}
	return true;
}

struct session *core_find(const struct core *core, unsigned entrance, const struct address *device)
{
	return session_find(core, entrance, device);
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
		size_t at = hash_of(core, s->entrance, &s->device);

		s->hash_next = core->hash[at];
		core->hash[at] = s;
	}
}

static void hash_remove(struct core *core, struct session *session)
{
	struct session **link = &core->hash[hash_of(core, session->entrance, &session->device)];

	while (*link != session)
		link = &(*link)->hash_next;
	*link = session->hash_next;
}

static void hash_add(struct core *core, struct session *session)
{
	size_t at = hash_of(core, session->entrance, &session->device);

	session->hash_next = core->hash[at];
	core->hash[at] = session;
}

static void silent_remove(struct core *core, struct session *session)
{
	if (!session->silent_listed)
		return;
	list_remove(core->silent_oldest, core->silent_newest, session, silent_older, silent_newer);
	session->silent_listed = false;
}

static void silent_append(struct core *core, struct session *session)
{
	list_append(core->silent_oldest, core->silent_newest, session, silent_older, silent_newer);
	session->silent_listed = true;
}

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
	const struct rule *rule;

	for (*count = 0; next_rule(&walk, number);)
		++*count;
	states = *count ? calloc(*count, sizeof(*states)) : NULL;
	if (!states)
		return NULL;
	walk = begin_rule_walk(config, section);
	for (size_t i = 0; (rule = next_rule(&walk, number)); i++)
		states[i].rule = rule;
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

static struct session *session_open(struct core *core, unsigned entrance, const struct entrance *where,
    const struct address *device, ns_t now)
{
	struct session *session = session_new(core, config_device(core->config, device, where));

	if (!session) {
		core->out_of_memory = true;
		return NULL;
	}
	if (core->session_count >= core->hash_size)
		hash_grow(core);
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

	hash_add(core, session);
	list_append(core->oldest, core->newest, session, older, newer);
	core->session_count++;
	silent_append(core, session);

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

void core_cursor_begin(struct core *core, struct core_cursor *cursor)
{
	*cursor = (struct core_cursor){.next = core->oldest, .other = core->cursors};
	core->cursors = cursor;
}

struct session *core_cursor_next(struct core_cursor *cursor)
{
	struct session *session = cursor->next;

	if (session)
		cursor->next = session->newer;
	return session;
}

void core_cursor_end(struct core *core, struct core_cursor *cursor)
{
	struct core_cursor **link = &core->cursors;

	while (*link != cursor)
		link = &(*link)->other;
	*link = cursor->other;
}

bool core_may_open(
    struct core *core, const struct address *device, const uint8_t *bytes, size_t size, ns_t now)
{
	const size_t max = 256; /* bytes that are hashed */
	uint64_t key = chance_hash(size, bytes, size < max ? size : max) ^
	               chance_hash(4, device->ip, address_ip_size(device));
	struct opener *opener = &core->openers[key % (sizeof(core->openers) / sizeof(*core->openers))];

	if (opener->key != key || opener->second != now / NS_S)
		*opener = (struct opener){.key = key, .second = now / NS_S};
	return opener->count++ < CORE_OPENED_ALIKE;
}

enum reason core_refusal(const struct core *core)
{
	return core->refusal;
}

struct session *core_session(struct core *core, unsigned entrance, const struct entrance *where,
    const struct address *device, ns_t now, bool *opened)
{
	struct session *session = session_find(core, entrance, device);

	*opened = false;
	if (session)
		return session;
	core->refusal = REASON_MAX_SESSIONS;
	while (!shared_enter(core->shared, core->limits.max_sessions)) {
		if (!core->silent_oldest)
			return NULL;
		core_session_end(core, core->silent_oldest, SESSION_EVICTED, now);
	}
	core->refusal = REASON_OVERLOAD;
	session = session_open(core, entrance, where, device, now);
	*opened = session != NULL;
	if (!session)
		shared_leave(core->shared);
	else
		core_advance(core, now); /* run what is due at time 0 of its life before its first datagram */
	return session;
}

void core_session_touch(struct core *core, struct session *session, const struct arrival *arrival)
{
	ns_t now = arrival->at;

	if (now > session->last)
		session->last = now;
	if (session->answered)
		return;
	silent_remove(core, session);
	if (arrival->way == WAY_DOWN && !dtls_asks_cookie(arrival->bytes, arrival->size))
		session->answered = true;
	else
		silent_append(core, session);
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

void session_move(struct core *core, struct session *session, const struct address *device)
{
	hash_remove(core, session);
	session->device = *device;
	hash_add(core, session);
}

void core_session_end(struct core *core, struct session *session, enum session_end end, ns_t now)
{
	struct outcome *outcome;

	hash_remove(core, session);
	follow_forget(core, session);
	station_leave(session);
	for (struct core_cursor *cursor = core->cursors; cursor; cursor = cursor->other)
		if (cursor->next == session)
			cursor->next = session->newer;
	list_remove(core->oldest, core->newest, session, older, newer);
	silent_remove(core, session);
	core->session_count--;
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
