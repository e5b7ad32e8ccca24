/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * summary: the accounts of a run, gathered from the core and from sessions that have ended, into a sheet; and
 * the checks that the user asked for.
 *
 * Of ended sessions the newest SUMMARY_ENDED_MAX are kept one by one; the totals hold all of them.
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

/* Keeps the accounts of a session that ends. Any worker's thread may call; the rest is called while they
 * stand still. */
void summary_session_ended(struct summary *summary, const struct session *session);

/* What only the caller knows. Wall-clock times in ns since 1970. */
struct summary_facts {
	const struct setup *setup;
	const char *version;
	uint64_t seed;
	ns_t started, ended;
	bool is_over;
	ns_t began; /* the core's time of the start: sessions' `began` counts from it */
	ns_t now;   /* the core's time */
	uint64_t kernel_drops, capture_written, capture_lost;
	uint64_t icmp_errors; /* ICMP errors told by sends and receives */
	const struct run_summary_change *changes;
	size_t change_count;
};

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CHECK = 3 };

/* What the cores know at one time: gathered session by session, so that the workers need not rest for long.
 *
 *   summary_now_begin ── summary_now_session for each live one ── summary_now_end at rest ── …
 * summary_now_free
 */
struct summary_now {
	struct account totals[WAYS];          /* of all sessions, live and ended, and of what was refused */
	struct buckets *delays[WAYS];         /* of all sessions */
	struct run_summary_session *sessions; /* by number; NULL: not wanted */
	size_t session_count;
	struct rule_totals *rules; /* by index */
	size_t rule_count;
	struct buckets late;
	ns_t at;           /* set before the first session: until when blackouts must last to count */
	size_t live, dark; /* sessions; of them those in a blackout */
	uint64_t sessions_ever, sessions_left_out, queued_bytes;
	uint64_t kernel_drops; /* the caller's: on sockets of live sessions */
	/* Of the ended sessions: how many there were at the beginning. */
	uint64_t ended_before;
	bool listed;
};

/* `list`: each session's figures too, not only the totals. */
void summary_now_begin(const struct summary *summary, bool list, struct summary_now *now);
void summary_now_session(struct summary_now *now, const struct session *session);
void summary_now_end(const struct summary *summary, const struct core_group *cores, size_t rule_count,
    struct summary_now *now);
void summary_now_free(struct summary_now *now);
/* All at once, where nothing goes on. */
void summary_now_all(const struct summary *summary, const struct core_group *cores, size_t rule_count,
    struct summary_now *now);

/* Fills a sheet, for run_summary_fini; the sessions in `now` become its own. Checks are judged only once the
 * run is over, and then its exit status is that of the checks unless `status` says worse; while it runs it
 * has none.
 */
void summary_sheet(struct summary_now *now, const struct core_group *cores, const struct summary_facts *facts,
    enum exit_status status, struct run_summary *result);
/* One session's, by number; false where it is not known (any more). */
bool summary_session(const struct summary *summary, const struct core_group *cores,
    const struct summary_facts *facts, uint32_t number, struct run_summary_session *session);
/* What the figures of a session in summary_now lack: when it began in the run, and that the run is over. */
void summary_place(struct run_summary_session *session, const struct summary_facts *facts);
/* Prints it on standard error; `must` as of log_lines. Without memory it says so instead, and returns -1. */
int summary_print(const struct run_summary *result, bool must);
/* Tells on standard error each check that does not hold. */
void summary_tell_failures(const struct run_summary *result);
/* Lines of `key=value` for the capture's closing statistics. */
void summary_statistics(const struct run_summary *result, struct text *out);
#endif
