/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case: one run of the test against one network with one seed.
 *
 *   bench ─→ prepare ─→ proxy ─→ test ─→ stop the proxy ─→ judge, cleanup ─→ over
 *     │         │         │        │              ↑                           ↑
 *     │         └─────────┴────────┴── failed ────┘                           │
 *     └── setup or change failed ─────────────────────────────────────────────┘
 *
 * case_new starts the first step, case_poll goes on from step to step as children end, never blocking. When
 * the case is over, case_take_result hands out what it came to; the caller stores it. `cleanup` runs whatever
 * happened.
 */
#ifndef PROXY_CAMPAIGN_CASE_H
#define PROXY_CAMPAIGN_CASE_H

#include <poll.h>

#include "campaign/result.h"
#include "proxy/campaign/network.h"

#define CASE_FDS 3 /* most descriptors that a case waits for */

/* The context that all cases of a campaign share. */
struct case_context {
	const struct campaign_plan *plan;
	const char *program; /* path of this program */
	const char *home;    /* folder of the campaign's file, where commands run */
	const char *sockets; /* folder of the control sockets */
	const char *subject; /* what is tested; NULL or "": unnamed */
	struct network_source network;
};

/* A command of the bench, to be run before the case: setup, or the change of an axis. */
struct case_command {
	const char *command;
	ns_t timeout;
};

/* Describes one case. Strings must outlive it. */
struct case_task {
	const char *id;
	const char *folder; /* absolute; made by the caller, empty */
	const struct cell *cell;
	const struct bench_section *bench; /* NULL: none */
	uint64_t seed;
	const char *extra;                     /* setting of a search, or NULL */
	const char *figure;                    /* of a search, or NULL */
	const char *fault;                     /* the rule of a sweep's fault, as ini text, or NULL */
	const struct sweep_section *places_of; /* a reference of this sweep; else NULL */
	bool is_clean;                         /* a baseline */
	const struct case_command *before;
	size_t before_count;
	const char *bench_log; /* where their output goes */
};

struct case_run;

struct case_run *case_new(const struct case_context *context, const struct case_task *task, ns_t now);
void case_free(struct case_run *run);
void case_poll(struct case_run *run, ns_t now);
bool case_is_over(const struct case_run *run);
/* Fills at most CASE_FDS entries; returns how many. */
size_t case_fds(const struct case_run *run, struct pollfd *fds);
/* Returns when case_poll must be called at the latest, or 0. */
ns_t case_due(const struct case_run *run);
/* Ends the test early and goes on with cleanup; the result is then worth nothing. If the test is over
 * already, the case ends as any other. */
void case_interrupt(struct case_run *run, ns_t now);
/* Kills everything at once. */
void case_kill(struct case_run *run);

/* Returns how many commands of the bench have run. */
size_t case_bench_done(const struct case_run *run);
/* Once the case is over: returns why a command of the bench failed, or NULL. Then there is no result. */
const char *case_bench_failure(const struct case_run *run);
/* Hands out the result of a case that is over, to be freed with result_fini, and the proxy's summary (NULL:
 * it wrote none), which the caller owns. */
void case_take_result(struct case_run *run, struct result *result, json_t **summary);
const struct case_task *case_task(const struct case_run *run);
/* Returns whether the case was ended early, by case_interrupt or case_kill. */
bool case_was_interrupted(const struct case_run *run);
/* Returns the process group that a next invocation must end, or 0. */
pid_t case_group(const struct case_run *run);

/* Runs a command that belongs to no case (teardown, subject) to its end, with the output in `log`;
 * `is_quiet`: only its standard output. `tick` is called again and again meanwhile; if it returns false, the
 * command is killed. Returns its exit status, or -1; unless that is 0, *error says why. */
int case_command(const struct case_context *context, const struct bench_section *bench,
    const struct case_command *command, const char *log, bool is_quiet, bool (*tick)(void *user), void *user,
    struct error *error);

#endif
