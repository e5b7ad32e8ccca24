/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * findings: what results come to. Matrix, searches and sweeps are counted one after the other; then each
 * requirement is judged on what has been counted. A requirement that fails on the cases at hand has failed,
 * however many are still missing; one that holds on them is unknown until all have an outcome.
 */
#include "campaign/findings_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* ---- Matrix ---- */

static void count_matrix(struct findings *findings)
{
	const struct campaign_plan *plan = findings->plan;

	for (size_t i = 0; i < plan->unit_count; i++) {
		const struct unit *unit = &plan->units[i];
		struct cell_findings *cell = &findings->cells[unit->cell];
		const struct result *result;

		if (unit->kind != UNIT_MATRIX)
			continue;
		result = results_get(findings->results, unit->id);
		if (!result) {
			cell->missing++;
			findings->missing++;
			continue;
		}
		cell->outcomes[result->outcome]++;
		findings->done++;
		findings->invalid += result->outcome == OUTCOME_INVALID;
	}
	for (size_t c = 0; c < plan->cell_count; c++) {
		struct cell_findings *cell = &findings->cells[c];

		cell->passes = (struct passes){.passed = cell->outcomes[OUTCOME_PASS],
		    .count = cell->outcomes[OUTCOME_PASS] + cell->outcomes[OUTCOME_FAIL] +
		             cell->outcomes[OUTCOME_TIMEOUT]};
		cell->interval = statistics_wilson(cell->passes);
	}
}

static void judge_cell(struct findings *findings, size_t index)
{
	const struct cell *cell = &findings->plan->cells[index];
	const struct cell_findings *counted = &findings->cells[index];
	double required = plan_requirement(findings->plan, cell);
	unsigned open = counted->missing + counted->outcomes[OUTCOME_INVALID];
	struct requirement *requirement;
	struct text message = {0};
	enum requirement_state state;
	double share;

	if (required < 0 || !findings->plan->settings->campaign.seeds.count)
		return;
	requirement = findings_add_requirement(findings, REQUIREMENT_CELL, "m/%s", cell->id);
	share = counted->passes.count ? (double)counted->passes.passed / counted->passes.count : 0;
	text_add(&message, "%u of %u passed, wanted %g%%", counted->passes.passed, counted->passes.count,
	    required * 100);
	if (counted->passes.count && share < required - 1e-9)
		state = REQUIREMENT_FAILED;
	else if (open)
		state = REQUIREMENT_UNKNOWN;
	else
		state = counted->passes.count ? REQUIREMENT_HELD : REQUIREMENT_SKIPPED;
	if (counted->missing)
		text_add(&message, "; %u have not run", counted->missing);
	if (counted->outcomes[OUTCOME_INVALID])
		text_add(&message, "; %u are invalid", counted->outcomes[OUTCOME_INVALID]);
	for (size_t i = 0; i < findings->plan->unit_count && state == REQUIREMENT_FAILED; i++) {
		const struct unit *unit = &findings->plan->units[i];
		const struct result *result = unit->kind == UNIT_MATRIX && unit->cell == index
		                                  ? results_get(findings->results, unit->id)
		                                  : NULL;

		if (result && (result->outcome == OUTCOME_FAIL || result->outcome == OUTCOME_TIMEOUT))
			requirement_add_failed(requirement, unit->id);
	}
	findings_conclude(findings, requirement, state, &message);
}

/* ---- Sweeps ---- */

double findings_cost(const struct findings *findings, const struct unit *unit)
{
	const struct sweep_cell *cell = findings_sweep(findings, unit->section, unit->cell)->cell;
	const struct result *result = results_get(findings->results, unit->id);

	if (!result || result->outcome != OUTCOME_PASS || cell->state != SWEEP_READY)
		return NAN;
	return result_value(result, "network_seconds") - cell->network_seconds;
}

static void count_sweep(struct findings *findings, size_t sweep, size_t index, struct sweep_findings *found)
{
	const struct campaign_plan *plan = findings->plan;

	found->max_cost = NAN;
	for (size_t i = 0; i < plan->unit_count; i++) {
		const struct unit *unit = &plan->units[i];
		const struct result *result;
		double cost;

		if (unit->kind != UNIT_SWEEP || unit->section != sweep || unit->cell != index)
			continue;
		result = results_get(findings->results, unit->id);
		found->missing += !result;
		if (!result) {
			findings->missing++;
			continue;
		}
		findings->done++;
		findings->invalid += result->outcome == OUTCOME_INVALID;
		found->invalid += result->outcome == OUTCOME_INVALID;
		found->skipped += result->outcome == OUTCOME_SKIP;
		found->judged += outcome_is_judged(result->outcome);
		found->survived += result->outcome == OUTCOME_PASS;
		cost = findings_cost(findings, unit);
		if (isfinite(cost) && !(cost <= found->max_cost))
			found->max_cost = cost;
	}
}

static void judge_sweep(
    struct findings *findings, const struct unit *references, const struct sweep_findings *found)
{
	const struct sweep_section *sweep = &findings->plan->settings->sweeps[references->section];
	struct requirement *requirement;
	struct text message = {0};
	enum requirement_state state;
	double max_cost = (double)sweep->max_cost / 1e9;
	bool is_open = found->cell->state == SWEEP_WAITS || found->missing || found->invalid;

	if (sweep->require_none && !sweep->max_cost)
		return;
	requirement = findings_add_requirement(
	    findings, REQUIREMENT_SWEEP, "w/%s/%s", sweep->name, findings->plan->cells[references->cell].id);
	if (found->cell->state == SWEEP_EMPTY) {
		text_add_word(&message, sweep->at == SWEEP_HANDSHAKE
		                            ? "no DTLS handshake was seen in all references"
		                            : "the references share no place");
		findings_conclude(findings, requirement, REQUIREMENT_UNKNOWN, &message);
		return;
	}
	if (found->cell->state == SWEEP_FAILED) {
		text_add_word(&message, "the test fails on an untouched network: a reference did not pass");
		findings_conclude(findings, requirement, REQUIREMENT_UNKNOWN, &message);
		return;
	}
	text_add(&message, "%u of %u faults survived", found->survived, found->judged);
	if (!sweep->require_none)
		text_add(&message, ", wanted %g%%", sweep->require * 100);
	if (sweep->max_cost && isfinite(found->max_cost))
		text_add(
		    &message, "; the dearest cost %.3f s, wanted at most %.3f s", found->max_cost, max_cost);
	if (found->missing || found->invalid)
		text_add(&message, "; %u have not run, %u are invalid", found->missing, found->invalid);
	if (!sweep->require_none && found->judged &&
	    (double)found->survived / found->judged < sweep->require - 1e-9)
		state = REQUIREMENT_FAILED;
	else if (sweep->max_cost && found->max_cost > max_cost)
		state = REQUIREMENT_FAILED;
	else
		state = is_open         ? REQUIREMENT_UNKNOWN
		        : found->judged ? REQUIREMENT_HELD
		                        : REQUIREMENT_SKIPPED;
	for (size_t i = 0; i < findings->plan->unit_count && state == REQUIREMENT_FAILED; i++) {
		const struct unit *unit = &findings->plan->units[i];
		const struct result *result;

		if (unit->kind != UNIT_SWEEP || unit->section != references->section ||
		    unit->cell != references->cell)
			continue;
		result = results_get(findings->results, unit->id);
		if (result && ((outcome_is_judged(result->outcome) && result->outcome != OUTCOME_PASS) ||
		                  (sweep->max_cost && findings_cost(findings, unit) > max_cost)))
			requirement_add_failed(requirement, unit->id);
	}
	findings_conclude(findings, requirement, state, &message);
}

static void judge_sweeps(struct findings *findings, const struct expansion *expansion)
{
	const struct settings *settings = findings->plan->settings;
	size_t cells = findings->plan->cell_count;

	for (size_t s = 0; s < settings->sweep_count; s++)
		for (size_t c = 0; c < cells; c++) {
			struct sweep_findings *found = &findings->sweeps[s * cells + c];

			found->cell = expansion_cell(expansion, s, c);
			count_sweep(findings, s, c, found);
			findings->is_complete &= found->cell->state == SWEEP_READY;
			judge_sweep(findings, findings_unit(findings, UNIT_REFERENCES, s, c), found);
		}
}

/* ---- Measures ---- */

static void name_measures(struct findings *findings)
{
	const struct settings *settings = findings->plan->settings;

	findings->measure_names = memory_new(
	    SETTINGS_BUILT_IN + settings->measure_count + 1, sizeof(const char *));
	for (size_t i = 0; i < SETTINGS_BUILT_IN; i++)
		findings->measure_names[findings->measure_count++] = settings_built_in[i];
	for (size_t i = 0; i < settings->measure_count; i++) {
		size_t known = 0;

		while (known < findings->measure_count &&
		       strcmp(findings->measure_names[known], settings->measures[i].name) != 0)
			known++;
		if (known == findings->measure_count)
			findings->measure_names[findings->measure_count++] = settings->measures[i].name;
	}
}

static void count_measures(struct findings *findings)
{
	const struct campaign_plan *plan = findings->plan;
	size_t cells = plan->cell_count;

	findings->measures = memory_new(findings->measure_count * cells + 1, sizeof(*findings->measures));
	for (size_t i = 0; i < plan->unit_count; i++) {
		const struct unit *unit = &plan->units[i];
		const struct result *result = unit->kind == UNIT_MATRIX
		                                  ? results_get(findings->results, unit->id)
		                                  : NULL;

		if (!result || result->outcome != OUTCOME_PASS)
			continue;
		for (size_t m = 0; m < findings->measure_count; m++) {
			struct measure_findings *found = &findings->measures[m * cells + unit->cell];
			double value = result_value(result, findings->measure_names[m]);

			if (!isfinite(value))
				continue;
			found->values = memory_grow(found->values, found->count, sizeof(*found->values));
			found->values[found->count++] = value;
		}
	}
	for (size_t i = 0; i < findings->measure_count * cells; i++) {
		struct measure_findings *found = &findings->measures[i];

		found->low = found->median = found->high = NAN;
		if (!found->count)
			continue;
		found->low = statistics_quantile(found->values, found->count, 0.05);
		found->median = statistics_quantile(found->values, found->count, 0.5);
		found->high = statistics_quantile(found->values, found->count, 0.95);
	}
}

static void judge_measure(struct findings *findings, const struct measure_section *section, size_t cell)
{
	const struct measure_findings *found = NULL;
	const struct cell_findings *counted = &findings->cells[cell];
	struct requirement *requirement;
	struct text message = {0};
	enum requirement_state state = REQUIREMENT_UNKNOWN;

	for (size_t m = 0; m < findings->measure_count; m++)
		if (strcmp(findings->measure_names[m], section->name) == 0)
			found = findings_measure(findings, m, cell);
	requirement = findings_add_requirement(
	    findings, REQUIREMENT_MEASURE, "%s %s", findings->plan->cells[cell].id, section->name);
	if (found && found->count) {
		text_add(&message, "the median of %zu passing cases is %g, wanted %s", found->count,
		    found->median, section->require);
		if (found->median < section->require_low || found->median > section->require_high)
			state = REQUIREMENT_FAILED;
		else
			state = counted->missing || counted->outcomes[OUTCOME_INVALID] ? REQUIREMENT_UNKNOWN
			                                                               : REQUIREMENT_HELD;
	} else {
		text_add(&message, "no passing case has a value, wanted %s", section->require);
		if (!counted->missing && !counted->outcomes[OUTCOME_INVALID] && !counted->passes.count)
			state = REQUIREMENT_SKIPPED; /* a cell of nothing but skips */
	}
	findings_conclude(findings, requirement, state, &message);
}

static void judge_measures(struct findings *findings)
{
	const struct settings *settings = findings->plan->settings;

	for (size_t i = 0; i < settings->measure_count; i++)
		for (size_t c = 0; settings->measures[i].require && c < findings->plan->cell_count; c++)
			judge_measure(findings, &settings->measures[i], c);
}

/* ---- The whole ---- */

struct findings *findings_new(
    const struct campaign_plan *plan, const struct expansion *expansion, const struct results *results)
{
	const struct settings *settings = plan->settings;
	struct findings *findings = memory_new(1, sizeof(*findings));
	size_t cells = plan->cell_count;

	*findings = (struct findings){.plan = plan, .results = results, .is_complete = true};
	findings->cells = memory_new(cells + 1, sizeof(*findings->cells));
	findings->searches = memory_new(settings->search_count * cells + 1, sizeof(*findings->searches));
	findings->sweeps = memory_new(settings->sweep_count * cells + 1, sizeof(*findings->sweeps));
	count_matrix(findings);
	name_measures(findings);
	count_measures(findings);
	for (size_t c = 0; c < cells; c++)
		judge_cell(findings, c);
	findings_judge_searches(findings);
	judge_sweeps(findings, expansion);
	judge_measures(findings);
	findings->is_complete &= !findings->missing && !findings->invalid;
	return findings;
}

void findings_free(struct findings *findings)
{
	const struct settings *settings;
	size_t cells;

	if (!findings)
		return;
	settings = findings->plan->settings;
	cells = findings->plan->cell_count;
	for (size_t i = 0; i < settings->search_count * cells; i++)
		free(findings->searches[i].points);
	for (size_t i = 0; i < findings->measure_count * cells; i++)
		free(findings->measures[i].values);
	for (size_t i = 0; i < findings->requirement_count; i++) {
		free(findings->requirements[i].name);
		free(findings->requirements[i].message);
		free(findings->requirements[i].failed);
	}
	free(findings->requirements);
	free(findings->cells);
	free(findings->searches);
	free(findings->sweeps);
	free(findings->measures);
	free(findings->measure_names);
	free(findings);
}

int findings_exit(const struct findings *findings)
{
	return findings->has_failed ? 3 : findings->is_complete ? 0 : 1;
}

const struct search_findings *findings_search(const struct findings *findings, size_t search, size_t cell)
{
	return &findings->searches[search * findings->plan->cell_count + cell];
}

const struct sweep_findings *findings_sweep(const struct findings *findings, size_t sweep, size_t cell)
{
	return &findings->sweeps[sweep * findings->plan->cell_count + cell];
}

const struct measure_findings *findings_measure(const struct findings *findings, size_t measure, size_t cell)
{
	return &findings->measures[measure * findings->plan->cell_count + cell];
}
