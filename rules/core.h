/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core: the whole behaviour, on virtual time, without a socket, a clock or a file.
 *
 * One core serves one thread: `deadzone run` gives it the kernel's stamps, `deadzone simulate` those of a
 * capture.
 *
 *   core_advance(now)      what became due by then happens, in order
 *   core_session(…)        finds or opens the session of a device
 *   core_arrive(…)         judges one datagram; the verdict is filled at once
 *   core_next(&outcome)    what the world must do now, in order: send, record as unsent, tell an event
 *   core_sent / core_failed / core_release    the caller's answer; the datagram is the core's again
 *   core_due()             when to call core_advance next
 *
 * Take all outcomes before the next core_session: opening one may end another, whose sends would count as
 * dropped. Those that one call brings stand in the order of their times.
 *
 * A datagram without delay is among the outcomes after its core_arrive, or after core_advance(now) with the
 * `now` of its arrival where others come before it.
 *
 * Times may come a little out of order between sockets; the core never steps back: what is due earlier than
 * something already done is done now.
 *
 * In real time (core_limits.real_time) one core_advance runs a bounded number of timed rules: what is left
 * stays due, so that sockets are read in between.
 *
 * Invariant: for every session and way, received + copies = sent + dropped + queued, after every call.
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
	size_t transport_size; /* of each session's `room`; read by core_new only */
	bool real_time; /* time goes on by itself: of timed rules that are far behind, rounds are passed over
	                 */
	bool recorded;  /* the peers are a recording without a proxy: an answer may come before its question
	                   has  left, so a NAT mapping is made or refreshed when the question arrives */
	struct shared *shared; /* what it shares with other workers' cores; NULL: it is alone */
};

struct arrival {
	enum way way;
	uint8_t tos;
	const uint8_t *bytes;
	size_t size;
	ns_t at;
	uint32_t mapping; /* down: the number of the NAT mapping that it came to; 0: the present one */
};

enum outcome_kind {
	OUTCOME_SEND,   /* hand `datagram` to the network; answer with core_sent or core_failed */
	OUTCOME_UNSENT, /* `datagram` died after its arrival was recorded; answer with core_release */
	OUTCOME_EVENT,  /* `text` */
	OUTCOME_ENDED   /* `session` ended: close what carries it; answer with core_session_release */
};

struct outcome {
	enum outcome_kind kind;
	enum reason reason;
	ns_t at;
	struct session *session; /* NULL: of no session */
	struct datagram *datagram;
	uint32_t mapping; /* OUTCOME_SEND, up: the NAT mapping that it leaves by */
	const char *text; /* until the next core_next */
};

/* How often a rule's conditions held and it acted, over all sessions. */
struct rule_totals {
	uint64_t matched, fired;
};

/* What a link decided about, and what of it it lost on arrival. */
struct link_totals {
	uint64_t decided[WAYS], lost[WAYS];
};

/* `config` is read until core_reload or core_free, `names` until core_free; both stay the caller's. */
struct core *core_new(
    const struct config *config, const struct names *names, const struct core_limits *limits, ns_t now);
void core_free(struct core *core);

/* Swaps the configuration whole: sessions, counters and what waits go on; running sessions are matched anew
 * against [device]. A change is made beside the running core (from the configuration in force to another),
 * then prepared and exchanged while the core rests; preparing gives -1 when memory is out: then nothing has
 * changed. The old configuration is not read after core_change_free. `listening`: the listeners' configured
 * addresses, by index. */
struct core_change;
struct core_change *core_change_new(const struct config *before, const struct config *after);
int core_prepare(struct core *core, struct core_change *change, const struct address *listening);
void core_exchange(struct core *core, struct core_change *change, const struct core_limits *limits, ns_t now);
void core_change_free(struct core_change *change);
/* All of it at once, where nothing goes on meanwhile. */
void core_reload(struct core *core, const struct config *config, const struct core_limits *limits,
    const struct address *listening, ns_t now);

/* Finds the session of a device at a listener, or opens one. NULL if there is none to be had (then `*opened`
 * is false): core_refusal says why, REASON_MAX_SESSIONS or REASON_OVERLOAD. `listening` is the listener's
 * address as configured. */
struct session *core_session(struct core *core, unsigned listener, const struct address *listening,
    const struct address *device, ns_t now, bool *opened);
/* The session of a device at a listener that is open already, or NULL. */
struct session *core_find(const struct core *core, unsigned listener, const struct address *device);
enum reason core_refusal(const struct core *core);
/* Proxies that lead to one another open sessions without end, each with the same datagram: at most
 * CORE_OPENED_ALIKE a second from one address may begin so. Asked, in real time, before core_session opens
 * one. */
#define CORE_OPENED_ALIKE 1000
bool core_may_open(
    struct core *core, const struct address *device, const uint8_t *bytes, size_t size, ns_t now);
/* Datagrams of these devices will be judged next: what is known of their sessions is fetched from memory
 * meanwhile, so that many sessions cost little more than few. Gives the session that each has so far, or
 * NULL; false where there are so few sessions that it does not pay. */
#define CORE_PREFETCH_MAX 64 /* most at once */
bool core_prefetch_batch(const struct core *core, unsigned listener, const struct address *const *devices,
    struct session **sessions, size_t count);
/* The same of a datagram that its cloud has sent. */
void core_prefetch_session(const struct session *session);
bool core_should_prefetch(const struct core *core);
/* `[device] follow_cid`: a datagram from an unknown address that carries the connection ID of a known
 * session, newer than all seen there: that session, which goes on from this address; else NULL. Asked before
 * core_session. */
struct session *core_follow(
    struct core *core, unsigned listener, const struct address *device, const struct arrival *arrival);
/* Something came from its device or cloud: it is not silent. core_arrive does this by itself. */
void core_session_touch(struct core *core, struct session *session, const struct arrival *arrival);
/* One more reason to keep the session in memory, and one less. */
void core_session_hold(struct session *session);
void core_session_release(struct core *core, struct session *session);

/* Judges a datagram. Its packet id is core_arrivals() after the call. */
void core_arrive(
    struct core *core, struct session *session, const struct arrival *arrival, struct verdict *verdict);
uint64_t core_arrivals(const struct core *core);
/* A datagram that no session takes (not-allowed, max-sessions): counts it and fills its verdict. */
void core_refuse(
    struct core *core, enum reason reason, const struct arrival *arrival, struct verdict *verdict);

void core_advance(struct core *core, ns_t now);
ns_t core_due(const struct core *core);
/* Nothing more arrives: timed rules end, what waits still comes. */
void core_last_arrival(struct core *core);

bool core_next(struct core *core, struct outcome *outcome);
void core_sent(struct core *core, struct datagram *datagram, ns_t at);
void core_failed(struct core *core, struct datagram *datagram, enum reason reason);
void core_release(struct core *core, struct datagram *datagram);

/* An event that the caller knows of: it takes its place among the outcomes. */
void core_event(struct core *core, struct session *session, ns_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What is asked for from outside while it runs: an action that needs no datagram, or a rule's actions. Both
 * give how many sessions they concerned; 0: there is none such. core_fire asks for a rule all of whose
 * actions need none. */
enum live_whom { LIVE_ALL, LIVE_SESSION, LIVE_IDENTITY, LIVE_DEVICE };
struct live_target {
	enum live_whom whom;
	uint32_t session; /* LIVE_SESSION: number */
	const char
	    *identity;   /* LIVE_IDENTITY: the name that its draws derive from, or its address without port */
	unsigned device; /* LIVE_DEVICE: index of the section */
	bool echo;       /* another worker's core has told and counted it already */
};
/* `by` is the name, in the capture, of who asks. With LIVE_ALL and LIVE_DEVICE blackouts and links hold for
 * sessions to come too. */
size_t core_do(
    struct core *core, const struct action *action, const struct live_target *target, uint32_t by, ns_t now);
size_t core_fire(struct core *core, unsigned rule, const struct live_target *target, ns_t now);

/* Has anything been refused as overload or skipped (a copy, an event) since the last call, because an
 * allocation failed? */
bool core_out_of_memory(struct core *core);

/* A place among the live sessions that stays right while sessions open and end: those that are there from
 * begin to end are each met once. */
struct core_cursor {
	struct session *next; /* NULL: at the end */
	struct core_cursor *other;
};
void core_cursor_begin(struct core *core, struct core_cursor *cursor);
struct session *core_cursor_next(struct core_cursor *cursor);
void core_cursor_end(struct core *core, struct core_cursor *cursor);

/* Live sessions, the oldest first; then what is known of all. */
struct session *core_oldest(const struct core *core);
size_t core_session_count(const struct core *core);
/* As many as may be, of all workers, or nearly: the next session may end another, or be refused. */
bool core_is_full(const struct core *core);
/* Of all workers. */
uint32_t core_sessions_ever(const struct core *core);
const struct account *core_refused(const struct core *core, enum way way);
const struct buckets *core_lateness(const struct core *core);
const struct rule_totals *core_rule(const struct core *core, unsigned index);
const struct link_totals *core_link(const struct core *core, unsigned index);
uint64_t core_queued(const struct core *core); /* datagrams that wait, copies included */
uint64_t core_queued_bytes(const struct core *core);
/* Datagrams in memory: 0 once all have been answered for. */
size_t core_datagrams(const struct core *core);

/* Rules with `expect … each`: sessions in which they fired too seldom or too often. */
struct each_failure {
	unsigned rule;
	uint32_t session, got;
};
/* Gives how many there are; fills in as many as there is room for, and as are remembered one by one. */
size_t core_each_failures(struct core *core, struct each_failure *failures, size_t cap);

#endif
