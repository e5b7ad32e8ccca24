/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * summary: collects the accounts of a run, from the cores and from sessions that have ended, into a
 * run_summary; and evaluates the checks that the user has configured.
 *
 * The last SUMMARY_ENDED_MAX ended sessions are kept one by one; the totals include all of them.
 */
#ifndef PROXY_SUMMARY_H
#define PROXY_SUMMARY_H

#include <stdint.h>

#include "base/text.h"
#include "proxy/run/setup.h"
#include "report/run_summary.h"
#include "rules/core_group.h"

#define SUMMARY_ENDED_MAX 10000

struct summary;

struct summary *summary_new(void);
void summary_free(struct summary *summary);

/* Stores the accounts of a session that ends. Any worker thread may call this. Functions below that take
 * `cores` or a live session are called while the workers are paused. */
void summary_session_ended(struct summary *summary, const struct session *session);

/* What the caller provides. */
struct summary_facts {
	const struct setup *setup;
	const char *version;
	uint64_t seed;
	ns_t started, ended; /* wall clock, since 1970 */
	bool is_over;
	ns_t began; /* start in the core's time; sessions' `began` in a run_summary is relative to it */
	ns_t now;   /* core's time */
	uint64_t kernel_drops, capture_written, capture_lost;
	uint64_t icmp_errors; /* reported by sends and reads */
	const struct run_summary_gateway *gateways;
	size_t gateway_count;
	const struct run_summary_change *changes;
	size_t change_count;
};

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CHECK = 3 };

/* A snapshot of the cores, collected session by session, so that the workers need not be paused for long.
 *
 *   summary_snapshot_begin ── summary_snapshot_session (per live session) ── summary_snapshot_end ──
 * summary_snapshot_free
 *
 * The workers may run between these calls.
 */
struct summary_snapshot {
	struct account totals[WAYS];          /* of all sessions, live and ended, and of refused datagrams */
	struct buckets *delays[WAYS];         /* of all sessions */
	struct run_summary_session *sessions; /* by number; NULL if not requested */
	size_t session_count;
	struct rule_totals *rules; /* by index */
	size_t rule_count;
	struct buckets late;
	ns_t at; /* set by the caller before the first session: core's time, to which `dark` refers */
	size_t live, dark; /* live sessions; of these, those in a blackout */
	uint64_t sessions_ever, sessions_left_out, queued_bytes;
	uint64_t kernel_drops; /* added up by the caller: on sockets of live sessions */
	uint64_t ended_before; /* sessions that had ended by summary_snapshot_begin */
	bool listed;           /* sessions are collected one by one */
};

/* `list`: collect the figures of each session too, not only the totals. */
void summary_snapshot_begin(struct summary *summary, bool list, struct summary_snapshot *now);
void summary_snapshot_session(struct summary_snapshot *now, const struct session *session);
void summary_snapshot_end(const struct summary *summary, const struct core_group *cores, size_t rule_count,
    struct summary_snapshot *now);
void summary_snapshot_free(struct summary_snapshot *now);
/* All of the above at once, if no worker is running. */
void summary_snapshot_all(
    struct summary *summary, const struct core_group *cores, size_t rule_count, struct summary_snapshot *now);

/* Fills `result`, to be freed with run_summary_fini; takes over the sessions in `now`. Checks are evaluated
 * only once the run is over. Then the exit status is `status`, or that of a failed check if `status` is
 * EXIT_DONE; before, there is none (-1).
 */
void summary_fill(struct summary_snapshot *now, const struct core_group *cores,
    const struct summary_facts *facts, enum exit_status status, struct run_summary *result);
/* Fills in the figures of session `number`; returns false if it is unknown, or not kept any more. */
bool summary_session(const struct summary *summary, const struct core_group *cores,
    const struct summary_facts *facts, uint32_t number, struct run_summary_session *session);
/* Completes the figures of a session in a summary_snapshot: makes `began` relative to the start of the run,
 * and marks a live session as ended if the run is over. */
void summary_finish_session(struct run_summary_session *session, const struct summary_facts *facts);
/* Prints the summary on standard error; `must` as in log_lines. If out of memory, logs that and returns -1.
 */
int summary_print(const struct run_summary *result, bool must);
/* Logs each check that has failed. */
void summary_log_failures(const struct run_summary *result);
/* Adds lines of `key=value` for the capture's closing statistics. */
void summary_statistics(const struct run_summary *result, struct text *out);
#endif
