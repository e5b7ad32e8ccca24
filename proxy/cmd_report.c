/* report: what happened, from a capture alone. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "proxy/command.h"
#include "proxy/log.h"
#include "proxy/summary.h"
#include "report/tale.h"

/* Names and addresses come from an untrusted capture and may contain terminal escapes. */
static void print(const struct tale *tale)
{
	struct text visible = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		memory_out();
	tale_print(tale, out);
	if (fclose(out))
		memory_out();
	text_add_visible(&visible, text, size);
	fwrite(visible.at, 1, visible.size, stdout);
	text_free(&visible);
	free(text);
}

static int tell(const struct command_line *line, const struct tale *tale)
{
	const char *page = command_value(line, "html");
	struct error error;
	size_t json;

	command_values(line, "json", &json);
	if (page && command_same_file(page, line->words[0])) {
		log_error("report: `%s` is read and cannot be written too; give --html another name", page);
		return EXIT_USAGE;
	}
	if (page && tale_page(tale, line->words[0], page, &error)) {
		log_error("--html: %s", error.text);
		return EXIT_USAGE;
	}
	if (json)
		tale_json(tale, stdout);
	else if (!page)
		print(tale);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	log_error("report: standard output cannot be written");
	return EXIT_FAILED;
}

static int run(const struct command_line *line)
{
	struct tale_wish wish = {
	    .device = command_value(line, "device"), .cloud = command_value(line, "cloud")};
	struct error error;
	enum tale_detail detail = command_value(line, "html") ? TALE_WHOLE : TALE_BRIEF;
	struct tale *tale = tale_read(line->words[0], &wish, detail, &error);
	int status;

	if (!tale) {
		log_error("report: %s", error.text);
		return EXIT_USAGE;
	}
	status = tell(line, tale);
	tale_free(tale);
	return status;
}

static const struct option_row options[] = {
    {0, "html", "FILE", false, "one self-contained page for a browser"},
    {0, "json", NULL, false, "for machines, on standard output: as run --json, and more"},
    {0, "device", "ADDR[:PORT]", false,
        "of a capture that is not ours: the flows of this device (or prefix)"},
    {0, "cloud", "ADDR:PORT", false, "… of this cloud"},
};

const struct command command_report_row = {
    .name = "report",
    .words = "CAPTURE",
    .words_least = 1,
    .words_most = 1,
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "what happened: per session and direction, text by default",
    .more = "Of our own pcapng the figures equal the run's own summary. Of our classic pcap, which has no "
            "verdicts,\n"
            "what came and what left are paired by their bytes. Of any other capture the flows of --device "
            "or --cloud\n"
            "are told, or of whoever has port 5684 or 4433, or whom the first ClientHello went to.",
};
