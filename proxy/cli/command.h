/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command: the command line of `deadzone`. Each cmd_*.c defines one `struct command`; command_table lists
 * them. Parsing, --help, the man page and the error messages all read that table.
 *
 * main() calls command_parse, the command's `run`, and command_line_free.
 */
#ifndef PROXY_COMMAND_H
#define PROXY_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* One option of a command. */
struct option_row {
	char letter;         /* 0: none */
	const char *word;    /* NULL: none */
	const char *takes;   /* name of its value; NULL: takes none */
	bool repeated;       /* may be given several times */
	const char *what;    /* for help */
	const char *setting; /* the setting that it abbreviates, as "[link default] loss"; or NULL */
};

#define OPTIONS_MAX 40          /* per command */
#define OPTION_VALUES_MAX 64    /* per option */
#define COMMAND_FILES_MAX 10000 /* file arguments of a command */

/* A parsed command line. All strings but the settings belong to argv. */
struct command_line {
	const struct command *command;
	const char *values[OPTIONS_MAX][OPTION_VALUES_MAX]; /* by index of the option */
	size_t counts[OPTIONS_MAX];
	const char *const *words; /* arguments that are not options */
	size_t word_count;
	char **settings; /* "[SECTION] KEY = VALUE": from abbreviating options, then from --set */
	size_t setting_count;
};

/* Returns the exit status. */
typedef int command_run(const struct command_line *line);

struct command {
	const char *name;
	const char *words; /* its arguments, for help */
	size_t words_min, words_max;
	const struct option_row *options;
	size_t option_count;
	command_run *run;
	const char *what; /* one line, for the list of commands */
	const char *more; /* paragraphs for `help COMMAND` and the man page */
};

/* Options of run and simulate that abbreviate settings, for runs without an ini file. */
#define COMMAND_LINK_OPTIONS                                                                                 \
	{0, "latency", "TIME", false, "delay of the default link, one way", "[link default] latency"},       \
	    {0, "jitter", "TIME", false, "how much that delay varies", "[link default] jitter"},             \
	    {0, "loss", "SHARE", false, "share of datagrams that are lost, such as 5%",                      \
	        "[link default] loss"},                                                                      \
	    {0, "rate", "RATE", false, "bits per second, such as 18kbit", "[link default] rate"},            \
	    {0, "queue", "AMOUNT", false, "capacity of the queue at the bottleneck, such as 20p",            \
	        "[link default] queue"},                                                                     \
	    {0, "duplicate", "SHARE", false, "share that is sent twice", "[link default] duplicate"},        \
	    {0, "corrupt", "SHARE", false, "share in which a bit is flipped", "[link default] corrupt"},     \
	    {0, "reorder", "SHARE", false, "share that later datagrams overtake", "[link default] reorder"}, \
	    {0, "mtu", "SIZE", false, "larger datagrams are dropped", "[link default] mtu"},                 \
	    {0, "link", "profile:NAME", false, "profile that the default link follows",                      \
	        "[link default] like"},                                                                      \
	    {0, "blackout", "TIME@N", false, "nothing passes for TIME, starting with the Nth datagram up",   \
	        COMMAND_BLACKOUT},                                                                           \
	{                                                                                                    \
		0, "seed", "N", false, "every random choice derives from it", "[proxy] seed"                 \
	}
#define COMMAND_SANDBOX_OPTION                                                                               \
	{                                                                                                    \
		0, "no-sandbox", NULL, false,                                                                \
		    "run without the sandbox (seccomp, Landlock, no capabilities)", NULL                     \
	}
#define COMMAND_BLACKOUT "[rule blackout]"

extern const struct command *const command_table[];
extern const size_t command_count;

extern const struct command command_run_row, command_check_row, command_simulate_row, command_report_row,
    command_replay_rules_row, command_campaign_row, command_tell_row, command_profiles_row,
    command_doctor_row, command_gateway_setup_row, command_help_row;

/* Returns the words that may follow `tell`, one by one; NULL after the last. */
const char *command_tell_word(size_t index);

/* Returns the first value of an option, or NULL if it was not given. */
const char *command_value(const struct command_line *line, const char *option);
/* Returns whether an option that takes no value was given. */
bool command_given(const struct command_line *line, const char *option);
/* Returns all values of an option, or NULL, and sets *count to how often it was given. */
const char *const *command_values(const struct command_line *line, const char *option, size_t *count);

/* Parses the `count` words after the command's name, reordering them. Returns 0, or EXIT_USAGE after logging
 * an error; command_line_free must be called in both cases. */
int command_parse(const struct command *command, int count, char **words, struct command_line *line);
void command_line_free(struct command_line *line);
/* Logs "COMMAND: …" about wrong use; returns EXIT_USAGE. */
int command_usage_error(const struct command_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Returns whether both names exist and are the same file, so that writing one would destroy the other. */
bool command_same_file(const char *a, const char *b);
struct live;
struct setup;
/* An output file of a command, and the option that names it. A `path` of NULL or "-" is no file. */
struct command_output {
	const char *option, *path;
};
/* The outputs must differ from each other and from the ini files read. Logs the first that does not and
 * returns EXIT_USAGE. */
int command_check_outputs(const char *command, const struct command_output *outputs, size_t count,
    const struct live *live, const struct setup *setup);
/* The captures that a command reads must not be among its outputs. Logs the first that is and returns
 * EXIT_USAGE. */
int command_check_inputs(const struct command_line *line, const char *const *inputs, size_t input_count,
    const struct command_output *outputs, size_t count);
/* Enters a sandbox in which files alone can be opened: the captures that are read, and what `sandbox` grants
 * already. Does nothing but free `sandbox` if --no-sandbox was given. */
struct sandbox;
void command_enter_sandbox(
    const struct command_line *line, struct sandbox *sandbox, const char *const *inputs, size_t count);
void command_print_help(const struct command *command, FILE *out);
void command_print_all(FILE *out);

#endif
