/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan: the cells of a campaign, and the units in the order in which they run.
 *
 * A cell is one combination of the axes' values, a unit is what one job executes: a case of the matrix
 * (m/CELL/SEED), a search in a cell (s/NAME/CELL), the references of a sweep (r/NAME/CELL) and, once these
 * have run, each of its faults at each place (w/NAME/CELL/PLACE-FAULT). Ids are safe as file names and in the
 * shell.
 */
#ifndef CAMPAIGN_PLAN_H
#define CAMPAIGN_PLAN_H

#include "base/dictionary.h"
#include "base/text.h"
#include "campaign/settings.h"

struct cell {
	const char *id;
	size_t *values; /* index of the value, for each axis */
	size_t index;
};

enum unit_kind { UNIT_MATRIX, UNIT_SEARCH, UNIT_REFERENCES, UNIT_SWEEP };

struct unit {
	enum unit_kind kind;
	const char *id;
	size_t cell;
	uint64_t seed;     /* of UNIT_MATRIX and UNIT_SWEEP */
	size_t section;    /* index of the search or sweep */
	const char *place; /* of UNIT_SWEEP: "down-finished" */
	const struct fault *fault;
};

struct campaign_plan {
	const struct settings *settings;
	struct cell *cells;
	size_t cell_count;
	struct unit *units;
	size_t unit_count;
	struct dictionary by_id; /* index + 1 of the unit, cast to a pointer */
};

/* Returns the plan without the faults of sweeps, or complains and returns NULL. What it holds lives
 * in the arena of the settings, but plan_free must be called. */
struct campaign_plan *plan_new(struct settings *settings, struct complaints *complaints);
void plan_free(struct campaign_plan *plan);

/* Adds one fault of a sweep. `place` is copied. */
void plan_add_fault(
    struct campaign_plan *plan, size_t sweep, size_t cell, const char *place, const struct fault *fault);

/* Returns the unit with this id, or NULL. */
const struct unit *plan_unit(const struct campaign_plan *plan, const char *id);
/* Returns the unit that a case belongs to: its own, or the search or references that it is a run of; or NULL.
 */
const struct unit *plan_unit_of_case(const struct campaign_plan *plan, const char *id);
/* Returns the cell with this id, or NULL. */
const struct cell *plan_cell(const struct campaign_plan *plan, const char *id);

/* Returns whether the selector fits the cell. */
bool plan_selects(const struct campaign_plan *plan, const struct selector *selector, const struct cell *cell);
/* Returns whether a bench, or what stands for it if there are none (NULL), may run the cell. */
bool plan_bench_fits(
    const struct campaign_plan *plan, const struct bench_section *bench, const struct cell *cell);
ns_t plan_timeout(const struct campaign_plan *plan, const struct cell *cell);
/* Returns the least share of passes of a cell, or -1 if nothing is required. */
double plan_requirement(const struct campaign_plan *plan, const struct cell *cell);
/* Returns the label of a cell's value on an axis, and the value. */
const struct axis_value *plan_value(const struct campaign_plan *plan, const struct cell *cell, size_t axis);

/* Adds the settings "[SECTION] KEY = VALUE" that make a cell, one a line. */
void plan_cell_settings(const struct campaign_plan *plan, const struct cell *cell, struct text *out);
/* Adds the setting for a figure of a search. */
void plan_search_setting(const struct search_section *search, double figure, struct text *out);

/* Returns the seed of run `run` (from 1) of a search: the seeds in turn, then counting on from the greatest.
 */
uint64_t plan_search_seed(const struct campaign_plan *plan, unsigned run);
/* Returns whether a unit belongs to shard `shard` of `shards`, counted from 1: by the FNV-1a hash of its id.
 */
bool plan_in_shard(const char *id, unsigned shard, unsigned shards);

#endif
