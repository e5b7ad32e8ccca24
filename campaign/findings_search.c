/* SPDX-License-Identifier: BSD-2-Clause */
/* findings_search: what the runs of each search come to, and whether its requirement holds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "campaign/findings_inside.h"

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
	requirement = findings_add_requirement(findings, REQUIREMENT_SEARCH, "%s", unit->id);
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
			requirement_add_failed(requirement, found->points[i]->id);
	findings_conclude(findings, requirement, state, &message);
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

void findings_judge_searches(struct findings *findings)
{
	const struct settings *settings = findings->plan->settings;
	size_t cells = findings->plan->cell_count;

	for (size_t s = 0; s < settings->search_count; s++)
		for (size_t c = 0; c < cells; c++) {
			struct search_findings *found = &findings->searches[s * cells + c];
			const struct unit *unit = findings_unit(findings, UNIT_SEARCH, s, c);
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
