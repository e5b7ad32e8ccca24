/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * findings: what the results of a campaign come to: shares, thresholds, faults, measures, and whether each
 * requirement holds.
 *
 * Call findings_new with the plan (expanded by expansion_update) and all results; every report reads it.
 * Nothing in it depends on when or in which order the cases ran.
 */
#ifndef CAMPAIGN_FINDINGS_H
#define CAMPAIGN_FINDINGS_H

#include "campaign/expand.h"
#include "campaign/statistics.h"

/* The cases of a matrix that differ only in their seed. */
struct cell_findings {
	unsigned outcomes[OUTCOMES];
	unsigned missing; /* cases without a result */
	struct passes passes;
	struct interval interval;
};

#define FINDINGS_CURVE 61 /* points of a search's curve */

/* A measure of the passing cases of a cell. */
struct measure_findings {
	double *values; /* in no order */
	size_t count;
	double low, median, high; /* 5 %, 50 % and 95 %; NAN: no value */
};

struct search_findings {
	struct search_result result;
	double quantiles[SEARCH_QUANTILES]; /* of the posterior of the threshold */
	double
	    curve[FINDINGS_CURVE]; /* share of passes, evenly over the span (its logarithm, if so searched) */
	const struct result **points; /* by number; skipped and invalid ones are no points */
	size_t point_count;
	unsigned no_points; /* cases in a row, at the end, that were none */
	bool is_incomplete; /* three cases in a row were no points, or it has not ended yet */
};

struct sweep_findings {
	const struct sweep_cell *cell;
	unsigned survived, judged, missing, invalid, skipped;
	double max_cost; /* seconds; NAN: unknown */
};

enum requirement_state {
	REQUIREMENT_HELD,
	REQUIREMENT_FAILED,
	REQUIREMENT_UNKNOWN, /* it could not be judged */
	REQUIREMENT_SKIPPED  /* there was nothing to judge: all cases were skipped */
};

enum requirement_kind { REQUIREMENT_CELL, REQUIREMENT_SEARCH, REQUIREMENT_SWEEP, REQUIREMENT_MEASURE };

struct requirement {
	enum requirement_kind kind;
	char *name;    /* "m/gprs", "s/outage/gprs", "w/lost/gprs", "gprs flash_seconds" */
	char *message; /* what was wanted and what came */
	enum requirement_state state;
	const char **failed; /* ids of the cases that failed */
	size_t failed_count;
};

struct findings {
	const struct campaign_plan *plan;
	const struct results *results;
	struct cell_findings *cells;       /* by cell */
	struct search_findings *searches;  /* by search, then by cell */
	struct sweep_findings *sweeps;     /* by sweep, then by cell */
	struct measure_findings *measures; /* by measure, then by cell */
	const char **measure_names;        /* built in, then those of [measure] sections */
	size_t measure_count;
	struct requirement *requirements;
	size_t requirement_count;
	unsigned done, invalid, missing; /* cases */
	bool has_failed;                 /* a requirement failed */
	bool is_complete;                /* every unit has an outcome */
};

struct findings *findings_new(
    const struct campaign_plan *plan, const struct expansion *expansion, const struct results *results);
void findings_free(struct findings *findings);
/* Returns the exit status: 3 a requirement failed, else 1 incomplete, else 0. */
int findings_exit(const struct findings *findings);

const struct search_findings *findings_search(const struct findings *findings, size_t search, size_t cell);
const struct sweep_findings *findings_sweep(const struct findings *findings, size_t sweep, size_t cell);
const struct measure_findings *findings_measure(const struct findings *findings, size_t measure, size_t cell);
/* Returns the extra network seconds that a fault cost; NAN: unknown. */
double findings_cost(const struct findings *findings, const struct unit *unit);

/* Writes a threshold, "> 300 s" and "< 1 s" outside the span. */
void findings_figure_text(const struct search_section *search, double figure, struct text *out);
/* Returns the result of a search as JSON: state, threshold, interval, slope, runs and `text`, the same in
 * words. The caller owns it. */
json_t *search_result_json(
    const struct search_section *search, const struct search_findings *found, const char *text);
/* Writes the result of a search in words: "42.5 s (40.1 s to 44.8 s), 17 runs". */
void findings_search_text(
    const struct search_section *search, const struct search_findings *found, struct text *out);

/* Feeds a search with the finished runs of its unit, in the order of their numbers; a number may be missing.
 * Returns how many there are; sets *no_points to how many in a row at the end were no points. */
unsigned search_replay(const struct unit *unit, const struct results *results, struct search *search,
    const struct search_section *section, const struct result **points, size_t *point_count,
    unsigned *no_points);
#define SEARCH_CASES_MAX 10000 /* greatest number of a run; a greater one is a stranger's */
/* Returns the greatest number of a run that has a result, and the result of one (NULL: none). */
unsigned search_last_run(const struct unit *unit, const struct results *results);
const struct result *search_run(const struct unit *unit, const struct results *results, unsigned run);
/* Ids are UNIT/NNN. */
void search_case_id(const struct unit *unit, unsigned run, struct text *id);
#define SEARCH_NO_POINTS_MAX 3 /* in a row: the search ends as incomplete */

#endif
