/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stations are in a hash table by key, and those without sessions in a list, the oldest first. A link counts
 * and draws for its `struct link_user`, whether that is a session's or a station's.
 */
#include "rules/station.h"

#include <stdlib.h>
#include <string.h>

#include "rules/inside.h"

#define BUCKETS_MIN 64

static bool is_needed(const struct config *config)
{
	return config->station_rules.count || config->shares_by_device;
}

/* ---- Life ---- */

static void user_init(struct core *core, struct link_user *user, uint64_t who, ns_t now)
{
	*user = (struct link_user){.key = chance_mix(core->limits.seed ^ who), .began = now};
}

void stations_init(struct core *core, ns_t now)
{
	user_init(core, &core->stations.everyone.user, 0, now);
}

static void free_links(struct station *station)
{
	while (station->links) {
		struct link_state *state = station->links;

		station->links = state->next;
		link_state_fini(state);
		free(state);
	}
}

static void clear_rules(struct core *core, struct station *station)
{
	for (size_t i = 0; i < station->rule_count; i++)
		session_rule_clear(core, &station->rules[i].state);
	free(station->rules);
	station->rules = NULL;
	station->rule_count = 0;
}

static struct station *station_at(const struct core *core, size_t bucket)
{
	return core->stations.buckets ? core->stations.buckets[bucket] : NULL;
}

void stations_clear(struct core *core)
{
	for (size_t i = 0; i < core->stations.size; i++)
		for (struct station *station = station_at(core, i); station; station = station->hash_next)
			clear_rules(core, station);
}

void stations_free(struct core *core)
{
	for (size_t i = 0; i < core->stations.size; i++)
		while (station_at(core, i)) {
			struct station *station = station_at(core, i);

			core->stations.buckets[i] = station->hash_next;
			clear_rules(core, station);
			free_links(station);
			free(station);
		}
	free(core->stations.buckets);
	free_links(&core->stations.everyone);
}

static struct station **bucket_of(const struct stations *stations, uint64_t key)
{
	return &stations->buckets[key & (stations->size - 1)];
}

static bool stations_grow(struct stations *stations)
{
	struct stations more = {.size = stations->size ? 2 * stations->size : BUCKETS_MIN};

	if (stations->count < stations->size)
		return true;
	more.buckets = calloc(more.size, sizeof(struct station *));
	if (!more.buckets)
		return stations->buckets != NULL;
	for (size_t i = 0; i < stations->size; i++)
		while (stations->buckets[i]) {
			struct station *station = stations->buckets[i];

			stations->buckets[i] = station->hash_next;
			station->hash_next = *bucket_of(&more, station->key);
			*bucket_of(&more, station->key) = station;
		}
	free(stations->buckets);
	stations->buckets = more.buckets;
	stations->size = more.size;
	return true;
}

static struct station_rule *rules_new(const struct config *config, struct station *station)
{
	struct station_rule *rules = calloc(config->station_rules.count + 1, sizeof(*rules));

	for (size_t i = 0; rules && i < config->station_rules.count; i++)
		rules[i] = (struct station_rule){
		    .state.rule = &config->rules[config->station_rules.all[i]], .station = station};
	return rules;
}

static struct station *station_new(struct core *core, uint64_t key, ns_t now)
{
	struct station *station = stations_grow(&core->stations) ? calloc(1, sizeof(*station)) : NULL;

	if (!station)
		return NULL;
	station->rules = rules_new(core->config, station);
	if (!station->rules) {
		free(station);
		return NULL;
	}
	station->rule_count = core->config->station_rules.count;
	station->key = key;
	station->began = now;
	for (int mode = 0; mode < 2; mode++)
		for (int way = 0; way < WAYS; way++)
			station->standing.until[mode][way] = INT64_MIN;
	user_init(core, &station->user, key, now);
	station->hash_next = *bucket_of(&core->stations, key);
	*bucket_of(&core->stations, key) = station;
	core->stations.count++;
	return station;
}

/* Forgets the station that has been without sessions for longest. */
static void forget_oldest(struct core *core)
{
	struct stations *stations = &core->stations;
	struct station *station = stations->oldest, **link = bucket_of(stations, station->key);

	while (*link != station)
		link = &(*link)->hash_next;
	*link = station->hash_next;
	list_remove(stations->oldest, stations->newest, station, older, newer);
	stations->idle--;
	stations->count--;
	clear_rules(core, station);
	free_links(station);
	free(station);
}

/* Carries out what stands for later sessions of the station. */
static void apply_standing(struct core *core, struct session *session, ns_t now)
{
	const struct station_standing *standing = &session->station->standing;

	for (unsigned mode = 0; mode < 2; mode++)
		for (int way = 0; way < WAYS; way++) {
			struct action action = {.act = ACT_BLACKOUT, .mode = (enum blackout_mode)mode};

			if (standing->until[mode][way] <= now)
				continue;
			action.ways[way] = true;
			action.time.low = action.time.high = standing->until[mode][way] - now;
			act_on_session(core, session, &action, standing->by[mode][way], now, 0,
			    (struct draw){0}, REACH_DEVICE);
		}
	if (standing->upstream)
		act_on_session(core, session,
		    &(struct action){.act = ACT_UPSTREAM, .upstream = standing->upstream},
		    standing->upstream_by, now, 0, (struct draw){0}, REACH_DEVICE);
	if (standing->link_set)
		act_on_session(core, session, &(struct action){.act = ACT_LINK, .link = standing->link},
		    standing->link_by, now, 0, (struct draw){0}, REACH_DEVICE);
}

void station_join(struct core *core, struct session *session, ns_t now)
{
	struct stations *stations = &core->stations;
	struct station *station;

	if (session->station || !is_needed(core->config))
		return;
	station = stations->buckets ? *bucket_of(stations, session->identity_key) : NULL;
	while (station && station->key != session->identity_key)
		station = station->hash_next;
	if (station && !station->refs) {
		list_remove(stations->oldest, stations->newest, station, older, newer);
		stations->idle--;
	}
	if (!station)
		station = station_new(core, session->identity_key, now);
	core->out_of_memory |= !station;
	if (!station)
		return;
	station->refs++;
	session->station = station;
	session->station_next = station->sessions;
	station->sessions = session;
	apply_standing(core, session, now);
}

void station_leave(struct session *session)
{
	struct session **link = session->station ? &session->station->sessions : NULL;

	if (!link)
		return;
	while (*link != session)
		link = &(*link)->station_next;
	*link = session->station_next;
}

void station_release(struct core *core, struct session *session)
{
	struct station *station = session->station;

	session->station = NULL;
	if (!station || --station->refs)
		return;
	list_append(core->stations.oldest, core->stations.newest, station, older, newer);
	if (++core->stations.idle > core->limits.max_sessions)
		forget_oldest(core);
}

/* ---- Rules ---- */

void station_arm(struct core *core, struct session *session, ns_t now)
{
	for (size_t i = 0; i < session->rule_count; i++) {
		const struct rule *rule = session->rules[i].rule;
		struct rule_state *state = rule->scope == SCOPE_DEVICE ? station_state(session->station, rule)
		                                                       : NULL;

		if (state && !rule->since && !state->timer && !state->rounds_ever)
			timer_rule_arm(core, NULL, state, now, now);
	}
}

bool stations_prepare(struct core *core, const struct config *after)
{
	for (size_t i = 0; i < core->stations.size; i++)
		for (struct station *station = station_at(core, i); station; station = station->hash_next) {
			free(station->prepared); /* of a change that another core could not make */
			station->prepared = rules_new(after, station);
			if (!station->prepared)
				return false;
		}
	return true;
}

void stations_unprepare(struct core *core)
{
	for (size_t i = 0; i < core->stations.size; i++)
		for (struct station *station = station_at(core, i); station; station = station->hash_next) {
			free(station->prepared);
			station->prepared = NULL;
		}
}

/* ---- Links ---- */

struct station *station_of_link(const struct link_state *shared)
{
	return (struct station *)(void *)((char *)(uintptr_t)shared->user - offsetof(struct station, user));
}

struct link_state *station_link(struct core *core, struct session *session, const struct link *link)
{
	struct station *station = link->shared == SHARED_ALL ? &core->stations.everyone : session->station;
	struct link_state *state = station ? station->links : NULL;

	if (!station || link->shared == SHARED_SESSION)
		return NULL;
	while (state && state->link != link)
		state = state->next;
	if (state)
		return state;
	state = core_alloc(core, sizeof(*state));
	if (!state)
		return NULL;
	link_state_init(state, link, &station->user);
	state->next = station->links;
	station->links = state;
	return state;
}
