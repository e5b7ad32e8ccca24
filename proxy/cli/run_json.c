/* SPDX-License-Identifier: BSD-2-Clause */
/* run_json: writes the summary of --json to a file or to standard output. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fresh.h"
#include "proxy/cli/command.h"
#include "proxy/cli/run.h"
#include "proxy/run/log.h"
#include "proxy/run/output.h"
#include "report/dump.h"

#define JSON_QUEUE_MAX ((size_t)64 << 20) /* bytes queued for standard output during the run */

/* Queues the summary, because standard output may be a pipe that nobody reads. */
static int queue_json(struct run *run, json_t *json, bool at_end, struct error *error)
{
	struct text text = {0};
	bool queued;

	dump_json(json, DUMP_INDENTED, &text);
	json_decref(json);
	text_add_bytes(&text, "\n", 1);
	queued = output_put(run->standard_output, text.at, text.size, at_end ? SIZE_MAX : JSON_QUEUE_MAX);
	text_free(&text);
	return queued ? 0 : error_set(error, "standard output is not read: this summary is skipped");
}

void run_json_write(struct run *run, const struct run_summary *result, bool at_end)
{
	struct error error;
	int failed;

	if (!run->json_path)
		return;
	if (run->standard_output)
		failed = queue_json(run, run_summary_json(result), at_end, &error);
	else
		failed = run_summary_write(run_summary_json(result), run->json_path, &error);
	if (!failed)
		return;
	log_error("--json: %s", error.text);
	if (at_end)
		run->running.status = EXIT_FAILED;
}

int run_check_outputs(struct run *run)
{
	const char *capture = run->capture_path ? run->capture_path : run->running.setup->capture.file;
	const struct command_output outputs[] = {
	    {"-w or [capture] file", capture}, {"--json", run->json_path}, {"--junit", run->junit_path}};
	struct fresh probe;
	struct error error;

	if (run->json_path && capture && strcmp(run->json_path, "-") == 0 && strcmp(capture, "-") == 0) {
		log_error("--json and the capture cannot both go to standard output");
		return EXIT_USAGE;
	}
	if (command_check_outputs(
	        "run", outputs, sizeof(outputs) / sizeof(*outputs), run->running.live, run->running.setup))
		return EXIT_USAGE;
	if (!run->json_path)
		return EXIT_DONE;
	if (strcmp(run->json_path, "-") == 0)
		return EXIT_DONE;
	if (fresh_open(&probe, run->json_path, FRESH_DEFAULT, &error) && errno != ENXIO) {
		log_error("--json: %s", error.text);
		return EXIT_USAGE;
	}
	fresh_discard(&probe);
	return EXIT_DONE; /* ENXIO: the reader of a FIFO may come later */
}
