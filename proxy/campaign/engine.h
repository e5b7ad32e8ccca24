/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine: runs the units of a campaign: which case next, on which bench, again after an invalid one, until
 * all have an outcome, the budget is used up, or a signal comes.
 *
 * It has one thread, which waits for children and signals in poll(2) and never blocks. Each slot runs one
 * case at a time. A slot has a bench: one of its own, or, if there is no [bench], all share one without a
 * name.
 */
#ifndef PROXY_CAMPAIGN_ENGINE_H
#define PROXY_CAMPAIGN_ENGINE_H

#include "campaign/expand.h"
#include "proxy/campaign/case.h"
#include "proxy/campaign/store.h"

struct engine_options {
	unsigned jobs;   /* 0: as the campaign says */
	bool again;      /* run also what has an outcome */
	bool is_by_unit; /* --unit: no baseline; units that are held are not waited for */
	bool is_shard;   /* --shard: the references of sweeps are run or waited for, whoever's they are */
};

/* The reason why the campaign stopped, for the user; "" if it went to the end. */
struct engine_end {
	char reason[400];
	bool is_usage; /* the first case could not be executed: exit status 2 */
	unsigned held; /* units that other live jobs hold */
};

/* Runs those of the plan's units whose `selected` is true (by index; units that are added later, faults of
 * sweeps, are selected by `selects`). Results are added to `results`, and `expansion` is kept up to date. */
typedef bool engine_selects(const struct unit *unit, void *user);
void engine_run(struct campaign_plan *plan, struct expansion *expansion, struct results *results,
    const struct store *store, const struct case_context *context, const struct engine_options *options,
    engine_selects *selects, void *user, struct engine_end *end);

#endif
