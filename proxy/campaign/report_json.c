/* SPDX-License-Identifier: BSD-2-Clause */
/* campaign.json, schema 1; doc/campaign.md describes it. Members whose value is unknown are null. */
#include <math.h>
#include <string.h>

#include "proxy/campaign/reports.h"

#ifndef DEADZONE_VERSION
#define DEADZONE_VERSION "?"
#endif

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static void set_number(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, number(value));
}

static void set_count(json_t *object, const char *key, size_t count)
{
	json_object_set_new(object, key, json_integer((json_int_t)count));
}

static void set_word(json_t *object, const char *key, const char *word)
{
	json_object_set_new(object, key, word && *word ? json_string(word) : json_null());
}

static json_t *axes_json(const struct settings *settings)
{
	json_t *list = json_array();

	for (size_t a = 0; a < settings->axis_count; a++) {
		json_t *axis = json_object(), *labels = json_array();

		for (size_t i = 0; i < settings->axes[a].count; i++)
			json_array_append_new(labels, json_string(settings->axes[a].all[i].label));
		set_word(axis, "name", settings->axes[a].name);
		json_object_set_new(axis, "labels", labels);
		json_object_set_new(axis, "grouped", json_boolean(settings->axes[a].change != NULL));
		json_array_append_new(list, axis);
	}
	return list;
}

static json_t *cells_json(const struct findings *findings)
{
	const struct campaign_plan *plan = findings->plan;
	json_t *list = json_array();

	for (size_t c = 0; c < plan->cell_count; c++) {
		const struct cell_findings *cell = &findings->cells[c];
		json_t *object = json_object(), *labels = json_array(), *outcomes = json_object();

		for (size_t a = 0; a < plan->settings->axis_count; a++)
			json_array_append_new(
			    labels, json_string(plan_value(plan, &plan->cells[c], a)->label));
		for (int i = 0; i < OUTCOMES; i++)
			set_count(outcomes, outcome_words[i], cell->outcomes[i]);
		set_word(object, "id", plan->cells[c].id);
		json_object_set_new(object, "labels", labels);
		set_count(object, "passed", cell->passes.passed);
		set_count(object, "count", cell->passes.count);
		set_number(object, "low", cell->passes.count ? cell->interval.low : NAN);
		set_number(object, "high", cell->passes.count ? cell->interval.high : NAN);
		json_object_set_new(object, "outcomes", outcomes);
		set_count(object, "missing", cell->missing);
		set_number(object, "required",
		    plan_requirement(plan, &plan->cells[c]) < 0 ? NAN
		                                                : plan_requirement(plan, &plan->cells[c]));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *cases_json(const struct findings *findings)
{
	json_t *list = json_array();

	for (size_t i = 0; i < findings->results->count; i++)
		if (plan_unit_of_case(findings->plan, findings->results->all[i]->id))
			json_array_append_new(list, result_json(findings->results->all[i]));
	return list;
}

static json_t *points_json(const struct search_section *section, const struct search_findings *found)
{
	json_t *list = json_array();

	for (size_t i = 0; i < found->point_count; i++) {
		json_t *point = json_object();
		struct error error;
		double figure = NAN;

		figure_read(found->points[i]->figure, &section->settings.unit, &figure, &error);
		set_word(point, "id", found->points[i]->id);
		set_number(point, "figure", figure);
		set_word(point, "outcome", outcome_words[found->points[i]->outcome]);
		json_array_append_new(list, point);
	}
	return list;
}

static json_t *numbers_json(const double *values, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, number(values[i]));
	return list;
}

static json_t *search_json(const struct findings *findings, size_t s, size_t c)
{
	const struct search_section *section = &findings->plan->settings->searches[s];
	const struct search_findings *found = findings_search(findings, s, c);
	struct text text = {0};
	json_t *object;

	findings_search_text(section, found, &text);
	object = search_result_json(section, found, text.at);
	set_word(object, "cell", findings->plan->cells[c].id);
	json_object_set_new(object, "points", points_json(section, found));
	json_object_set_new(object, "curve", numbers_json(found->curve, FINDINGS_CURVE));
	json_object_set_new(object, "quantiles", numbers_json(found->quantiles, SEARCH_QUANTILES));
	text_free(&text);
	return object;
}

static json_t *faults_json(const struct findings *findings, size_t s, size_t c)
{
	const struct campaign_plan *plan = findings->plan;
	json_t *list = json_array();

	for (size_t i = 0; i < plan->unit_count; i++) {
		const struct unit *unit = &plan->units[i];
		const struct result *result;
		json_t *fault;

		if (unit->kind != UNIT_SWEEP || unit->section != s || unit->cell != c)
			continue;
		result = results_get(findings->results, unit->id);
		fault = json_object();
		set_word(fault, "id", unit->id);
		set_word(fault, "place", unit->place);
		set_word(fault, "fault", unit->fault->text);
		set_word(fault, "outcome", result ? outcome_words[result->outcome] : NULL);
		set_number(fault, "cost", findings_cost(findings, unit));
		json_array_append_new(list, fault);
	}
	return list;
}

static json_t *sweep_json(const struct findings *findings, size_t s, size_t c)
{
	static const char *const states[] = {"waits", "failed", "empty", "ready"};
	static const char *const at[] = {"handshake", "datagrams", "dtls"};
	const struct sweep_section *section = &findings->plan->settings->sweeps[s];
	const struct sweep_findings *found = findings_sweep(findings, s, c);
	json_t *object = json_object();

	set_word(object, "name", section->name);
	set_word(object, "cell", findings->plan->cells[c].id);
	set_word(object, "at", at[section->at]);
	set_word(object, "state", states[found->cell->state]);
	json_object_set_new(object, "resumed", json_boolean(found->cell->places.is_resumed));
	set_count(object, "unshared", found->cell->places.unshared);
	set_count(object, "over_limit", found->cell->places.over_limit);
	set_number(object, "network_seconds", found->cell->network_seconds);
	set_count(object, "survived", found->survived);
	set_count(object, "judged", found->judged);
	set_number(object, "max_cost", found->max_cost);
	json_object_set_new(object, "faults", faults_json(findings, s, c));
	return object;
}

static json_t *measures_json(const struct findings *findings)
{
	static const char *const better[] = {NULL, "less", "more"};
	const struct settings *settings = findings->plan->settings;
	json_t *list = json_array();

	for (size_t m = 0; m < findings->measure_count; m++)
		for (size_t c = 0; c < findings->plan->cell_count; c++) {
			const struct measure_findings *found = findings_measure(findings, m, c);
			json_t *object;

			if (!found->count)
				continue;
			object = json_object();
			set_word(object, "name", findings->measure_names[m]);
			set_word(object, "cell", findings->plan->cells[c].id);
			set_count(object, "count", found->count);
			set_number(object, "low", found->low);
			set_number(object, "median", found->median);
			set_number(object, "high", found->high);
			for (size_t i = 0; i < settings->measure_count; i++)
				if (strcmp(settings->measures[i].name, findings->measure_names[m]) == 0)
					set_word(object, "better", better[settings->measures[i].better]);
			json_array_append_new(list, object);
		}
	return list;
}

static json_t *requirements_json(const struct findings *findings)
{
	static const char *const states[] = {"held", "failed", "unknown", "skipped"};
	static const char *const kinds[] = {"cell", "search", "sweep", "measure"};
	json_t *list = json_array();

	for (size_t i = 0; i < findings->requirement_count; i++) {
		const struct requirement *requirement = &findings->requirements[i];
		json_t *object = json_object(), *failed = json_array();

		for (size_t k = 0; k < requirement->failed_count; k++)
			json_array_append_new(failed, json_string(requirement->failed[k]));
		set_word(object, "kind", kinds[requirement->kind]);
		set_word(object, "name", requirement->name);
		set_word(object, "state", states[requirement->state]);
		set_word(object, "message", requirement->message);
		json_object_set_new(object, "failed", failed);
		json_array_append_new(list, object);
	}
	return list;
}

json_t *report_json(const struct findings *findings, const char *subject, const char *reason)
{
	const struct settings *settings = findings->plan->settings;
	json_t *root = json_object(), *searches = json_array(), *sweeps = json_array();

	for (size_t s = 0; s < settings->search_count; s++)
		for (size_t c = 0; c < findings->plan->cell_count; c++)
			json_array_append_new(searches, search_json(findings, s, c));
	for (size_t s = 0; s < settings->sweep_count; s++)
		for (size_t c = 0; c < findings->plan->cell_count; c++)
			json_array_append_new(sweeps, sweep_json(findings, s, c));
	json_object_set_new(root, "schema", json_integer(1));
	set_word(root, "version", DEADZONE_VERSION);
	set_word(root, "file", settings->path);
	set_word(root, "subject", subject);
	set_word(root, "stopped", reason);
	json_object_set_new(root, "complete", json_boolean(findings->is_complete));
	set_count(root, "done", findings->done);
	set_count(root, "invalid", findings->invalid);
	set_count(root, "missing", findings->missing);
	json_object_set_new(root, "axes", axes_json(settings));
	json_object_set_new(root, "cells", cells_json(findings));
	json_object_set_new(root, "searches", searches);
	json_object_set_new(root, "sweeps", sweeps);
	json_object_set_new(root, "measures", measures_json(findings));
	json_object_set_new(root, "requirements", requirements_json(findings));
	json_object_set_new(root, "cases", cases_json(findings));
	return root;
}
