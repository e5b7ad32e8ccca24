/* SPDX-License-Identifier: BSD-2-Clause */
/* junit: writes the outcome of every check as JUnit XML, for test runners and CI servers. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fresh.h"
#include "report/run_summary.h"
#include "report/xml.h"

static void put_failure(const struct run_summary_failure *failure, FILE *out)
{
	fputs("    <failure type=\"expectation\" message=\"wanted ", out);
	xml_put(failure->want, out);
	fputs(failure->is_rule ? " firings, got " : ", got ", out);
	if (failure->got[0])
		xml_put(failure->got, out);
	else
		fprintf(out, "%" PRId64, failure->number);
	if (failure->session)
		fprintf(out, " in session %u", failure->session);
	fputs("\"/>\n", out);
}

static void put_case(const struct run_summary *result, const struct run_summary_check *check, FILE *out)
{
	fprintf(out, "  <testcase classname=\"deadzone.%s\" name=\"", check->is_rule ? "rule" : "check");
	xml_put(check->subject, out);
	fputs("\">\n", out);
	for (size_t i = 0; i < result->failure_count; i++) {
		const struct run_summary_failure *failure = &result->failures[i];

		if (failure->is_rule == check->is_rule && strcmp(failure->subject, check->subject) == 0)
			put_failure(failure, out);
	}
	fputs("  </testcase>\n", out);
}

static size_t count_failed(const struct run_summary *result)
{
	size_t failed = 0;

	for (size_t i = 0; i < result->check_count; i++)
		for (size_t k = 0; k < result->failure_count; k++)
			if (result->failures[k].is_rule == result->checks[i].is_rule &&
			    strcmp(result->failures[k].subject, result->checks[i].subject) == 0) {
				failed++;
				break;
			}
	return failed;
}

int run_summary_write_junit(const struct run_summary *result, const char *path, struct error *error)
{
	struct output_file file;

	if (output_file_open(&file, path, error))
		return -1;
	fprintf(file.out,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"deadzone\" tests=\"%zu\" "
	    "failures=\"%zu\" errors=\"0\" skipped=\"0\" time=\"%.3f\">\n",
	    result->check_count, count_failed(result), (double)(result->ended - result->started) / 1e9);
	for (size_t i = 0; i < result->check_count; i++)
		put_case(result, &result->checks[i], file.out);
	fputs("</testsuite>\n", file.out);
	return output_file_close(&file, path, error);
}
