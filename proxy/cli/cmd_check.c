/* SPDX-License-Identifier: BSD-2-Clause */
/* check: reads ini files and prints every error and note. */
#include "base/error.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"

static int run(const struct command_line *line)
{
	int status = EXIT_DONE;

	for (size_t i = 0; i < line->word_count; i++) {
		struct complaints *complaints = complaints_new();
		struct names *names = names_new();
		struct setup_source source = {.file = line->words[i]};
		struct setup *setup = setup_new(&source, SETUP_CHECK, names, complaints);

		log_complaints(complaints);
		if (complaints_count(complaints, COMPLAINT_ERROR))
			status = EXIT_USAGE;
		setup_free(setup);
		names_free(names);
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
        "Prints nothing if the files are valid. Exit status: 0, or 2 if there is an error. Notes are not\n"
        "errors.",
};
