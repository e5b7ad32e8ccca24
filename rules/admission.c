/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * admission: whether a device that sends a datagram, has no session and continues none (follow.c) gets one,
 * or is refused.
 */
#include "rules/inside.h"

#define OPENED_ALIKE 1000 /* sessions per second */

enum reason admission_reason(enum admission admission)
{
	return admission == ADMISSION_FULL ? REASON_MAX_SESSIONS : REASON_OVERLOAD;
}

/* Loop protection: proxies that forward to one another would open sessions without end, each with the same
 * datagram. Returns true once OPENED_ALIKE sessions in this second, from one address, have begun with it. */
static bool is_loop(struct core *core, const struct address *device, const struct arrival *arrival)
{
	const size_t max = 256; /* bytes that are hashed */
	uint64_t key = chance_hash(arrival->size, arrival->bytes, arrival->size < max ? arrival->size : max) ^
	               chance_hash(4, device->ip, address_ip_size(device));
	struct opener *opener = &core->openers[key % (sizeof(core->openers) / sizeof(*core->openers))];

	if (opener->key != key || opener->second != arrival->at / NS_S)
		*opener = (struct opener){.key = key, .second = arrival->at / NS_S};
	return opener->count++ >= OPENED_ALIKE;
}

/* Reserves room for one session, for which the longest silent one may have to end. */
static bool make_room(struct core *core, ns_t now)
{
	while (!shared_enter(core->shared, core->limits.max_sessions)) {
		if (!core->silent_oldest)
			return false;
		core_session_end(core, core->silent_oldest, SESSION_EVICTED, now);
	}
	return true;
}

struct session *core_admit(struct core *core, unsigned entrance, const struct entrance *where,
    const struct address *device, const struct arrival *arrival, enum admission *admission)
{
	struct session *session;

	*admission = ADMISSION_LOOP;
	if (core->limits.real_time && is_loop(core, device, arrival))
		return NULL;
	*admission = ADMISSION_FULL;
	if (!make_room(core, arrival->at))
		return NULL;
	*admission = ADMISSION_NO_MEMORY;
	session = session_open(core, entrance, where, device, arrival->at);
	if (!session) {
		shared_leave(core->shared);
		return NULL;
	}
	*admission = ADMISSION_OPENED;
	core_advance(core, arrival->at); /* run what is due at time 0 of its life before its first datagram */
	return session;
}

struct session *core_session(struct core *core, unsigned entrance, const struct entrance *where,
    const struct address *device, const struct arrival *arrival, enum admission *admission)
{
	struct session *session = core_find(core, entrance, device);

	*admission = ADMISSION_KNOWN;
	if (!session)
		session = core_follow(core, entrance, device, arrival, admission);
	return session ? session : core_admit(core, entrance, where, device, arrival, admission);
}
