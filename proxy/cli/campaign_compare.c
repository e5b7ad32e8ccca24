/* SPDX-License-Identifier: BSD-2-Clause */
/* campaign_compare: --compare, which reads the results of two campaigns or more. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/campaign/folder.h"
#include "proxy/campaign/reports.h"
#include "proxy/cli/campaign_command.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"

/* Reads a campaign.json, or that of a folder. Returns NULL after logging an error. */
static json_t *read_side(const char *path)
{
	struct text file = {0};
	json_error_t wrong;
	json_t *json;

	text_add(&file, folder_exists(path) ? "%s/campaign.json" : "%s", path);
	json = json_load_file(file.at, 0, &wrong);
	if (!json)
		log_error("campaign: `%s` cannot be read: %s", file.at, wrong.text);
	else if (!json_is_array(json_object_get(json, "cases"))) {
		log_error("campaign: `%s` is not the campaign.json of a campaign", file.at);
		json_decref(json);
		json = NULL;
	}
	text_free(&file);
	return json;
}

static int write_comparison(const struct command_line *line, const struct comparison *comparison)
{
	const char *html = command_value(line, "html"), *json_path = command_value(line, "json");
	const char *junit = command_value(line, "junit");
	json_t *json = compare_json(comparison);
	struct error error;
	int failed = (json_path && store_write_json(json_path, json, &error)) ||
	             (html && compare_page(comparison, html, &error)) ||
	             (junit && compare_junit(comparison, junit, &error));

	json_decref(json);
	compare_text(comparison, stdout);
	if (failed)
		log_error("campaign: %s", error.text);
	return failed || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

int campaign_compare(const struct command_line *line)
{
	json_t **sides;
	struct comparison comparison;
	struct error error;
	int status = EXIT_DONE;

	if (line->word_count < 2)
		return command_usage_error(
		    line, "--compare needs an old and a new campaign: folders or campaign.json files");
	sides = memory_new(line->word_count, sizeof(*sides));
	for (size_t i = 0; i < line->word_count; i++)
		if (!(sides[i] = read_side(line->words[i])))
			status = EXIT_USAGE;
	if (!status && compare((const json_t *const *)sides, line->word_count, &comparison, &error)) {
		status = command_usage_error(line, "%s", error.text);
		comparison_free(&comparison);
	} else if (!status) {
		status = write_comparison(line, &comparison);
		if (!status && comparison.is_worse)
			status = EXIT_CHECK;
		comparison_free(&comparison);
	}
	for (size_t i = 0; i < line->word_count; i++)
		json_decref(sides[i]);
	free(sides);
	return status;
}
