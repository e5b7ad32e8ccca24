/* replay-rules: a recorded run's decisions as rules, and the fewest of them that still make a test fail. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "base/units.h"
#include "proxy/command.h"
#include "proxy/log.h"
#include "proxy/summary.h"
#include "report/pins.h"
#include "report/shrink.h"

#define RULES_VARIABLE "DEADZONE_RULES"
#define TOLD_MAX 100 /* pins told one by one */
/* What a test's exit status means; as `git bisect run` takes it. */
#define STATUS_UNTESTED 125
#define STATUS_BROKEN 126

struct pinning {
	struct tale *tale;
	struct pins pins;
	const char *capture, *path, *command;
	struct text head;
	unsigned runs;
};

static void head_fill(struct pinning *p)
{
	text_add(&p->head,
	    "; What was done to each datagram of %s%s, as rules: `deadzone replay-rules` made them.\n", p->capture,
	    p->command ? ", as far as the failure needs it" : "");
	if (p->tale->sheet.seed_known)
		text_add(&p->head, "; Its seed was %" PRIu64 ".\n", p->tale->sheet.seed);
	text_add(&p->head, "; include it, or run it: deadzone run -c FILE --set \"[proxy] listen = 127.0.0.1:0\" "
	                   "--set \"[proxy] upstream = HOST:PORT\"\n");
}

static int write_rules(struct pinning *p, const bool *in)
{
	struct text text = {0};
	FILE *out = strcmp(p->path, "-") == 0 ? stdout : fopen(p->path, "we");
	bool failed = !out;

	if (out) {
		pins_write(&p->pins, in, p->head.at, &text);
		failed = fwrite(text.at, 1, text.size, out) < text.size;
		failed |= (out == stdout ? fflush(out) : fclose(out)) != 0;
		text_free(&text);
	}
	if (failed)
		log_error("replay-rules: `%s` cannot be written: %s", p->path, strerror(errno));
	return failed ? -1 : 0;
}

/* ---- Shrinking ---- */

enum answer { ANSWER_PASSED, ANSWER_FAILED, ANSWER_BROKEN };

static enum answer try(struct pinning *p, const bool *in)
{
	int status;

	if (write_rules(p, in))
		return ANSWER_BROKEN;
	p->runs++;
	status = system(p->command);
	if (status < 0 || !WIFEXITED(status) || WEXITSTATUS(status) >= STATUS_BROKEN) {
		log_error("replay-rules: run %u of `%s` broke off (exit status %d): its last rules stand in %s", p->runs,
		    p->command, status < 0 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status), p->path);
		return ANSWER_BROKEN;
	}
	return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == STATUS_UNTESTED ? ANSWER_PASSED : ANSWER_FAILED;
}

/* With all the test must fail, and with none it must pass: else there is nothing to find. */
static int check_ends(struct pinning *p)
{
	bool *none = calloc(p->pins.count + 1, sizeof(*none));
	enum answer all = try(p, NULL), without;

	assert(none);
	if (all == ANSWER_PASSED)
		log_error("replay-rules: `%s` passes with all of %zu: the failure does not come again", p->command,
		    p->pins.count);
	without = all == ANSWER_FAILED ? try(p, none) : ANSWER_BROKEN;
	if (without == ANSWER_FAILED)
		log_error("replay-rules: `%s` fails with none of them too: they are not the cause", p->command);
	free(none);
	if (all == ANSWER_FAILED && without == ANSWER_PASSED)
		return EXIT_DONE;
	return all == ANSWER_PASSED || without == ANSWER_FAILED ? EXIT_CHECK : EXIT_FAILED;
}

static void tell_pins(const struct pinning *p, const bool *in)
{
	size_t told = 0, untold = 0;

	for (size_t i = 0; i < p->pins.count; i++) {
		struct text text = {0};

		if (!in[i])
			continue;
		if (told++ >= TOLD_MAX) {
			untold++;
			continue;
		}
		pin_tell(p->tale, &p->pins.all[i], &text);
		printf("%s\n", text.at);
		text_free(&text);
	}
	if (untold)
		printf("… and %zu more\n", untold);
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
			log_tell("run %u: %zu of %zu are left", p->runs, state.left, state.count);
	}
	if (!status && write_rules(p, state.in))
		status = EXIT_FAILED;
	if (!status) {
		log_tell("%zu of %zu matter, after %u runs; they stand in %s:", state.left, state.count, p->runs, p->path);
		tell_pins(p, state.in);
	}
	shrink_fini(&state);
	return status;
}

/* ---- */

static int pin(struct pinning *p, ns_t step)
{
	pins_find(&p->pins, p->tale, step);
	head_fill(p);
	if (p->tale->kind == TALE_ONE_SIDE) {
		log_error("replay-rules: `%s` does not say what became of its datagrams", p->capture);
		return EXIT_USAGE;
	}
	if (p->pins.left_out)
		log_error("%" PRIu64 " decisions cannot be said as rules and are left out", p->pins.left_out);
	if (write_rules(p, NULL))
		return EXIT_USAGE;
	if (!p->command) {
		log_tell("%zu decisions in %s", p->pins.count, p->path);
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
	struct tale_wish wish = {0};
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
	p.tale = tale_read(p.capture, &wish, &error);
	if (!p.tale) {
		log_error("replay-rules: %s", error.text);
		return EXIT_USAGE;
	}
	status = pin(&p, step);
	pins_free(&p.pins);
	text_free(&p.head);
	tale_free(p.tale);
	return status;
}

static const struct option_row options[] = {
    {'o', "output", "FILE.ini", false, "where the rules go; - is standard output"},
    {0, "shrink", "\"COMMAND\"", false, "run this test again and again with fewer of them"},
    {0, "step", "TIME", false, "delays are rounded to a multiple of it (1ms); 0: not"},
    {'q', "quiet", NULL, false, "only errors, and at the end what matters"},
};

const struct command command_replay_rules_row = {
    .name = "replay-rules",
    .words = "CAPTURE",
    .words_least = 1,
    .words_most = 1,
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "a recorded run's decisions as rules that make the same ones again",
    .more =
        "The rules drop, delay, copy and change the very same datagrams, by session, direction and number (`nth`),\n"
        "over a clean link. FILE.ini is a fragment: include it, or run it with --set for listen and upstream.\n\n"
        "COMMAND is a test that runs deadzone with FILE.ini (its name stands in $DEADZONE_RULES too). Exit status 0:\n"
        "it passed; 1 to 124: it failed; 125: it cannot be told, and counts as passed; above: stop. With all the\n"
        "rules it must fail, and with none pass. What is left at the end is printed, and stands in FILE.ini: nothing\n"
        "of it can be taken away without the failure going too. Exit status 3: it does not fail with all of them, or\n"
        "fails with none.",
};
