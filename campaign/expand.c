/* SPDX-License-Identifier: BSD-2-Clause */
#include "campaign/expand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "campaign/statistics.h"

struct expansion *expansion_new(const struct campaign_plan *plan)
{
	struct expansion *expansion = memory_new(1, sizeof(*expansion));

	expansion->settings = plan->settings;
	expansion->cell_count = plan->cell_count;
	expansion->all = memory_new(
	    plan->settings->sweep_count * plan->cell_count + 1, sizeof(*expansion->all));
	return expansion;
}

void expansion_free(struct expansion *expansion)
{
	if (!expansion)
		return;
	for (size_t i = 0; i < expansion->settings->sweep_count * expansion->cell_count; i++)
		sweep_plan_free(&expansion->all[i].places);
	free(expansion->all);
	free(expansion);
}

const struct sweep_cell *expansion_cell(const struct expansion *expansion, size_t sweep, size_t cell)
{
	return &expansion->all[sweep * expansion->cell_count + cell];
}

void expansion_reset(struct expansion *expansion, size_t sweep, size_t cell)
{
	struct sweep_cell *found = &expansion->all[sweep * expansion->cell_count + cell];

	sweep_plan_free(&found->places);
	*found = (struct sweep_cell){.state = SWEEP_WAITS};
}

void reference_id(const struct unit *references, unsigned number, struct text *id)
{
	text_add(id, "%s/%u", references->id, number);
}

/* Collects the results of the references; returns how many have an outcome that is not invalid, and sets
 * *passed to how many passed. */
static unsigned collect(const struct unit *unit, unsigned wanted, const struct results *results,
    const struct result **references, unsigned *passed)
{
	unsigned count = 0;

	*passed = 0;
	for (unsigned k = 1; k <= wanted; k++) {
		struct text id = {0};
		const struct result *result;

		reference_id(unit, k, &id);
		result = results_get(results, id.at);
		text_free(&id);
		if (!result || result->outcome == OUTCOME_INVALID)
			continue;
		if (result->outcome == OUTCOME_PASS)
			references[(*passed)++] = result;
		count++;
	}
	return count;
}

static double median_seconds(const struct result *const *references, unsigned count)
{
	double *values = memory_new(count + 1, sizeof(*values)), median = NAN;
	size_t known = 0;

	for (unsigned i = 0; i < count; i++)
		if (isfinite(result_value(references[i], "network_seconds")))
			values[known++] = result_value(references[i], "network_seconds");
	if (known)
		median = statistics_quantile(values, known, 0.5);
	free(values);
	return median;
}

static void add_faults(struct campaign_plan *plan, const struct unit *unit, const struct sweep_cell *cell)
{
	const struct sweep_section *sweep = &plan->settings->sweeps[unit->section];
	size_t section = unit->section, index = unit->cell; /* `unit` moves when units are added */

	for (size_t p = 0; p < cell->places.count; p++)
		for (size_t f = 0; f < sweep->faults.count; f++)
			plan_add_fault(plan, section, index, cell->places.all[p].name, &sweep->faults.all[f]);
}

void expansion_update(struct expansion *expansion, struct campaign_plan *plan, const struct results *results)
{
	size_t count = plan->unit_count;

	for (size_t i = 0; i < count; i++) {
		struct unit unit = plan->units[i];
		const struct sweep_section *sweep = &plan->settings->sweeps[unit.section];
		struct sweep_cell *cell;
		const struct result **references;
		unsigned passed, wanted;

		if (unit.kind != UNIT_REFERENCES)
			continue;
		cell = &expansion->all[unit.section * expansion->cell_count + unit.cell];
		wanted = (unsigned)sweep->references;
		if (cell->state == SWEEP_READY || cell->state == SWEEP_EMPTY)
			continue;
		references = memory_new(wanted + 1, sizeof(const struct result *));
		if (collect(&unit, wanted, results, references, &passed) > passed) {
			cell->state = SWEEP_FAILED;
		} else if (passed == wanted) {
			sweep_plan(references, wanted, sweep->limit, &cell->places);
			cell->network_seconds = median_seconds(references, wanted);
			cell->state = cell->places.count ? SWEEP_READY : SWEEP_EMPTY;
			add_faults(plan, &unit, cell);
		} else {
			cell->state = SWEEP_WAITS;
		}
		free(references);
	}
}

const struct sweep_place *expansion_place(const struct expansion *expansion, const struct unit *unit)
{
	const struct sweep_cell *cell = expansion_cell(expansion, unit->section, unit->cell);

	for (size_t i = 0; i < cell->places.count; i++)
		if (strcmp(cell->places.all[i].name, unit->place) == 0)
			return &cell->places.all[i];
	return NULL;
}
