/*
 * summary: the accounts of a run, gathered from the core and from sessions that have ended, as text and as
 * JSON.
 *
 * Of ended sessions the newest SUMMARY_ENDED_MAX are kept one by one; the totals hold all of them.
 */
#ifndef PROXY_SUMMARY_H
#define PROXY_SUMMARY_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/text.h"
#include "proxy/setup.h"
#include "rules/core.h"

#define SUMMARY_ENDED_MAX 10000

struct summary;

struct summary *summary_new(void);
void summary_free(struct summary *summary);

/* Keeps the accounts of a session that ends. */
void summary_session_ended(struct summary *summary, const struct session *session);

/* What only the caller knows. Wall-clock times in ns since 1970; 0 for `ended`: it runs on. */
struct summary_facts {
	const struct setup *setup;
	const char *version;
	uint64_t seed;
	ns_t started, ended;
	ns_t began; /* the core's time of the start: sessions' `began` counts from it */
	ns_t now;   /* the core's time */
	uint64_t kernel_drops, capture_written, capture_lost;
	uint64_t network_news; /* ICMP errors told by sends and receives */
};

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CHECK = 3 };

/* Tells on standard error each check that the user asked for and that does not hold; gives how many. */
size_t summary_tell_failures(
    const struct summary *summary, struct core *core, const struct summary_facts *facts);
void summary_print(
    const struct summary *summary, struct core *core, const struct summary_facts *facts, FILE *out);
int summary_write_json(const struct summary *summary, struct core *core, const struct summary_facts *facts,
    int status, const char *path, struct error *error);
/* Lines of `key=value` for the capture's closing statistics. */
void summary_statistics(
    const struct summary *summary, struct core *core, const struct summary_facts *facts, struct text *out);
/* Both ways of all sessions and of what was refused. */
void summary_totals(const struct summary *summary, struct core *core, struct account totals[WAYS]);

#endif
