/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <string.h>

#include "proxy/campaign/reports.h"

#define CELL_COLUMNS_MAX 48 /* columns of a cell's name before it pushes the table apart */
#define CASES_SHOWN 5       /* failed cases named for a requirement */

static int widest_cell(const struct campaign_plan *plan)
{
	size_t widest = 4;

	for (size_t i = 0; i < plan->cell_count; i++)
		widest = strlen(plan->cells[i].id) > widest ? strlen(plan->cells[i].id) : widest;
	return (int)(widest < CELL_COLUMNS_MAX ? widest : CELL_COLUMNS_MAX);
}

static void print_matrix(const struct findings *findings, int width, FILE *out)
{
	const struct campaign_plan *plan = findings->plan;

	if (!plan->settings->campaign.seeds.count)
		return;
	fprintf(out, "%-*s  passed        share  95 %% interval   fail  timeout  skip  invalid  not run\n",
	    width, "cell");
	for (size_t i = 0; i < plan->cell_count; i++) {
		const struct cell_findings *cell = &findings->cells[i];
		double share = cell->passes.count ? 100.0 * cell->passes.passed / cell->passes.count : NAN;

		fprintf(out, "%-*s  %4u of %-4u", width, plan->cells[i].id, cell->passes.passed,
		    cell->passes.count);
		if (cell->passes.count)
			fprintf(out, "  %4.0f %%  %3.0f to %3.0f %%  ", share, cell->interval.low * 100,
			    cell->interval.high * 100);
		else
			fprintf(out, "       -              -  ");
		fprintf(out, "  %4u  %7u  %4u  %7u  %7u\n", cell->outcomes[OUTCOME_FAIL],
		    cell->outcomes[OUTCOME_TIMEOUT], cell->outcomes[OUTCOME_SKIP],
		    cell->outcomes[OUTCOME_INVALID], cell->missing);
	}
}

static void print_searches(const struct findings *findings, int width, FILE *out)
{
	const struct settings *settings = findings->plan->settings;

	for (size_t s = 0; s < settings->search_count; s++) {
		fprintf(out, "\nsearch %s: %s\n", settings->searches[s].name, settings->searches[s].set);
		for (size_t c = 0; c < findings->plan->cell_count; c++) {
			struct text text = {0};

			findings_search_text(&settings->searches[s], findings_search(findings, s, c), &text);
			fprintf(out, "  %-*s  %s\n", width, findings->plan->cells[c].id, text.at);
			text_free(&text);
		}
	}
}

static void print_fault(const struct findings *findings, const struct unit *unit, FILE *out)
{
	const struct result *result = results_get(findings->results, unit->id);
	double cost = findings_cost(findings, unit);

	fprintf(out, "    %-36s  %-22s  %-7s", unit->place, unit->fault->text,
	    result ? outcome_words[result->outcome] : "not run");
	if (isfinite(cost))
		fprintf(out, "  %+9.3f s", cost);
	fputc('\n', out);
}

static void print_sweep(const struct findings *findings, size_t sweep, size_t cell, FILE *out)
{
	static const char *const states[] = {"its references have not all run",
	    "a reference did not pass: the test fails on an untouched network",
	    "its references share no place", ""};
	const struct campaign_plan *plan = findings->plan;
	const struct sweep_findings *found = findings_sweep(findings, sweep, cell);

	if (found->cell->state != SWEEP_READY) {
		fprintf(out, "  %s: %s\n", plan->cells[cell].id, states[found->cell->state]);
		return;
	}
	fprintf(out, "  %s: %u of %u faults survived", plan->cells[cell].id, found->survived, found->judged);
	if (found->cell->places.is_resumed)
		fputs("; the references resume a session, which has fewer messages", out);
	if (found->cell->places.unshared)
		fprintf(out, "; %zu places are left out, which not all references share",
		    found->cell->places.unshared);
	if (found->cell->places.over_limit)
		fprintf(out, "; %zu places are left out by `limit`", found->cell->places.over_limit);
	fputc('\n', out);
	for (size_t i = 0; i < plan->unit_count; i++)
		if (plan->units[i].kind == UNIT_SWEEP && plan->units[i].section == sweep &&
		    plan->units[i].cell == cell)
			print_fault(findings, &plan->units[i], out);
}

static void print_measures(const struct findings *findings, int width, FILE *out)
{
	const struct campaign_plan *plan = findings->plan;
	bool is_any = false;

	for (size_t m = 0; m < findings->measure_count; m++)
		for (size_t c = 0; c < plan->cell_count; c++)
			is_any |= findings_measure(findings, m, c)->count > 0;
	if (!is_any)
		return;
	fprintf(out, "\n%-*s  %-18s  %12s  %12s  %12s   of passing cases\n", width, "cell", "measure",
	    "median", "5 %", "95 %");
	for (size_t c = 0; c < plan->cell_count; c++)
		for (size_t m = 0; m < findings->measure_count; m++) {
			const struct measure_findings *found = findings_measure(findings, m, c);

			if (found->count)
				fprintf(out, "%-*s  %-18s  %12g  %12g  %12g\n", width, plan->cells[c].id,
				    findings->measure_names[m], found->median, found->low, found->high);
		}
}

static void print_requirements(const struct findings *findings, FILE *out)
{
	static const char *const states[] = {"", "FAILED", "unknown", ""};
	unsigned failed = 0, unknown = 0;

	for (size_t i = 0; i < findings->requirement_count; i++) {
		const struct requirement *requirement = &findings->requirements[i];

		failed += requirement->state == REQUIREMENT_FAILED;
		unknown += requirement->state == REQUIREMENT_UNKNOWN;
		if (!*states[requirement->state])
			continue;
		fprintf(out, "\n%s  %s: %s\n", states[requirement->state], requirement->name,
		    requirement->message);
		for (size_t k = 0; k < requirement->failed_count && k < CASES_SHOWN; k++)
			fprintf(out, "    %s\n", requirement->failed[k]);
		if (requirement->failed_count > CASES_SHOWN)
			fprintf(out, "    and %zu more\n", requirement->failed_count - CASES_SHOWN);
	}
	fprintf(out, "\n%zu requirement%s: %zu held, %u failed, %u unknown\n", findings->requirement_count,
	    findings->requirement_count == 1 ? "" : "s", findings->requirement_count - failed - unknown,
	    failed, unknown);
}

void report_text(const struct findings *findings, FILE *out)
{
	int width = widest_cell(findings->plan);
	const struct settings *settings = findings->plan->settings;

	print_matrix(findings, width, out);
	print_searches(findings, width, out);
	for (size_t s = 0; s < settings->sweep_count; s++) {
		fprintf(out, "\nsweep %s\n", settings->sweeps[s].name);
		for (size_t c = 0; c < findings->plan->cell_count; c++)
			print_sweep(findings, s, c, out);
	}
	print_measures(findings, width, out);
	print_requirements(findings, out);
}
