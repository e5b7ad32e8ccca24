/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports of --compare: text, JSON, JUnit and a page. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fresh.h"
#include "proxy/campaign/reports.h"
#include "proxy/campaign/store.h"
#include "report/xml.h"

static const char *const kinds[] = {"cell", "threshold", "measure", "sweep"};
static const char *const verdicts[] = {"WORSE", "", "better"};

static const char *verdict_word(int verdict)
{
	return verdicts[verdict + 1];
}

static int overall_verdict(const struct comparison *comparison)
{
	return comparison->overall < COMPARE_LEVEL_OVERALL ? comparison->overall_direction : 0;
}

static const char *conclusion(const struct comparison *comparison)
{
	return comparison->is_worse    ? "The new campaign is worse."
	       : comparison->is_better ? "The new campaign is better."
	                               : "No significant difference.";
}

void compare_text(const struct comparison *comparison, FILE *out)
{
	for (size_t i = 0; i < comparison->count; i++) {
		const struct compared *compared = &comparison->all[i];

		fprintf(out, "%-6s  %-30s  %s  p = %.3g (corrected %.3g)",
		    verdict_word(compared_verdict(compared)), compared->name, compared->text, compared->p,
		    compared->adjusted);
		if (compared->kind == COMPARED_CELL) {
			if (compared->largest >= 0)
				fprintf(
				    out, "; worse would be %d of %u", compared->largest, compared->new.count);
			else
				fprintf(out, "; too few cases to tell any difference");
		}
		fputc('\n', out);
	}
	fprintf(out, "%-6s  %-30s  p = %.3g\n", verdict_word(overall_verdict(comparison)),
	    "all cells together", comparison->overall);
	for (size_t i = 0; i < comparison->note_count; i++)
		fprintf(out, "        %s\n", comparison->notes[i]);
	fprintf(out, "%s\n", conclusion(comparison));
}

json_t *compare_json(const struct comparison *comparison)
{
	json_t *root = json_object(), *tests = json_array(), *notes = json_array();
	static const char *const words[] = {"worse", "none", "better"};

	for (size_t i = 0; i < comparison->count; i++) {
		const struct compared *compared = &comparison->all[i];
		json_t *test = json_object();

		json_object_set_new(test, "kind", json_string(kinds[compared->kind]));
		json_object_set_new(test, "name", json_string(compared->name));
		json_object_set_new(test, "text", json_string(compared->text));
		json_object_set_new(test, "p", json_real(compared->p));
		json_object_set_new(test, "corrected", json_real(compared->adjusted));
		json_object_set_new(test, "direction", json_string(words[compared->direction + 1]));
		json_object_set_new(test, "verdict", json_string(words[compared_verdict(compared) + 1]));
		if (compared->kind == COMPARED_CELL) {
			json_object_set_new(test, "old",
			    json_pack("[ii]", (int)compared->old.passed, (int)compared->old.count));
			json_object_set_new(test, "new",
			    json_pack("[ii]", (int)compared->new.passed, (int)compared->new.count));
			json_object_set_new(test, "largest_significant",
			    compared->largest >= 0 ? json_integer(compared->largest) : json_null());
		}
		json_array_append_new(tests, test);
	}
	for (size_t i = 0; i < comparison->note_count; i++)
		json_array_append_new(notes, json_string(comparison->notes[i]));
	json_object_set_new(root, "schema", json_integer(1));
	json_object_set_new(root, "worse", json_boolean(comparison->is_worse));
	json_object_set_new(root, "better", json_boolean(comparison->is_better));
	json_object_set_new(root, "overall_p", json_real(comparison->overall));
	json_object_set_new(root, "overall_verdict", json_string(words[overall_verdict(comparison) + 1]));
	json_object_set_new(root, "tests", tests);
	json_object_set_new(root, "notes", notes);
	return root;
}

int compare_junit(const struct comparison *comparison, const char *path, struct error *error)
{
	struct output_file file;
	size_t failures = overall_verdict(comparison) < 0;

	if (output_file_open(&file, path, error))
		return -1;
	for (size_t i = 0; i < comparison->count; i++)
		failures += compared_verdict(&comparison->all[i]) < 0;
	fprintf(file.out,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"deadzone compare\" tests=\"%zu\" "
	    "failures=\"%zu\" errors=\"0\" skipped=\"0\">\n",
	    comparison->count + 1, failures);
	for (size_t i = 0; i <= comparison->count; i++) {
		const struct compared *compared = i < comparison->count ? &comparison->all[i] : NULL;
		int verdict = compared ? compared_verdict(compared) : overall_verdict(comparison);

		fprintf(file.out, "  <testcase classname=\"deadzone.compare.%s\" name=\"",
		    compared ? kinds[compared->kind] : "overall");
		xml_put(compared ? compared->name : "all cells together", file.out);
		fputs("\">", file.out);
		if (verdict < 0) {
			fputs("<failure message=\"worse: ", file.out);
			xml_put(compared ? compared->text : "", file.out);
			fprintf(
			    file.out, " p = %.3g\"/>", compared ? compared->adjusted : comparison->overall);
		}
		fputs("</testcase>\n", file.out);
	}
	fputs("</testsuite>\n", file.out);
	return output_file_close(&file, path, error);
}

/* The page is a table: it needs neither script nor charts. */
int compare_page(const struct comparison *comparison, const char *path, struct error *error)
{
	struct output_file file;

	if (output_file_open(&file, path, error))
		return -1;
	fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	      "content=\"width=device-width, initial-scale=1\"><title>deadzone: two campaigns "
	      "compared</title><style>"
	      ":root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:1rem auto;"
	      "max-width:1300px;padding:0 1rem}table{border-collapse:collapse}td,th{padding:.25rem .7rem "
	      ".25rem 0;"
	      "text-align:left;border-bottom:1px solid #8886;overflow-wrap:anywhere}.worse{font-weight:700}"
	      ".worse::before{content:'✗ '}.better::before{content:'✓ "
	      "'}div{overflow-x:auto}</style></head><body><h1>",
	    file.out);
	xml_put(conclusion(comparison), file.out);
	fputs(
	    "</h1><div><table><thead><tr><th></th><th>what</th><th>old → new</th><th>p</th><th>corrected</th>"
	    "<th>worse from</th></tr></thead><tbody>\n",
	    file.out);
	for (size_t i = 0; i < comparison->count; i++) {
		const struct compared *compared = &comparison->all[i];
		int verdict = compared_verdict(compared);

		fprintf(file.out, "<tr><td class=\"%s\">%s</td><td>",
		    verdict < 0   ? "worse"
		    : verdict > 0 ? "better"
		                  : "",
		    verdict < 0 ? "worse" : verdict_word(verdict));
		xml_put(compared->name, file.out);
		fputs("</td><td>", file.out);
		xml_put(compared->text, file.out);
		fprintf(file.out, "</td><td>%.3g</td><td>%.3g</td><td>", compared->p, compared->adjusted);
		if (compared->kind == COMPARED_CELL && compared->largest >= 0)
			fprintf(file.out, "%d of %u", compared->largest, compared->new.count);
		fputs("</td></tr>\n", file.out);
	}
	fprintf(file.out,
	    "<tr><td class=\"%s\">%s</td><td>all cells together</td><td></td><td>%.3g</td><td></td><td></td>"
	    "</tr></tbody></table></div><ul>\n",
	    overall_verdict(comparison) < 0 ? "worse" : "", overall_verdict(comparison) < 0 ? "worse" : "",
	    comparison->overall);
	for (size_t i = 0; i < comparison->note_count; i++) {
		fputs("<li>", file.out);
		xml_put(comparison->notes[i], file.out);
		fputs("</li>\n", file.out);
	}
	fputs("</ul></body></html>\n", file.out);
	return output_file_close(&file, path, error);
}
