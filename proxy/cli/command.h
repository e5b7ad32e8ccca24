/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command: the words after `deadzone`: one table of commands and their options, which dispatch, --help, the
 * man page and the messages about wrong words all read.
 */
#ifndef PROXY_COMMAND_H
#define PROXY_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* One option of a command; those that take a value name it. */
struct option_row {
	char letter;      /* 0: none */
	const char *word; /* NULL: none */
	const char *takes;
	bool repeated;
	const char *what;
	const char *setting; /* NULL, or what it is short for: "[link default] loss" */
};

#define OPTIONS_MAX 40 /* of a command */
#define OPTION_VALUES_MAX 64
#define COMMAND_FILES_MAX 10000 /* words that name files */

/* What stood on the command line. */
struct command_line {
	const struct command *command;
	const char *values[OPTIONS_MAX][OPTION_VALUES_MAX]; /* by the option's row */
	size_t counts[OPTIONS_MAX];
	const char *const *words; /* what is no option */
	size_t word_count;
	char **settings; /* those that options are short for, then those of --set */
	size_t setting_count;
};

typedef int command_run(const struct command_line *line);

struct command {
	const char *name;
	const char *words; /* what it takes beside options, for help */
	size_t words_min, words_max;
	const struct option_row *options;
	size_t option_count;
	command_run *run;
	const char *what;
	const char *more; /* paragraphs for `help COMMAND` and the man page */
};

/* Options of run and simulate that are short for settings, where an ini file would be too much. */
#define COMMAND_LINK_OPTIONS                                                                                 \
	{0, "latency", "TIME", false, "delay of the default link, one way", "[link default] latency"},       \
	    {0, "jitter", "TIME", false, "how much that delay varies", "[link default] jitter"},             \
	    {0, "loss", "SHARE", false, "share of datagrams that are lost, as 5%", "[link default] loss"},   \
	    {0, "rate", "RATE", false, "bits per second, as 18kbit", "[link default] rate"},                 \
	    {0, "queue", "AMOUNT", false, "capacity of the queue at the bottleneck, as 20p",                 \
	        "[link default] queue"},                                                                     \
	    {0, "duplicate", "SHARE", false, "share that is sent twice", "[link default] duplicate"},        \
	    {0, "corrupt", "SHARE", false, "share in which a bit is flipped", "[link default] corrupt"},     \
	    {0, "reorder", "SHARE", false, "share that later datagrams overtake", "[link default] reorder"}, \
	    {0, "mtu", "SIZE", false, "larger datagrams are dropped", "[link default] mtu"},                 \
	    {0, "link", "profile:NAME", false, "profile that the default link follows",                      \
	        "[link default] like"},                                                                      \
	    {0, "blackout", "TIME@N", false, "nothing passes for TIME, from the Nth datagram up on",         \
	        COMMAND_BLACKOUT},                                                                           \
	{                                                                                                    \
		0, "seed", "N", false, "every random choice derives from it", "[proxy] seed"                 \
	}
#define COMMAND_BLACKOUT "[rule blackout]"

extern const struct command *const command_table[];
extern const size_t command_count;

extern const struct command command_run_row, command_check_row, command_simulate_row, command_report_row,
    command_replay_rules_row, command_tell_row, command_profiles_row, command_help_row;

/* Value of an option, or NULL; how often it was given. */
const char *command_value(const struct command_line *line, const char *option);
const char *const *command_values(const struct command_line *line, const char *option, size_t *count);

/* Reads the words; gives 0, or EXIT_USAGE after telling what is wrong. */
int command_parse(const struct command *command, int count, char **words, struct command_line *line);
void command_line_free(struct command_line *line);
/* The two names are of one file: writing it would destroy it before it is read. */
bool command_same_file(const char *a, const char *b);
/* Outputs of a command that must be neither inputs nor one another; a `path` of NULL or "-" is none. Tells
 * what is wrong and gives EXIT_USAGE. */
struct live;
struct setup;
struct command_output {
	const char *option, *path;
};
int command_check_outputs(const char *command, const struct command_output *outputs, size_t count,
    const struct live *live, const struct setup *setup);
/* The captures that a command reads must not be among its outputs. Reports the first that is and returns
 * EXIT_USAGE. */
int command_check_inputs(const struct command_line *line, const char *const *inputs, size_t input_count,
    const struct command_output *outputs, size_t count);
void command_print_help(const struct command *command, FILE *out);
void command_print_all(FILE *out);

#endif
