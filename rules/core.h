/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core: the impairment engine. It runs on virtual time and uses no sockets, clocks or files.
 *
 * A core is used by one thread. `deadzone run` feeds it kernel timestamps, `deadzone simulate` those of a
 * capture.
 *
 *   core_advance(now)      runs everything due up to `now`, in order
 *   core_session(…)        finds or opens the session of a device, or refuses the device
 *   core_arrive(…)         judges one datagram and fills its verdict
 *   core_next(&outcome)    returns the next thing the caller must do: send, record as unsent, log an event
 *   core_sent / core_failed / core_release    report the result; the datagram belongs to the core again
 *   core_due()             returns when to call core_advance next
 *
 * Take all outcomes before the next core_admit: opening a session may end another one, and its pending
 * sends would count as dropped. The outcomes of one call are in order of time.
 *
 * A datagram without delay is among the outcomes after its core_arrive or, if others are due before it,
 * after core_advance with the time of its arrival.
 *
 * Timestamps of different sockets may be slightly out of order. The core's time never steps back: an item
 * that is due before the current time is handled at once.
 *
 * In real time (core_limits.real_time) one core_advance runs a bounded number of timed rules; the rest stay
 * due, so that the caller can read its sockets in between.
 *
 * Invariant: for every session and way, received + copies = sent + dropped + queued after every call.
 */
#ifndef RULES_CORE_H
#define RULES_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/account.h"
#include "base/verdict.h"
#include "rules/shared.h"
#include "rules/session.h"

struct core;

struct core_limits {
	uint64_t seed;
	ns_t idle_timeout;
	uint64_t max_sessions;
	uint64_t max_queued;   /* bytes */
	size_t transport_size; /* bytes of each session's `room`; read by core_new only */
	bool reports_dark;     /* OUTCOME_DARK */
	bool real_time;        /* timed rules that are far behind skip rounds */
	bool recorded; /* the input was captured without a proxy: a reply may arrive before its request has
	                  left, so a NAT mapping is made or refreshed when the request arrives */
	struct shared *shared; /* state shared with the cores of other workers; NULL: there are none */
};

struct arrival {
	enum way way;
	uint8_t tos;
	const uint8_t *bytes;
	size_t size;
	ns_t at;
	uint32_t mapping; /* down: number of the NAT mapping it was sent to; 0: the current one */
	bool is_filtered; /* down: it comes from a server that the session has left */
};

enum outcome_kind {
	OUTCOME_SEND,   /* hand `datagram` to the network; answer with core_sent or core_failed */
	OUTCOME_UNSENT, /* `datagram` was dropped after its arrival was recorded; answer with core_release */
	OUTCOME_EVENT,  /* log `text` */
	OUTCOME_UPSTREAM, /* session->upstream has changed; nothing to answer */
	OUTCOME_DARK, /* a blackout of the whole device of `session` lasts until `at`; nothing to answer */
	OUTCOME_ENDED /* `session` ended: close its sockets; answer with core_session_release */
};

struct outcome {
	enum outcome_kind kind;
	enum reason reason;
	ns_t at;
	struct session *session; /* NULL: not about a session */
	struct datagram *datagram;
	uint32_t mapping; /* OUTCOME_SEND, up: number of the NAT mapping to send from */
	const char *text; /* valid until the next core_next */
	bool dark[WAYS];  /* OUTCOME_DARK: the directions */
	bool is_end;      /* OUTCOME_DARK: earlier blackouts end, too */
};

/* How often a rule matched and how often it fired, over all sessions. */
struct rule_totals {
	uint64_t matched, fired;
};

/* Datagrams that a link decided about, and those of them that it dropped at once. */
struct link_totals {
	uint64_t decided[WAYS], lost[WAYS];
};

/* `config` must stay valid until core_reload or core_free, `names` until core_free; the caller owns both. */
struct core *core_new(
    const struct config *config, const struct names *names, const struct core_limits *limits, ns_t now);
void core_free(struct core *core);

/* Replaces the configuration. Sessions, counters and queued datagrams are kept; sessions are matched anew
 * against the [device] sections. core_change_new may run beside the core; core_prepare and core_exchange need
 * it idle. core_prepare returns -1 without changing anything if out of memory. The old configuration is not
 * read after core_change_free. `entrances` are the caller's, by index. */
struct core_change;
struct core_change *core_change_new(const struct config *before, const struct config *after);
int core_prepare(struct core *core, struct core_change *change, const struct entrance *entrances);
void core_exchange(struct core *core, struct core_change *change, const struct core_limits *limits, ns_t now);
void core_change_free(struct core_change *change);
/* Performs all of these steps at once, for a caller that runs nothing else meanwhile. Aborts if memory is
 * out. */
void core_reload(struct core *core, const struct config *config, const struct core_limits *limits,
    const struct entrance *entrances, ns_t now);

/* Returns the open session of a device at an entrance, or NULL. */
struct session *core_find(const struct core *core, unsigned entrance, const struct address *device);
enum admission {
	ADMISSION_KNOWN,  /* the device has a session */
	ADMISSION_OPENED, /* a session was opened */
	ADMISSION_MOVED,  /* `[device] follow_cid`: it continues a session from another address */
	/* It is refused, because … */
	ADMISSION_FULL, /* … max_sessions is reached, and no session may be evicted */
	ADMISSION_LOOP, /* … too many sessions have begun with this datagram: proxies lead to each other */
	ADMISSION_NO_MEMORY
};
/* For a device that has no session at this entrance (core_find), and has sent `arrival`. core_follow moves a
 * session to it if the datagram carries that session's connection ID and a record number above all seen
 * there; else it returns NULL, and leaves *admission alone. After that, core_admit opens a session; it
 * returns NULL if the device is refused. */
struct session *core_follow(struct core *core, unsigned entrance, const struct address *device,
    const struct arrival *arrival, enum admission *admission);
struct session *core_admit(struct core *core, unsigned entrance, const struct entrance *where,
    const struct address *device, const struct arrival *arrival, enum admission *admission);
/* core_find, core_follow and core_admit, until one of them returns a session. */
struct session *core_session(struct core *core, unsigned entrance, const struct entrance *where,
    const struct address *device, const struct arrival *arrival, enum admission *admission);
/* Returns the reason of a refusal, for core_refuse. */
enum reason admission_reason(enum admission admission);
/* Prefetches the sessions of the devices whose datagrams will be judged next. Stores the session that each
 * device has, or NULL, in `sessions`. Returns false, without storing anything, if there are too few sessions
 * for prefetching to pay. */
#define CORE_PREFETCH_MAX 64 /* devices per call */
bool core_prefetch_batch(const struct core *core, const unsigned *entrances,
    const struct address *const *devices, struct session **sessions, size_t count);
/* Prefetches a session whose next datagram comes from its cloud. */
void core_prefetch_session(const struct session *session);
bool core_should_prefetch(const struct core *core);
/* Restarts the session's idle time, since `arrival` came from its device or cloud. core_arrive does this
 * itself. */
void core_session_touch(struct core *core, struct session *session, const struct arrival *arrival);
/* Take and drop a reference to the session. */
void core_session_hold(struct session *session);
void core_session_release(struct core *core, struct session *session);

/* Judges a datagram. Its packet id is core_arrivals() after the call. */
void core_arrive(
    struct core *core, struct session *session, const struct arrival *arrival, struct verdict *verdict);
uint64_t core_arrivals(const struct core *core);
/* Counts a datagram that belongs to no session (not-allowed, max-sessions) and fills its verdict. */
void core_refuse(
    struct core *core, enum reason reason, const struct arrival *arrival, struct verdict *verdict);

void core_advance(struct core *core, ns_t now);
ns_t core_due(const struct core *core);
/* Says that nothing more will arrive: stops the timed rules; queued datagrams still leave. */
void core_last_arrival(struct core *core);

bool core_next(struct core *core, struct outcome *outcome);
void core_sent(struct core *core, struct datagram *datagram, ns_t at);
void core_failed(struct core *core, struct datagram *datagram, enum reason reason);
void core_release(struct core *core, struct datagram *datagram);

/* Adds an event of the caller's to the outcomes. */
void core_event(struct core *core, struct session *session, ns_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Live commands: core_live_action carries out an action, core_live_fire all actions of a rule; none of them
 * may need a datagram. Both return the number of sessions concerned. */
enum live_whom { LIVE_ALL, LIVE_SESSION, LIVE_IDENTITY, LIVE_DEVICE };
struct live_target {
	enum live_whom whom;
	uint32_t session;     /* LIVE_SESSION: number */
	const char *identity; /* LIVE_IDENTITY: the session's identity, or its address without port */
	unsigned device;      /* LIVE_DEVICE: index of the section */
	bool echo;            /* another worker's core has already logged and counted it */
};
/* `by` is the requester's name in the capture. With LIVE_ALL and LIVE_DEVICE, blackouts and link changes
 * apply to later sessions too. */
size_t core_live_action(
    struct core *core, const struct action *action, const struct live_target *target, uint32_t by, ns_t now);
size_t core_live_fire(struct core *core, unsigned rule, const struct live_target *target, ns_t now);
/* Returns whether such an action concerns this core: a session or identity lives here, or all or a device's
 * are meant, also later ones. */
bool core_live_concerns(struct core *core, const struct live_target *target);

/* Returns whether an allocation has failed since the last call, so that something was refused as overload or
 * skipped (a copy, an event). */
bool core_out_of_memory(struct core *core);

/* An iterator over the live sessions that stays valid while sessions open and end. It visits each session
 * that lives from begin to end exactly once. */
struct core_cursor {
	struct session *next; /* NULL: at the end */
	struct core_cursor *other;
};
void core_cursor_begin(struct core *core, struct core_cursor *cursor);
struct session *core_cursor_next(struct core_cursor *cursor);
void core_cursor_end(struct core *core, struct core_cursor *cursor);
/* Ends all iterators: the task that used them was abandoned (base/memory.h). */
void core_cursors_end(struct core *core);

/* The head of the list of live sessions, the oldest first (see session.newer). */
struct session *core_oldest(const struct core *core);
size_t core_session_count(const struct core *core);
/* Returns whether all workers together are at or near max_sessions: the next session may end another, or be
 * refused. */
bool core_is_full(const struct core *core);
/* Returns the number of sessions ever opened, of all workers. */
uint32_t core_sessions_ever(const struct core *core);
const struct account *core_refused(const struct core *core, enum way way);
const struct buckets *core_lateness(const struct core *core);
const struct rule_totals *core_rule(const struct core *core, unsigned index);
const struct link_totals *core_link(const struct core *core, unsigned index);
uint64_t core_queued(const struct core *core); /* datagrams, including copies */
uint64_t core_queued_bytes(const struct core *core);
/* Returns the number of datagrams in memory; 0 once all have been sent or released. */
size_t core_datagrams(const struct core *core);

/* A session in which a rule with `expect … each` fired too seldom or too often. */
struct each_failure {
	unsigned rule;
	uint32_t session, got;
};
/* Returns the number of failures; stores up to `cap` of those that were recorded individually. */
size_t core_each_failures(struct core *core, struct each_failure *failures, size_t cap);

#endif
