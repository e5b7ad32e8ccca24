/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_table: the live sessions, found and listed.
 *
 * They are in a hash table by entrance and device address, in a list by age and, until the cloud has
 * answered, in a list by silence, from which max_sessions evicts. An ended session leaves all three at once.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/cache.h"
#include "rules/inside.h"

#define PREFETCH_MIN 256 /* sessions; so few stay in the cache by themselves */

/* ---- By entrance and device ---- */

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

struct session *core_find(const struct core *core, unsigned entrance, const struct address *device)
{
	return chain_find(core->hash[hash_of(core, entrance, device)], entrance, device);
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

void session_move(struct core *core, struct session *session, const struct address *device)
{
	hash_remove(core, session);
	session->device = *device;
	hash_add(core, session);
}

/* ---- By silence ---- */

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

/* ---- Both, and by age ---- */

void session_table_add(struct core *core, struct session *session)
{
	if (core->session_count >= core->hash_size)
		hash_grow(core);
	hash_add(core, session);
	list_append(core->oldest, core->newest, session, older, newer);
	silent_append(core, session);
	core->session_count++;
}

void session_table_remove(struct core *core, struct session *session)
{
	for (struct core_cursor *cursor = core->cursors; cursor; cursor = cursor->other)
		if (cursor->next == session)
			cursor->next = session->newer;
	hash_remove(core, session);
	list_remove(core->oldest, core->newest, session, older, newer);
	silent_remove(core, session);
	core->session_count--;
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

void core_cursors_end(struct core *core)
{
	core->cursors = NULL;
}

/* ---- Prefetching ---- */

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
