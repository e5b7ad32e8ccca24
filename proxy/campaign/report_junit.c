/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fresh.h"
#include "base/regular.h"
#include "proxy/campaign/reports.h"
#include "report/xml.h"

#define LOG_LINES 20 /* of a failed case, shown in the failure */
#define LOG_MAX ((size_t)16 << 20)
#define CASES_SHOWN 20
#define LOGS_SHOWN 3
#define STATUS_INCOMPLETE 1 /* exit status */

/* Writes the last lines of a case's test.log. */
static void put_log(const char *folder, const char *id, FILE *out)
{
	struct text path = {0}, text = {0};
	struct error error;

	text_add(&path, "%s/units/%s/test.log", folder, id);
	if (regular_load(path.at, LOG_MAX, &text, &error) == 0 && text.size) {
		const char *from = text.at + text.size;

		for (int lines = 0; from > text.at && (from[-1] != '\n' || lines++ < LOG_LINES);)
			from--;
		fprintf(out, "\nthe end of %s/test.log:\n", id);
		xml_put_bytes(from, (size_t)(text.at + text.size - from), out);
	}
	text_free(&path);
	text_free(&text);
}

static void put_requirement(
    const struct findings *findings, const struct requirement *requirement, const char *folder, FILE *out)
{
	static const char *const kinds[] = {"cell", "search", "sweep", "measure"};

	fprintf(out, "  <testcase classname=\"deadzone.campaign.%s\" name=\"", kinds[requirement->kind]);
	xml_put(requirement->name, out);
	fputs("\">\n", out);
	(void)findings;
	switch (requirement->state) {
	case REQUIREMENT_HELD: break;
	case REQUIREMENT_FAILED:
		fputs("    <failure message=\"", out);
		xml_put(requirement->message, out);
		fputs("\">", out);
		for (size_t i = 0; i < requirement->failed_count && i < CASES_SHOWN; i++) {
			xml_put(requirement->failed[i], out);
			fputc('\n', out);
		}
		if (requirement->failed_count > CASES_SHOWN)
			fprintf(out, "and %zu more\n", requirement->failed_count - CASES_SHOWN);
		for (size_t i = 0; i < requirement->failed_count && i < LOGS_SHOWN; i++)
			put_log(folder, requirement->failed[i], out);
		fputs("</failure>\n", out);
		break;
	case REQUIREMENT_UNKNOWN:
		fputs("    <error message=\"", out);
		xml_put(requirement->message, out);
		fputs("\"/>\n", out);
		break;
	case REQUIREMENT_SKIPPED: fputs("    <skipped/>\n", out); break;
	}
	fputs("  </testcase>\n", out);
}

static void put_requirements(
    const struct findings *findings, const char *folder, int status, const char *reason, FILE *out)
{
	unsigned counts[4] = {0};
	bool is_more;

	for (size_t i = 0; i < findings->requirement_count; i++)
		counts[findings->requirements[i].state]++;
	is_more = status == STATUS_INCOMPLETE && !counts[REQUIREMENT_UNKNOWN];
	fprintf(out,
	    "<testsuite name=\"deadzone campaign\" tests=\"%zu\" failures=\"%u\" errors=\"%u\" "
	    "skipped=\"%u\">\n",
	    findings->requirement_count + is_more, counts[REQUIREMENT_FAILED],
	    counts[REQUIREMENT_UNKNOWN] + is_more, counts[REQUIREMENT_SKIPPED]);
	for (size_t i = 0; i < findings->requirement_count; i++)
		put_requirement(findings, &findings->requirements[i], folder, out);
	if (is_more) {
		fputs("  <testcase classname=\"deadzone.campaign\" name=\"campaign\">\n    <error message=\"",
		    out);
		if (reason && *reason)
			xml_put(reason, out);
		else
			fprintf(out, "not complete: %u cases have not run, %u are invalid", findings->missing,
			    findings->invalid);
		fputs("\"/>\n  </testcase>\n", out);
	}
	fputs("</testsuite>\n", out);
}

static void put_case(const struct result *result, const char *folder, FILE *out)
{
	fputs("  <testcase classname=\"deadzone.case\" name=\"", out);
	xml_put(result->id, out);
	fprintf(out, "\" time=\"%.3f\">\n", isfinite(result->seconds) ? result->seconds : 0);
	switch (result->outcome) {
	case OUTCOME_PASS:
	case OUTCOMES: break;
	case OUTCOME_SKIP: fputs("    <skipped/>\n", out); break;
	case OUTCOME_INVALID:
		fputs("    <error message=\"", out);
		xml_put(result->reason, out);
		fputs("\"/>\n", out);
		break;
	case OUTCOME_FAIL:
	case OUTCOME_TIMEOUT:
		fputs("    <failure message=\"", out);
		xml_put(result->reason, out);
		fputs("\">", out);
		put_log(folder, result->id, out);
		fputs("</failure>\n", out);
	}
	fputs("  </testcase>\n", out);
}

static void put_cases(const struct findings *findings, const char *folder, FILE *out)
{
	const struct results *results = findings->results;
	unsigned counts[OUTCOMES] = {0};
	size_t count = 0;

	for (size_t i = 0; i < results->count; i++)
		if (plan_unit_of_case(findings->plan, results->all[i]->id)) {
			counts[results->all[i]->outcome]++;
			count++;
		}
	fprintf(out,
	    "<testsuite name=\"deadzone campaign\" tests=\"%zu\" failures=\"%u\" errors=\"%u\" "
	    "skipped=\"%u\">\n",
	    count, counts[OUTCOME_FAIL] + counts[OUTCOME_TIMEOUT], counts[OUTCOME_INVALID],
	    counts[OUTCOME_SKIP]);
	for (size_t i = 0; i < results->count; i++)
		if (plan_unit_of_case(findings->plan, results->all[i]->id))
			put_case(results->all[i], folder, out);
	fputs("</testsuite>\n", out);
}

int report_junit(const struct findings *findings, const char *folder, const char *path, int status,
    const char *reason, struct error *error)
{
	struct output_file file;

	if (output_file_open(&file, path, error))
		return -1;
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", file.out);
	put_requirements(findings, folder, status, reason, file.out);
	return output_file_close(&file, path, error);
}

int report_junit_cases(
    const struct findings *findings, const char *folder, const char *path, struct error *error)
{
	struct output_file file;

	if (output_file_open(&file, path, error))
		return -1;
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", file.out);
	put_cases(findings, folder, file.out);
	return output_file_close(&file, path, error);
}
