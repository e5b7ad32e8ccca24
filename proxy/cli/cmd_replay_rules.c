/* SPDX-License-Identifier: BSD-2-Clause */
/* replay-rules: a recorded run's decisions as rules, and the fewest of them that still make a test fail. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/memory.h"
#include "base/fresh.h"
#include "base/text.h"
#include "base/units.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"
#include "report/pins.h"
#include "report/shrink.h"

#define RULES_VARIABLE "DEADZONE_RULES"
#define TOLD_MAX 100   /* pins told one by one */
#define NAME_SHOWN 120 /* bytes of the capture's name */
/* What a test's exit status means; as `git bisect run` takes it. */
#define STATUS_UNTESTED 125
#define STATUS_BROKEN 126

struct pinning {
	struct analysis *analysis;
	struct pins pins;
	struct inputs *inputs;
	const char *capture, *path, *command;
	struct text head;
	unsigned runs;
};

/* A name may be long, and hold anything: its end, in one line. */
static void add_name(struct text *out, const char *path)
{
	size_t size = strlen(path);

	for (const char *c = size > NAME_SHOWN ? path + size - NAME_SHOWN : path; *c; c++)
		text_add(out, "%c", (unsigned char)*c < ' ' ? '?' : *c);
}

/* What decides which session is which does not stand in rules: it must be the same in the next run. */
static void add_needed(struct text *out, const char *ini)
{
	static const char *const keys[] = {"allow", "idle_timeout", "max_sessions", "follow_cid"};

	for (const char *line = ini; line && *line; line += strcspn(line, "\n"), line += *line == '\n')
		for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
			size_t size = strlen(keys[i]), length = strcspn(line, "\n");

			if (strncmp(line, keys[i], size) == 0 && (line[size] == ' ' || line[size] == '=') &&
			    length < 150)
				text_add(out, "; the recorded run had, and this one needs: %.*s\n",
				    (int)length, line);
		}
}

static void head_fill(struct pinning *p)
{
	text_add(&p->head,
	    "; By `deadzone replay-rules`: what was done to each datagram%s in the capture\n; ",
	    p->command ? " that matters" : "");
	add_name(&p->head, p->capture);
	if (p->analysis->result.seed_known)
		text_add(&p->head, "\n; Its seed was %" PRIu64 ".", p->analysis->result.seed);
	text_add(&p->head,
	    "\n; Include this, or run it: deadzone run -c FILE --set \"[proxy] listen = 127.0.0.1:0\" "
	    "--set \"[proxy] upstream = HOST:PORT\"\n");
	add_needed(&p->head, p->analysis->ini);
}

static int write_rules(struct pinning *p, const bool *in)
{
	struct output_file file;
	struct text text = {0};
	struct error error;
	int failed = output_file_open(&file, p->path, &error);

	if (!failed) {
		pins_write(&p->pins, in, p->head.at, &text);
		fwrite(text.at, 1, text.size, file.out);
		failed = output_file_close(&file, p->path, &error);
		text_free(&text);
	}
	if (failed)
		log_error("replay-rules: %s", error.text);
	return failed;
}

/* ---- Shrinking ---- */

enum answer { ANSWER_PASSED, ANSWER_FAILED, ANSWER_BROKEN };

static enum answer try(struct pinning *p, const bool *in)
{
	int status;

	if (write_rules(p, in))
		return ANSWER_BROKEN;
	p->runs++;
	signal(SIGPIPE, SIG_DFL); /* the command is nobody's server */
	status = system(p->command);
	signal(SIGPIPE, SIG_IGN);
	if (status < 0 || !WIFEXITED(status) || WEXITSTATUS(status) >= STATUS_BROKEN) {
		log_error("replay-rules: run %u of `%s` broke off (exit status %d)", p->runs, p->command,
		    status < 0 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status));
		return ANSWER_BROKEN;
	}
	return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == STATUS_UNTESTED ? ANSWER_PASSED
	                                                                          : ANSWER_FAILED;
}

/* With all the test must fail, and with none it must pass: else there is nothing to find. */
static int check_ends(struct pinning *p)
{
	bool *none = memory_new(p->pins.count + 1, sizeof(*none));
	enum answer all = try(p, NULL), without;

	if (all == ANSWER_PASSED)
		log_error("replay-rules: `%s` passes with all of %zu: the failure does not come again",
		    p->command, p->pins.count);
	without = all == ANSWER_FAILED ? try(p, none) : ANSWER_BROKEN;
	if (without == ANSWER_FAILED)
		log_error(
		    "replay-rules: `%s` fails with none of them too: they are not the cause", p->command);
	free(none);
	if (all == ANSWER_FAILED && without == ANSWER_PASSED)
		return EXIT_DONE;
	return all == ANSWER_PASSED || without == ANSWER_FAILED ? EXIT_CHECK : EXIT_FAILED;
}

static void tell_pins(const struct pinning *p, const bool *in)
{
	size_t told = 0, event_lines_left_out = 0;

	for (size_t i = 0; i < p->pins.count; i++) {
		struct text text = {0};

		if (!in[i])
			continue;
		if (told++ >= TOLD_MAX) {
			event_lines_left_out++;
			continue;
		}
		pin_tell(p->analysis, &p->pins.all[i], &text);
		printf("%s\n", text.at);
		text_free(&text);
	}
	if (event_lines_left_out)
		printf("… and %zu more\n", event_lines_left_out);
}

static int shrink(struct pinning *p)
{
	struct shrink state;
	const bool *tried;
	int status = check_ends(p);

	if (status)
		return status;
	shrink_init(&state, p->pins.count);
	while (!status && (tried = shrink_next(&state))) {
		size_t before = state.left;
		enum answer answer = try(p, tried);

		if (answer == ANSWER_BROKEN)
			status = EXIT_FAILED;
		else
			shrink_answer(&state, answer == ANSWER_FAILED);
		if (state.left < before)
			log_info("run %u: %zu of %zu are left", p->runs, state.left, state.count);
	}
	/* Also where it broke off: the best so far. */
	if (write_rules(p, state.in))
		status = EXIT_FAILED;
	else if (status)
		log_error("replay-rules: %zu of %zu are left so far; they stand in %s", state.left,
		    state.count, p->path);
	if (!status) {
		log_info("%zu of %zu matter, after %u runs; they stand in %s:", state.left, state.count,
		    p->runs, p->path);
		tell_pins(p, state.in);
	}
	shrink_fini(&state);
	return status;
}

/* ---- */

static void tell_left_out(const struct pinning *p)
{
	const char *line = p->pins.left_lines.at;

	if (!p->pins.left_out)
		return;
	log_error("%" PRIu64 " decisions cannot be said as rules and are left out:", p->pins.left_out);
	for (; line && *line; line += strcspn(line, "\n") + 1)
		log_error("  %.*s", (int)strcspn(line, "\n"), line);
	if (p->pins.left_out > PINS_LEFT_LINES)
		log_error("  …");
}

static int pin(struct pinning *p, ns_t step)
{
	pins_find(&p->pins, p->analysis, step);
	head_fill(p);
	if (p->analysis->kind == ANALYSIS_ONE_SIDE) {
		log_error("replay-rules: `%s` does not say what became of its datagrams", p->capture);
		return EXIT_USAGE;
	}
	tell_left_out(p);
	if (write_rules(p, NULL))
		return EXIT_USAGE;
	if (!p->command) {
		log_info("%zu decisions in %s", p->pins.count, p->path);
		return EXIT_DONE;
	}
	setenv(RULES_VARIABLE, p->path, 1);
	return shrink(p);
}

static int run(const struct command_line *line)
{
	struct pinning p = {.capture = line->words[0],
	    .path = command_value(line, "output"),
	    .command = command_value(line, "shrink")};
	const char *step_text = command_value(line, "step");
	const struct command_output output = {"-o", p.path};
	struct analysis_filter filter = {0};
	struct error error;
	ns_t step = NS_MS;
	size_t quiet;
	int status;

	command_values(line, "quiet", &quiet);
	log_set_level(quiet ? LOG_QUIET : LOG_NORMAL);
	if (!p.path) {
		log_error("replay-rules: `-o FILE.ini` is missing; `deadzone help replay-rules` says more");
		return EXIT_USAGE;
	}
	if (p.command && strcmp(p.path, "-") == 0) {
		log_error("replay-rules: --shrink needs a file behind -o, which the command reads");
		return EXIT_USAGE;
	}
	if (step_text && units_time(step_text, &step, &error)) {
		log_error("replay-rules: --step: %s", error.text);
		return EXIT_USAGE;
	}
	if (command_check_inputs(line, line->words, line->word_count, &output, 1))
		return EXIT_USAGE;
	p.inputs = inputs_open(line->words, line->word_count, &error);
	p.analysis = p.inputs ? analysis_read(p.inputs, &filter, ANALYSIS_WHOLE, &error) : NULL;
	inputs_close(p.inputs);
	if (!p.analysis) {
		log_error("replay-rules: %s", error.text);
		return EXIT_USAGE;
	}
	status = pin(&p, step);
	pins_free(&p.pins);
	text_free(&p.head);
	analysis_free(p.analysis);
	return status;
}

static const struct option_row options[] = {
    {'o', "output", "FILE.ini", false, "where the rules go; - is standard output", NULL},
    {0, "shrink", "\"COMMAND\"", false, "run this test again and again with fewer of them", NULL},
    {0, "step", "TIME", false, "delays are rounded to a multiple of it (1ms); 0: not", NULL},
    {'q', "quiet", NULL, false, "only errors, and at the end what matters", NULL},
};

const struct command command_replay_rules_row = {
    .name = "replay-rules",
    .words = "CAPTURE...",
    .words_min = 1,
    .words_max = COMMAND_FILES_MAX,
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "turn a recorded run into rules that reproduce it",
    .more = "The rules drop, delay, copy and change the very same datagrams, by session, direction and "
            "number (`nth`),\n"
            "over a clean link. FILE.ini is a fragment: include it, or run it with --set for listen and "
            "upstream.\n\n"
            "COMMAND is a test that runs deadzone with FILE.ini (its name stands in $DEADZONE_RULES too). "
            "Exit status 0:\n"
            "passed; 1 to 124: failed; 125: undecided, treated as passed; above: abort. With "
            "all the\n"
            "rules it must fail, and with none pass. What is left at the end is printed, and stands in "
            "FILE.ini: nothing\n"
            "of it can be taken away without the failure going too. Exit status 3: it does not fail with all "
            "of them, or\n"
            "fails with none.",
};
