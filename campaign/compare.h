/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compare: two campaigns side by side, from their campaign.json: is the new one worse?
 *
 * Tests: Fisher's exact test in each cell, the posteriors of thresholds, Mann and Whitney's for measures with
 * `better`, the exact sign test over the places of a sweep. All of these are corrected together (Holm) and
 * judged at 5 %, two-sided. The test of Cochran, Mantel and Haenszel over all cells is judged by itself at
 * 2.5 %. Two campaigns of the same device are reported as worse in at most 2.5 % + 1.25 % of pairs, because
 * half of either error lies on the better side.
 */
#ifndef CAMPAIGN_COMPARE_H
#define CAMPAIGN_COMPARE_H

#include <jansson.h>

#include "base/error.h"
#include "base/text.h"
#include "campaign/statistics.h"

#define COMPARE_LEVEL 0.05
#define COMPARE_LEVEL_OVERALL 0.025

enum compared_kind { COMPARED_CELL, COMPARED_THRESHOLD, COMPARED_MEASURE, COMPARED_SWEEP };

/* One test. */
struct compared {
	enum compared_kind kind;
	char *name;             /* "gprs+2pct", "s/outage/gprs", "gprs flash_seconds", "w/lost/gprs" */
	char *text;             /* both sides, in words */
	double p, adjusted;     /* two-sided, before and after Holm */
	int direction;          /* -1: the new one is worse, 1: better, 0: neither */
	struct passes old, new; /* of COMPARED_CELL */
	int largest;            /* COMPARED_CELL: passes that would have been significantly worse; -1: none */
};

struct comparison {
	struct compared *all;
	size_t count;
	double overall; /* p over all cells; 1 if there are none */
	int overall_direction;
	char **notes; /* places that went from pass to fail, pairs by seed */
	size_t note_count;
	bool is_worse, is_better;
};

/* `sides`: the old campaigns, which are pooled, then the new one. Returns 0, or -1 and sets *error if they
 * have nothing in common. */
int compare(const json_t *const *sides, size_t count, struct comparison *comparison, struct error *error);
void comparison_free(struct comparison *comparison);
/* Returns whether a test says worse (-1), better (1) or neither, at its level. */
int compared_verdict(const struct compared *compared);

#endif
