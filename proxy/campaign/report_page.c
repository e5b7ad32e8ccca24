/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page gets the campaign's JSON, except that each case is an array, because there may be very many:
 * [id, outcome, seconds, reason, whether it has a report, [measures], lateness].
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "capture/inputs.h"
#include "proxy/campaign/reports.h"
#include "report/analysis.h"

#define PAGES_OF_CELL 3 /* failed cases of a cell that get a page of their own */

extern const char campaign_frame[], campaign_frame_end[]; /* proxy/web/frame.S */

static const char data_placeholder[] = "@data@";

/* ---- Pages of failed cases ---- */

static char *file_of(const char *folder, const char *id, const char *name)
{
	struct text path = {0};

	text_add(&path, "%s/units/%s/%s", folder, id, name);
	return path.at;
}

static void write_case_page(const char *folder, const char *id)
{
	char *capture = file_of(folder, id, "run.pcapng"), *page = file_of(folder, id, "report.html");
	char *title = memory_text(id, strlen(id));
	struct analysis_filter filter = {0};
	struct error error;

	if (access(page, F_OK) && access(capture, R_OK) == 0) {
		const char *paths[] = {capture};
		struct inputs *inputs = inputs_open(paths, 1, &error);
		struct analysis *analysis = inputs ? analysis_read(inputs, &filter, ANALYSIS_WHOLE, &error)
		                                   : NULL;

		for (char *slash = strchr(title, '/'); slash; slash = strchr(slash, '/'))
			*slash = ' '; /* the page shows the last part of a path */
		if (analysis)
			analysis_page(analysis, title, page, &error);
		analysis_free(analysis);
		inputs_close(inputs);
	}
	free(capture);
	free(page);
	free(title);
}

static bool has_failed(const struct result *result)
{
	return result && (result->outcome == OUTCOME_FAIL || result->outcome == OUTCOME_TIMEOUT);
}

void report_case_pages(const struct findings *findings, const char *folder)
{
	const struct campaign_plan *plan = findings->plan;
	unsigned *written = memory_new(
	    2 * plan->cell_count + 2, sizeof(*written)); /* for matrix and sweeps */

	for (size_t i = 0; i < plan->unit_count; i++) {
		const struct unit *unit = &plan->units[i];
		unsigned *of_cell = &written[2 * unit->cell + (unit->kind == UNIT_SWEEP)];

		if ((unit->kind != UNIT_MATRIX && unit->kind != UNIT_SWEEP) ||
		    !has_failed(results_get(findings->results, unit->id)) || *of_cell >= PAGES_OF_CELL)
			continue;
		++*of_cell;
		write_case_page(folder, unit->id);
	}
	free(written);
}

/* ---- The campaign's page ---- */

static json_t *case_row(const struct findings *findings, const struct result *result, const char *folder)
{
	json_t *row = json_array(), *measures = json_array();
	char *page = file_of(folder, result->id, "report.html");

	for (size_t m = 0; m < findings->measure_count; m++) {
		double value = result_value(result, findings->measure_names[m]);

		json_array_append_new(measures, isfinite(value) ? json_real(value) : json_null());
	}
	json_array_append_new(row, json_string(result->id));
	json_array_append_new(row, json_integer(result->outcome));
	json_array_append_new(row, json_real(round(result->seconds * 1e3) / 1e3));
	json_array_append_new(row, result->reason ? json_string(result->reason) : json_null());
	json_array_append_new(row, json_integer(has_failed(result) && access(page, F_OK) == 0));
	json_array_append_new(row, measures);
	json_array_append_new(
	    row, isfinite(result->lateness_p99_us) ? json_real(result->lateness_p99_us) : json_null());
	free(page);
	return row;
}

static json_t *page_data(const struct findings *findings, const json_t *campaign, const char *folder)
{
	json_t *data = json_copy((json_t *)campaign), *cases = json_array(), *names = json_array();

	for (size_t i = 0; i < findings->results->count; i++)
		if (plan_unit_of_case(findings->plan, findings->results->all[i]->id))
			json_array_append_new(cases, case_row(findings, findings->results->all[i], folder));
	for (size_t m = 0; m < findings->measure_count; m++)
		json_array_append_new(names, json_string(findings->measure_names[m]));
	json_object_set_new(data, "cases", cases);
	json_object_set_new(data, "measure_names", names);
	return data;
}

/* A `<` in the data could end the script element that holds it. */
static int put_escaped(const char *bytes, size_t size, void *out)
{
	const char *end = bytes + size;

	while (bytes < end) {
		const char *less = memchr(bytes, '<', (size_t)(end - bytes));
		size_t plain = (size_t)((less ? less : end) - bytes);

		if (fwrite(bytes, 1, plain, out) != plain)
			return -1;
		bytes += plain;
		if (less && fputs("\\u003c", out) < 0)
			return -1;
		bytes += less != NULL;
	}
	return 0;
}

int report_page(const struct findings *findings, const json_t *campaign, const char *folder, const char *path,
    struct error *error)
{
	size_t size = (size_t)(campaign_frame_end - campaign_frame);
	const char *place = memmem(campaign_frame, size, data_placeholder, sizeof(data_placeholder) - 1);
	const char *rest = place + sizeof(data_placeholder) - 1;
	struct output_file file;
	json_t *data;

	if (output_file_open(&file, path, error))
		return -1;
	data = page_data(findings, campaign, folder);
	fwrite(campaign_frame, 1, (size_t)(place - campaign_frame), file.out);
	json_dump_callback(data, put_escaped, file.out, JSON_COMPACT | JSON_REAL_PRECISION(6));
	fwrite(rest, 1, (size_t)(campaign_frame_end - rest), file.out);
	json_decref(data);
	return output_file_close(&file, path, error);
}
