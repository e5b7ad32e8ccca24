/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay-rules: writes the decisions of a recorded run as rules. With --shrink it runs a test again and again
 * with fewer of these rules, to find a smallest set that still makes the test fail.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/fresh.h"
#include "base/text.h"
#include "base/units.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"
#include "proxy/sandbox/sandbox.h"
#include "report/pins.h"
#include "report/shrink.h"

#define RULES_VARIABLE "DEADZONE_RULES"
#define PRINTED_MAX 100 /* pins printed one by one */
#define NAME_SHOWN 120  /* bytes of the capture's name in the head */
/* Exit status of a test, as for `git bisect run`: from STATUS_ABORT on, the search ends. */
#define STATUS_UNTESTED 125
#define STATUS_ABORT 126

struct pinning {
	struct analysis *analysis;
	struct pins pins;
	struct inputs *inputs;
	const char *capture, *path, *command;
	int starter; /* socket to the process that starts `command` */
	struct text head;
	unsigned runs;
};

/* Appends the end of a file name, which may be long, with control characters replaced. */
static void add_name(struct text *out, const char *path)
{
	size_t size = strlen(path);

	for (const char *c = size > NAME_SHOWN ? path + size - NAME_SHOWN : path; *c; c++)
		text_add(out, "%c", (unsigned char)*c < ' ' ? '?' : *c);
}

/* Appends the keys that decide how datagrams are assigned to sessions. Rules cannot express them, so the next
 * run needs the same values. */
static void add_required_keys(struct text *out, const char *ini)
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

static void fill_head(struct pinning *p)
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
	add_required_keys(&p->head, p->analysis->ini);
}

static int write_rules(struct pinning *p, const bool *included)
{
	struct output_file file;
	struct text text = {0};
	struct error error;
	int failed = output_file_open(&file, p->path, &error);

	if (!failed) {
		pins_write(&p->pins, included, p->head.at, &text);
		fwrite(text.at, 1, text.size, file.out);
		failed = output_file_close(&file, p->path, &error);
		text_free(&text);
	}
	if (failed)
		log_error("replay-rules: %s", error.text);
	return failed;
}

/* ---- Shrinking ----
 *
 * What reads the capture is in a sandbox and can start no program. So the command is started by the process
 * that the user has started, and a child of it does all else: it sends a byte for each run of the command,
 * and receives the status that system(3) returned. */

/* Starts the command whenever the child asks for it, until the child ends. Returns the child's exit status.
 */
static int serve_child(pid_t child, int socket, const char *command)
{
	char request;
	int status;

	while (read(socket, &request, 1) == 1) {
		signal(SIGPIPE, SIG_DFL); /* the command expects the default */
		status = system(command);
		signal(SIGPIPE, SIG_IGN);
		if (write(socket, &status, sizeof(status)) < 0)
			break;
	}
	close(socket);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status)); /* as if there were no child */
	return EXIT_FAILED;
}

/* Returns what system(3) returns for the command. */
static int start_command(const struct pinning *p)
{
	int status;

	if (write(p->starter, "", 1) != 1 || read(p->starter, &status, sizeof(status)) != sizeof(status))
		return -1;
	return status;
}

enum test_outcome { OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_ABORTED };

static enum test_outcome run_test(struct pinning *p, const bool *included)
{
	int status;

	if (write_rules(p, included))
		return OUTCOME_ABORTED;
	p->runs++;
	status = start_command(p);
	if (status < 0 || !WIFEXITED(status) || WEXITSTATUS(status) >= STATUS_ABORT) {
		log_error("replay-rules: run %u of `%s` broke off (exit status %d)", p->runs, p->command,
		    status < 0 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status));
		return OUTCOME_ABORTED;
	}
	return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == STATUS_UNTESTED ? OUTCOME_PASSED
	                                                                          : OUTCOME_FAILED;
}

/* The test must fail with all rules and pass with none; otherwise there is nothing to find. */
static int check_ends(struct pinning *p)
{
	bool *none = memory_new(p->pins.count + 1, sizeof(*none));
	enum test_outcome all = run_test(p, NULL), without;

	if (all == OUTCOME_PASSED)
		log_error("replay-rules: `%s` passes with all of %zu: the failure cannot be reproduced",
		    p->command, p->pins.count);
	without = all == OUTCOME_FAILED ? run_test(p, none) : OUTCOME_ABORTED;
	if (without == OUTCOME_FAILED)
		log_error(
		    "replay-rules: `%s` fails with none of them, too: they are not the cause", p->command);
	free(none);
	if (all == OUTCOME_FAILED && without == OUTCOME_PASSED)
		return EXIT_DONE;
	return all == OUTCOME_PASSED || without == OUTCOME_FAILED ? EXIT_CHECK : EXIT_FAILED;
}

static void print_pins(const struct pinning *p, const bool *included)
{
	size_t printed = 0, omitted = 0;

	for (size_t i = 0; i < p->pins.count; i++) {
		struct text text = {0};

		if (!included[i])
			continue;
		if (printed++ >= PRINTED_MAX) {
			omitted++;
			continue;
		}
		pin_describe(p->analysis, &p->pins.all[i], &text);
		printf("%s\n", text.at);
		text_free(&text);
	}
	if (omitted)
		printf("… and %zu more\n", omitted);
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
		size_t left_before = state.left;
		enum test_outcome outcome = run_test(p, tried);

		if (outcome == OUTCOME_ABORTED)
			status = EXIT_FAILED;
		else
			shrink_answer(&state, outcome == OUTCOME_FAILED);
		if (state.left < left_before)
			log_info("run %u: %zu of %zu are left", p->runs, state.left, state.count);
	}
	/* If the search was aborted, this is the smallest set so far. */
	if (write_rules(p, state.in))
		status = EXIT_FAILED;
	else if (status)
		log_error("replay-rules: %zu of %zu are left so far; they are in %s", state.left, state.count,
		    p->path);
	if (!status) {
		log_info("%zu of %zu matter, after %u runs; they are in %s:", state.left, state.count,
		    p->runs, p->path);
		print_pins(p, state.in);
	}
	shrink_fini(&state);
	return status;
}

/* ---- The command ---- */

static void log_left_out(const struct pinning *p)
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

static int make_rules(struct pinning *p, ns_t step)
{
	pins_find(&p->pins, p->analysis, step);
	fill_head(p);
	if (p->analysis->kind == ANALYSIS_ONE_SIDE) {
		log_error("replay-rules: `%s` does not say what became of its datagrams", p->capture);
		return EXIT_USAGE;
	}
	log_left_out(p);
	if (write_rules(p, NULL))
		return EXIT_USAGE;
	if (!p->command) {
		log_info("%zu decisions in %s", p->pins.count, p->path);
		return EXIT_DONE;
	}
	return shrink(p);
}

static int replay_rules(const struct command_line *line, struct pinning *p, ns_t step)
{
	struct analysis_filter filter = {0};
	struct sandbox *sandbox = sandbox_new();
	struct error error;
	int status;

	sandbox_write_beside(sandbox, p->path);
	command_enter_sandbox(line, sandbox, line->words, line->word_count);
	p->inputs = inputs_open(line->words, line->word_count, &error);
	p->analysis = p->inputs ? analysis_read(p->inputs, &filter, ANALYSIS_WHOLE, &error) : NULL;
	inputs_close(p->inputs);
	if (!p->analysis) {
		log_error("replay-rules: %s", error.text);
		return EXIT_USAGE;
	}
	status = make_rules(p, step);
	pins_free(&p->pins);
	text_free(&p->head);
	analysis_free(p->analysis);
	return status;
}

/* With --shrink: does the work in a child, and starts the command for it. */
static int shrink_in_child(const struct command_line *line, struct pinning *p, ns_t step)
{
	int sockets[2], status;
	pid_t parent = getpid(), child;

	setenv(RULES_VARIABLE, p->path, 1);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) || (child = fork()) < 0) {
		log_error("replay-rules: no process can be started: %s", strerror(errno));
		return EXIT_FAILED;
	}
	if (child > 0) {
		close(sockets[1]);
		return serve_child(child, sockets[0], p->command);
	}
	close(sockets[0]);
	signal(SIGINT, SIG_IGN); /* Ctrl-C ends the command, and what has been found so far is written */
	signal(SIGQUIT, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		return EXIT_FAILED;
	p->starter = sockets[1];
	status = replay_rules(line, p, step);
	close(p->starter);
	return status;
}

static int run(const struct command_line *line)
{
	struct pinning p = {.capture = line->words[0],
	    .path = command_value(line, "output"),
	    .command = command_value(line, "shrink")};
	const char *step_text = command_value(line, "step");
	const struct command_output output = {"-o", p.path};
	struct error error;
	ns_t step = NS_MS;

	log_set_level(command_given(line, "quiet") ? LOG_QUIET : LOG_NORMAL);
	if (!p.path) {
		log_error("replay-rules: `-o FILE.ini` is missing; see `deadzone help replay-rules`");
		return EXIT_USAGE;
	}
	if (p.command && strcmp(p.path, "-") == 0) {
		log_error("replay-rules: --shrink needs a file after -o, which the command reads");
		return EXIT_USAGE;
	}
	if (step_text && units_time(step_text, &step, &error)) {
		log_error("replay-rules: --step: %s", error.text);
		return EXIT_USAGE;
	}
	if (command_check_inputs(line, line->words, line->word_count, &output, 1))
		return EXIT_USAGE;
	return p.command ? shrink_in_child(line, &p, step) : replay_rules(line, &p, step);
}

static const struct option_row options[] = {
    {'o', "output", "FILE.ini", false, "where the rules go; - is standard output", NULL},
    {0, "shrink", "\"COMMAND\"", false, "find the fewest rules with which this test still fails", NULL},
    {0, "step", "TIME", false, "round delays to multiples of this (1ms); 0: do not round", NULL},
    COMMAND_SANDBOX_OPTION,
    {'q', "quiet", NULL, false, "print only errors, and what matters at the end", NULL},
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
    .more =
        "The rules drop, delay, copy and change the very same datagrams, by session, direction and\n"
        "number (`nth`), over a clean link. FILE.ini is a fragment: include it, or run it with --set for\n"
        "listen and upstream.\n\n"
        "COMMAND is a test that runs deadzone with FILE.ini (its name is also in $DEADZONE_RULES). Its exit\n"
        "status is 0 if it passed, 1 to 124 if it failed, 125 if it is undecided, which counts as passed,\n"
        "and above 125 to abort. It must fail with all the rules and pass with none. The rules left at the\n"
        "end are printed, and written to FILE.ini: without any one of them the test passes. Exit status 3:\n"
        "COMMAND passes with all rules, or fails with none.",
};
