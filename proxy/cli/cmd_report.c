/* SPDX-License-Identifier: BSD-2-Clause */
/* report: analyses a capture and prints what happened, as text, JSON or HTML. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"
#include "proxy/sandbox/sandbox.h"
#include "report/analysis.h"

/* Prints the text report. Names and addresses come from an untrusted capture and may contain terminal
 * escapes, which are made visible. */
static void print_text(const struct analysis *analysis)
{
	struct text text = {0}, visible = {0};
	FILE *out = text_stream(&text);

	if (!out)
		memory_out();
	analysis_print(analysis, out);
	if (text_stream_close(out, &text))
		memory_out();
	text_add_visible(&visible, text.at, text.size);
	fwrite(visible.at, 1, visible.size, stdout);
	text_free(&visible);
	text_free(&text);
}

static int write_page(
    const struct command_line *line, const struct analysis *analysis, const char *page, struct error *error)
{
	struct text title = {0};
	int status;

	text_add_word(&title, line->words[0]);
	if (line->word_count > 1)
		text_add(&title, " and %zu more", line->word_count - 1);
	status = analysis_page(analysis, title.at, page, error);
	text_free(&title);
	return status;
}

static int write_report(const struct command_line *line, const struct analysis *analysis)
{
	const char *page = command_value(line, "html");
	const struct command_output output = {"--html", page};
	struct error error;
	size_t json;

	command_values(line, "json", &json);
	if (command_check_inputs(line, line->words, line->word_count, &output, 1))
		return EXIT_USAGE;
	if (page && write_page(line, analysis, page, &error)) {
		log_error("--html: %s", error.text);
		return EXIT_USAGE;
	}
	if (json)
		analysis_json(analysis, stdout);
	else if (!page)
		print_text(analysis);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	log_error("report: standard output cannot be written");
	return EXIT_FAILED;
}

static int run(const struct command_line *line)
{
	struct analysis_filter filter = {
	    .device = command_value(line, "device"), .cloud = command_value(line, "cloud")};
	struct error error;
	enum analysis_detail detail = command_value(line, "html") ? ANALYSIS_WHOLE : ANALYSIS_BRIEF;
	struct sandbox *sandbox = sandbox_new();
	struct inputs *inputs;
	struct analysis *analysis;
	int status;

	sandbox_write_beside(sandbox, command_value(line, "html"));
	command_enter_sandbox(line, sandbox, line->words, line->word_count);
	inputs = inputs_open(line->words, line->word_count, &error);
	analysis = inputs ? analysis_read(inputs, &filter, detail, &error) : NULL;
	inputs_close(inputs);
	if (!analysis) {
		log_error("report: %s", error.text);
		return EXIT_USAGE;
	}
	status = write_report(line, analysis);
	analysis_free(analysis);
	return status;
}

static const struct option_row options[] = {
    {0, "html", "FILE", false, "write one self-contained page for a browser", NULL},
    {0, "json", NULL, false, "write to standard output for machines: as run --json, and more", NULL},
    {0, "device", "ADDR[:PORT]", false,
        "for captures of other programs: take the flows of this device (or prefix)", NULL},
    {0, "cloud", "ADDR:PORT", false, "for captures of other programs: take the flows of this cloud", NULL},
    COMMAND_SANDBOX_OPTION,
};

const struct command command_report_row = {
    .name = "report",
    .words = "CAPTURE...",
    .words_min = 1,
    .words_max = COMMAND_FILES_MAX,
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "report what happened, per session and direction, as text by default",
    .more = "For a pcapng written by deadzone, the figures equal the summary of that run. In a classic pcap\n"
            "written by deadzone, which has no verdicts, arrivals and departures are paired by their bytes.\n"
            "Of any other capture the flows of --device or --cloud are shown; without these, the cloud is\n"
            "assumed to be the side with port 5684 or 4433, or the receiver of the first ClientHello.\n\n"
            "Several captures are parts of one run that was rotated, in any order, or captures of the same\n"
            "time, which are merged. - is standard input; files may be compressed with gzip or zstd.",
};
