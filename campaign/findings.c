/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Matrix, searches and sweeps are counted one after the other; then each requirement is judged on what has
 * been counted. A requirement that fails on the cases at hand has failed, however many are still missing; one
 * that holds on them is unknown until all have an outcome.
 */
#include "campaign/findings.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* ---- Requirements ---- */

static struct requirement *add_requirement(struct findings *findings, enum requirement_kind kind,
    const char *format, ...) __attribute__((format(printf, 3, 4)));
static struct requirement *add_requirement(
    struct findings *findings, enum requirement_kind kind, const char *format, ...)
{
	struct text name = {0};
	struct requirement *requirement;
	va_list list;

	va_start(list, format);
	text_add_list(&name, format, list);
	va_end(list);
	findings->requirements = memory_grow(
	    findings->requirements, findings->requirement_count, sizeof(*requirement));
	requirement = &findings->requirements[findings->requirement_count++];
	*requirement = (struct requirement){.kind = kind, .name = name.at};
	return requirement;
}

static void add_failed(struct requirement *requirement, const char *id)
{
	requirement->failed = memory_grow(
	    requirement->failed, requirement->failed_count, sizeof(*requirement->failed));
	requirement->failed[requirement->failed_count++] = id;
}

static void conclude(struct findings *findings, struct requirement *requirement, enum requirement_state state,
    struct text *message)
{
	requirement->state = state;
	requirement->message = message->at ? message->at : memory_text("", 0);
	*message = (struct text){0};
	findings->has_failed |= state == REQUIREMENT_FAILED;
	findings->is_complete &= state != REQUIREMENT_UNKNOWN;
}

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
	requirement = add_requirement(findings, REQUIREMENT_CELL, "m/%s", cell->id);
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
			add_failed(requirement, unit->id);
	}
	conclude(findings, requirement, state, &message);
}

/* ---- Searches ---- */

void search_case_id(const struct unit *unit, unsigned run, struct text *id)
{
	text_add(id, "%s/%03u", unit->id, run);
}

unsigned search_last_run(const struct unit *unit, const struct results *results)
{
	size_t size = strlen(unit->id);
	unsigned last = 0;

	for (size_t i = 0; i < results->count; i++) {
		const char *id = results->all[i]->id;

		if (strncmp(id, unit->id, size) == 0 && id[size] == '/' &&
		    strtoul(id + size + 1, NULL, 10) > last)
			last = (unsigned)strtoul(id + size + 1, NULL, 10);
	}
	return last < SEARCH_CASES_MAX ? last : SEARCH_CASES_MAX;
}

const struct result *search_run(const struct unit *unit, const struct results *results, unsigned run)
{
	struct text id = {0};
	const struct result *result;

	search_case_id(unit, run, &id);
	result = results_get(results, id.at);
	text_free(&id);
	return result;
}

unsigned search_replay(const struct unit *unit, const struct results *results, struct search *search,
    const struct search_section *section, const struct result **points, size_t *point_count,
    unsigned *no_points)
{
	unsigned last = search_last_run(unit, results), count = 0;

	*no_points = 0;
	*point_count = 0;
	for (unsigned run = 1; run <= last; run++) {
		const struct result *result = search_run(unit, results, run);
		struct error error;
		double figure;

		if (!result)
			continue; /* it was under way when an earlier invocation ended */
		count++;
		if (!result->figure || !outcome_is_judged(result->outcome) ||
		    figure_read(result->figure, &section->settings.unit, &figure, &error)) {
			search_skip(search);
			++*no_points;
			continue;
		}
		*no_points = 0;
		search_answer(search, figure, result->outcome == OUTCOME_PASS);
		if (points && *point_count < SEARCH_RUNS_MAX)
			points[*point_count] = result;
		++*point_count;
	}
	return count;
}

void findings_figure_text(const struct search_section *search, double figure, struct text *out)
{
	const struct search_settings *settings = &search->settings;
	char text[FIGURE_TEXT_SIZE];

	if (isinf(figure))
		text_add(out, figure > 0 ? "> %s" : "< %s",
		    figure_show(
		        &settings->unit, figure > 0 ? settings->to : settings->from, text, sizeof(text)));
	else
		text_add_word(out, figure_show(&settings->unit, figure, text, sizeof(text)));
}

void findings_search_text(
    const struct search_section *search, const struct search_findings *found, struct text *out)
{
	const struct search_result *result = &found->result;

	if (!result->answered) {
		text_add_word(out, found->no_points >= SEARCH_NO_POINTS_MAX
		                       ? "it ended: three cases in a row were skipped or invalid"
		                       : "no point yet");
		return;
	}
	findings_figure_text(search, result->threshold, out);
	if (result->state != SEARCH_ABOVE && result->state != SEARCH_BELOW) {
		text_add_word(out, " (");
		findings_figure_text(search, result->low, out);
		text_add_word(out, " to ");
		findings_figure_text(search, result->high, out);
		text_add_word(out, ")");
	}
	text_add(out, ", %u run%s", result->answered, result->answered == 1 ? "" : "s");
	if (result->state == SEARCH_IMPRECISE) {
		text_add_word(out, ", imprecise");
		if (isfinite(result->width))
			text_add(out, " (%.0f%%)", result->width * 100);
	}
	if (found->is_incomplete)
		text_add_word(out, found->no_points >= SEARCH_NO_POINTS_MAX
		                       ? ", incomplete: three cases in a row were skipped or invalid"
		                       : ", incomplete");
}

static json_t *json_number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

json_t *search_result_json(
    const struct search_section *search, const struct search_findings *found, const char *text)
{
	static const char *const states[] = {"open", "found", "above", "below", "imprecise"};
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(search->name));
	json_object_set_new(object, "set", json_string(search->set));
	json_object_set_new(object, "value", json_string(search->value));
	json_object_set_new(object, "unit", json_string(search->settings.unit.suffix));
	json_object_set_new(object, "unit_base", json_real(search->settings.unit.base));
	json_object_set_new(object, "from", json_number(search->settings.from));
	json_object_set_new(object, "to", json_number(search->settings.to));
	json_object_set_new(object, "logarithmic", json_boolean(search_is_logarithmic(&search->settings)));
	json_object_set_new(object, "worse", json_string(search->settings.less ? "less" : "more"));
	json_object_set_new(object, "target", json_number(search->settings.target));
	json_object_set_new(object, "state", json_string(states[found->result.state]));
	json_object_set_new(object, "complete", json_boolean(!found->is_incomplete));
	json_object_set_new(object, "threshold", json_number(found->result.threshold));
	json_object_set_new(object, "low", json_number(found->result.low));
	json_object_set_new(object, "high", json_number(found->result.high));
	json_object_set_new(object, "slope", json_number(found->result.slope));
	json_object_set_new(object, "width", json_number(found->result.width));
	json_object_set_new(object, "runs", json_integer(found->result.answered));
	json_object_set_new(object, "text", json_string(text));
	return object;
}

static const struct unit *find_unit(
    const struct findings *findings, enum unit_kind kind, size_t section, size_t cell)
{
	const struct campaign_plan *plan = findings->plan;

	for (size_t i = 0; i < plan->unit_count; i++)
		if (plan->units[i].kind == kind && plan->units[i].section == section &&
		    plan->units[i].cell == cell)
			return &plan->units[i];
	return NULL;
}

/* Judges the estimate; a lower limit up to `to` is met by "passes up to at least `to`". */
static bool search_holds(const struct search_section *section, const struct search_result *result)
{
	double threshold = result->threshold;

	if (result->state == SEARCH_ABOVE)
		threshold = section->settings.less ? (double)INFINITY : section->settings.to;
	if (result->state == SEARCH_BELOW)
		threshold = section->settings.less ? section->settings.from : -(double)INFINITY;
	if (isinf(threshold) && threshold > 0 && !section->settings.less)
		threshold = section->settings.to;
	return threshold >= section->require_low && threshold <= section->require_high;
}

static void judge_search(
    struct findings *findings, const struct unit *unit, const struct search_findings *found)
{
	const struct search_section *section = &findings->plan->settings->searches[unit->section];
	const struct search_result *result = &found->result;
	struct requirement *requirement;
	struct text message = {0};
	enum requirement_state state;

	if (!section->require)
		return;
	requirement = add_requirement(findings, REQUIREMENT_SEARCH, "%s", unit->id);
	findings_search_text(section, found, &message);
	text_add(&message, ", wanted %s", section->require);
	state = found->is_incomplete            ? REQUIREMENT_UNKNOWN
	        : search_holds(section, result) ? REQUIREMENT_HELD
	                                        : REQUIREMENT_FAILED;
	if (!found->is_incomplete &&
	    ((result->low < section->require_low && result->high > section->require_low) ||
	        (result->low < section->require_high && result->high > section->require_high)))
		text_add_word(&message, "; the interval reaches across the limit");
	for (size_t i = 0; i < found->point_count && state == REQUIREMENT_FAILED; i++)
		if (found->points[i]->outcome != OUTCOME_PASS)
			add_failed(requirement, found->points[i]->id);
	conclude(findings, requirement, state, &message);
}

/* Keeps what reports show of a search, which itself takes much more memory. */
static void summarize_search(
    const struct search *search, const struct search_settings *span, struct search_findings *found)
{
	bool is_log = search_is_logarithmic(span);
	double from = is_log ? log(span->from) : span->from, to = is_log ? log(span->to) : span->to;

	found->result = search_result(search);
	found->is_incomplete = found->result.state == SEARCH_OPEN;
	search_quantiles(search, found->quantiles);
	for (size_t i = 0; i < FINDINGS_CURVE; i++) {
		double at = from + (to - from) * (double)i / (FINDINGS_CURVE - 1);

		found->curve[i] = search_share(search, is_log ? exp(at) : at);
	}
}

static void judge_searches(struct findings *findings)
{
	const struct settings *settings = findings->plan->settings;
	size_t cells = findings->plan->cell_count;

	for (size_t s = 0; s < settings->search_count; s++)
		for (size_t c = 0; c < cells; c++) {
			struct search_findings *found = &findings->searches[s * cells + c];
			const struct unit *unit = find_unit(findings, UNIT_SEARCH, s, c);
			struct search *search = search_new(&settings->searches[s].settings);

			found->points = memory_new(SEARCH_RUNS_MAX, sizeof(const struct result *));
			findings->done += search_replay(unit, findings->results, search,
			                      &settings->searches[s], found->points, &found->point_count,
			                      &found->no_points) -
			                  1;
			summarize_search(search, &settings->searches[s].settings, found);
			search_free(search);
			findings->is_complete &= !found->is_incomplete;
			judge_search(findings, unit, found);
		}
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
	requirement = add_requirement(
	    findings, REQUIREMENT_SWEEP, "w/%s/%s", sweep->name, findings->plan->cells[references->cell].id);
	if (found->cell->state == SWEEP_EMPTY) {
		text_add_word(&message, sweep->at == SWEEP_HANDSHAKE
		                            ? "no DTLS handshake was seen in all references"
		                            : "the references share no place");
		conclude(findings, requirement, REQUIREMENT_UNKNOWN, &message);
		return;
	}
	if (found->cell->state == SWEEP_FAILED) {
		text_add_word(&message, "the test fails on an untouched network: a reference did not pass");
		conclude(findings, requirement, REQUIREMENT_UNKNOWN, &message);
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
			add_failed(requirement, unit->id);
	}
	conclude(findings, requirement, state, &message);
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
			judge_sweep(findings, find_unit(findings, UNIT_REFERENCES, s, c), found);
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
	requirement = add_requirement(
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
	conclude(findings, requirement, state, &message);
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
	judge_searches(findings);
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
