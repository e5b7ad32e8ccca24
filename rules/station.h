/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * station: one device as its sessions together show it: all sessions of one device address or identity.
 *
 * It holds what `scope = device` counts and does, and the links with `shared = device`. Stations exist only
 * if the configuration has either. A station without sessions is kept, so that a device that comes back is
 * known, until there are more of them than max_sessions. All sessions together (`shared = all`) are a
 * station, too.
 */
#ifndef RULES_STATION_H
#define RULES_STATION_H

#include "rules/session.h"

/* The state of a rule with scope = device. */
struct station_rule {
	struct rule_state state; /* first, so that a timer's subject leads to its station */
	struct station *station;
};

/* A blackout or change of link that also applies to sessions opened later. */
struct station_standing {
	ns_t until[2][WAYS]; /* by enum blackout_mode */
	uint32_t by[2][WAYS];
	bool link_set;
	unsigned link;
	uint32_t link_by;
	uint32_t upstream, upstream_by; /* 0: none */
};

struct station {
	struct station *hash_next;
	uint64_t key;                  /* of its address or identity */
	struct session *sessions;      /* live ones, by station_next */
	uint32_t refs;                 /* sessions in memory */
	uint32_t asleep;               /* datagrams that wait on its links for the device to send, or more */
	struct station *older, *newer; /* among those without sessions */
	ns_t began;
	uint64_t seen; /* datagrams that the rules have seen */
	uint64_t carried[WAYS];
	struct station_rule *rules; /* by rule->station_index */
	size_t rule_count;
	struct station_rule *prepared; /* for a reload */
	struct link_user user;
	struct link_state *links; /* shared ones */
	struct station_standing standing;
};

struct stations {
	struct station **buckets; /* NULL: there are none yet */
	size_t size, count;
	struct station *oldest, *newest; /* without sessions */
	size_t idle;
	struct station everyone; /* for shared = all */
};

struct core;

void stations_init(struct core *core, ns_t now);
void stations_free(struct core *core);
/* Cancels the timers of all stations and frees what their rules own. */
void stations_clear(struct core *core);

/* Adds a session that opens to its station, and carries out what stands for the station's later sessions; if
 * out of memory, the session stays without. */
void station_join(struct core *core, struct session *session, ns_t now);
/* The session has ended. */
void station_leave(struct session *session);
/* The session is freed. */
void station_release(struct core *core, struct session *session);

/* Returns the state of a rule with scope = device; NULL without a station. */
static inline struct rule_state *station_state(struct station *station, const struct rule *rule)
{
	return station && rule->station_index < station->rule_count
	           ? &station->rules[rule->station_index].state
	           : NULL;
}

/* Returns the station of a timed rule's state. */
static inline struct station *station_of_state(struct rule_state *state)
{
	return ((struct station_rule *)(void *)state)->station;
}

/* Arms the timed rules of a session that has opened, unless its station has armed them before. */
void station_arm(struct core *core, struct session *session, ns_t now);
/* Returns the shared state that a session's state on a link is part of; NULL: none, or out of memory. */
struct link_state *station_link(struct core *core, struct session *session, const struct link *link);
/* Returns whose shared state this is. */
struct station *station_of_link(const struct link_state *shared);

struct core_change;
/* Reload: allocates new states for the rules of all stations; returns false if out of memory. */
bool stations_prepare(struct core *core, const struct config *after);
void stations_unprepare(struct core *core);

#endif
