/* SPDX-License-Identifier: BSD-2-Clause */
/* check: reads ini files and prints every error and note. */
#include "base/error.h"
#include "proxy/campaign/campaign.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"

static void check_network(const char *path, struct complaints *complaints)
{
	struct names *names = names_new();
	struct setup_source source = {.ini.file = path};

	setup_free(setup_new(&source, SETUP_CHECK, names, complaints));
	names_free(names);
}

static int run(const struct command_line *line)
{
	int status = EXIT_DONE;

	for (size_t i = 0; i < line->word_count; i++) {
		struct complaints *complaints = complaints_new();

		if (settings_is_campaign(line->words[i]))
			campaign_free(campaign_new(line->words[i], NULL, 0, 0, complaints));
		else
			check_network(line->words[i], complaints);
		log_complaints(complaints);
		if (complaints_count(complaints, COMPLAINT_ERROR))
			status = EXIT_USAGE;
		complaints_free(complaints);
	}
	return status;
}

const struct command command_check_row = {
    .name = "check",
    .words = "FILE...",
    .words_min = 1,
    .words_max = COMMAND_FILES_MAX,
    .run = run,
    .what = "read ini files and print every error and note",
    .more =
        "Each FILE is checked by itself with its includes. A fragment without [proxy] is valid.\n"
        "A campaign's file is checked with all the networks that it makes.\n"
        "Prints nothing if the files are valid. Exit status: 0, or 2 if there is an error. Notes are not\n"
        "errors.",
};
