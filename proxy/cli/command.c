/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command_parse walks the words once: values of options are stored by index of the option, and all other
 * words are moved to the front of the array. Then the options that abbreviate settings, and --set, become
 * `settings`.
 */
#include "proxy/cli/command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/text.h"
#include "capture/inputs.h"
#include "proxy/run/live.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"
#include "proxy/sandbox/sandbox.h"

const struct command *const command_table[] = {&command_run_row, &command_check_row, &command_simulate_row,
    &command_report_row, &command_replay_rules_row, &command_campaign_row, &command_tell_row,
    &command_profiles_row, &command_doctor_row, &command_gateway_setup_row, &command_help_row};
const size_t command_count = sizeof(command_table) / sizeof(*command_table);

/* Returns the index of an option, given by word or letter; option_count if there is none. */
static size_t find_option(const struct command *command, const char *option)
{
	for (size_t i = 0; i < command->option_count; i++) {
		const struct option_row *row = &command->options[i];

		if ((row->word && strcmp(row->word, option) == 0) ||
		    (row->letter && option[0] == row->letter && !option[1]))
			return i;
	}
	return command->option_count;
}

static void add_setting(struct command_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_setting(struct command_line *line, const char *format, ...)
{
	struct text text = {0};
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	line->settings = memory_grow(line->settings, line->setting_count, sizeof(*line->settings));
	line->settings[line->setting_count++] = text.at;
}

const char *const *command_values(const struct command_line *line, const char *option, size_t *count)
{
	size_t row = find_option(line->command, option);

	*count = row < line->command->option_count ? line->counts[row] : 0;
	return *count ? line->values[row] : NULL;
}

const char *command_value(const struct command_line *line, const char *option)
{
	size_t count;
	const char *const *values = command_values(line, option, &count);

	return count ? values[0] : NULL;
}

bool command_given(const struct command_line *line, const char *option)
{
	size_t count;

	command_values(line, option, &count);
	return count > 0;
}

/* Adds the rule of "40s@75": a blackout of 40 s that begins with the 75th datagram up. */
static void add_blackout(struct command_line *line, const char *value)
{
	const char *at = strchr(value, '@');
	int size = at ? (int)(at - value) : (int)strlen(value);

	add_setting(line, COMMAND_BLACKOUT " direction = up");
	add_setting(line, COMMAND_BLACKOUT " nth = %s", at ? at + 1 : "1");
	add_setting(line, COMMAND_BLACKOUT " do = blackout %.*s", size, value);
}

static void add_settings(struct command_line *line)
{
	size_t set_count;
	const char *const *sets = command_values(line, "set", &set_count);

	for (size_t i = 0; i < line->command->option_count; i++) {
		const char *setting = line->command->options[i].setting;

		if (!setting || !line->counts[i])
			continue;
		if (strcmp(setting, COMMAND_BLACKOUT) == 0)
			add_blackout(line, line->values[i][0]);
		else
			add_setting(line, "%s = %s", setting, line->values[i][0]);
	}
	for (size_t i = 0; i < set_count; i++)
		add_setting(line, "%s", sets[i]);
}

void command_line_free(struct command_line *line)
{
	for (size_t i = 0; i < line->setting_count; i++)
		free(line->settings[i]);
	free(line->settings);
	*line = (struct command_line){0};
}

int command_usage_error(const struct command_line *line, const char *format, ...)
{
	struct text text = {0};
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	log_error("%s: %s", line->command->name, text.at);
	text_free(&text);
	return EXIT_USAGE;
}

static int usage_error(const struct command *command, const char *what, const char *word)
{
	log_error("%s: %s `%s`; see `deadzone help %s`", command->name, what, word, command->name);
	return EXIT_USAGE;
}

static int missing_value_error(const struct command *command, const char *word)
{
	log_error("%s: `%s` needs a value; see `deadzone help %s`", command->name, word, command->name);
	return EXIT_USAGE;
}

static int unknown_option_error(const struct command *command, const char *word)
{
	const char *names[OPTIONS_MAX] = {0}, *nearest;
	size_t count = 0;

	for (size_t i = 0; i < command->option_count; i++)
		if (command->options[i].word)
			names[count++] = command->options[i].word;
	nearest = text_nearest(word + strspn(word, "-"), names, count);
	if (!nearest)
		return usage_error(command, "there is no option", word);
	log_error("%s: there is no option `%s`; did you mean `--%s`?", command->name, word, nearest);
	return EXIT_USAGE;
}

static int store_option(struct command_line *line, size_t row, const char *value)
{
	const struct option_row *option = &line->command->options[row];

	if (line->counts[row] && !option->repeated)
		return usage_error(line->command, "given twice:", option->word ? option->word : value);
	if (line->counts[row] == OPTION_VALUES_MAX)
		return usage_error(
		    line->command, "given too many times:", option->word ? option->word : value);
	line->values[row][line->counts[row]++] = value;
	return 0;
}

/* Parses "--word", "--word=value" or "--word value". */
static int parse_long_option(struct command_line *line, int count, char **words, int *at)
{
	const struct command *command = line->command;
	char name[64];
	const char *equals = strchr(words[*at], '=');
	size_t row;

	snprintf(name, sizeof(name), "%.*s", (int)(equals ? equals - words[*at] - 2 : 60), words[*at] + 2);
	row = find_option(command, name);
	if (row == command->option_count || !name[0] || !name[1])
		return unknown_option_error(command, words[*at]);
	if (!command->options[row].takes)
		return equals ? usage_error(command, "takes no value:", words[*at])
		              : store_option(line, row, "");
	if (equals)
		return store_option(line, row, equals + 1);
	if (*at + 1 == count)
		return missing_value_error(command, words[*at]);
	return store_option(line, row, words[++*at]);
}

/* Parses "-qv", "-cFILE" or "-c FILE". */
static int parse_short_option(struct command_line *line, int count, char **words, int *at)
{
	const struct command *command = line->command;

	for (const char *c = words[*at] + 1; *c; c++) {
		size_t row = find_option(command, (char[]){*c, '\0'});
		int status;

		if (row == command->option_count)
			return unknown_option_error(command, words[*at]);
		if (command->options[row].takes) {
			if (c[1])
				return store_option(line, row, c + 1);
			if (*at + 1 == count)
				return missing_value_error(command, words[*at]);
			return store_option(line, row, words[++*at]);
		}
		if ((status = store_option(line, row, "")))
			return status;
	}
	return 0;
}

/* Reports an argument that lacks its option, or a setting that the shell has split. */
static int misplaced_argument_error(const struct command *command, const char *word)
{
	static const char *const captures[] = {".pcap", ".pcapng", ".cap", ".gz", ".zst"};
	bool is_capture = false;

	for (size_t i = 0; i < sizeof(captures) / sizeof(*captures); i++)
		is_capture |= text_ends_with(word, captures[i]);
	if (strchr(word, ']') || strcmp(word, "=") == 0)
		log_error("%s: unexpected argument `%s`: quote the whole setting, --set \"[link default] "
		          "loss = 5%%\"",
		    command->name, word);
	else if (is_capture && find_option(command, "read") < command->option_count)
		log_error("%s: unexpected argument `%s`: pass the capture with -r, `-r %s`", command->name,
		    word, word);
	else
		log_error("%s: unexpected argument `%s`: pass the ini file with -c, `-c %s`", command->name,
		    word, word);
	return EXIT_USAGE;
}

int command_parse(const struct command *command, int count, char **words, struct command_line *line)
{
	int rest = 0, status = 0;

	*line = (struct command_line){.command = command};
	for (int at = 0; at < count && !status; at++) {
		if (strcmp(words[at], "--") == 0) {
			while (++at < count)
				words[rest++] = words[at];
		} else if (strncmp(words[at], "--", 2) == 0) {
			status = parse_long_option(line, count, words, &at);
		} else if (words[at][0] == '-' && words[at][1]) {
			status = parse_short_option(line, count, words, &at);
		} else {
			words[rest++] = words[at];
		}
	}
	if (status)
		return status;
	line->words = (const char *const *)words;
	line->word_count = (size_t)rest;
	if (line->word_count > command->words_max && find_option(command, "config") < command->option_count) {
		return misplaced_argument_error(command, words[command->words_max]);
	}
	if (line->word_count > command->words_max)
		return usage_error(command, "unexpected argument", words[command->words_max]);
	if (line->word_count < command->words_min)
		return usage_error(command, "lacks", command->words);
	add_settings(line);
	return 0;
}

bool command_same_file(const char *a, const char *b)
{
	struct stat st_a, st_b;

	return stat(a, &st_a) == 0 && stat(b, &st_b) == 0 && st_a.st_dev == st_b.st_dev &&
	       st_a.st_ino == st_b.st_ino;
}

int command_check_inputs(const struct command_line *line, const char *const *inputs, size_t input_count,
    const struct command_output *outputs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; outputs[i].path && k < input_count; k++)
			if (command_same_file(outputs[i].path, inputs[k])) {
				log_error("%s: `%s` is read and cannot be written too; give %s another name",
				    line->command->name, outputs[i].path, outputs[i].option);
				return EXIT_USAGE;
			}
	return EXIT_DONE;
}

/* Returns whether writing to `path` creates or replaces a file. Anything else (/dev/null, a terminal) may
 * take several outputs. */
static bool is_regular_file_name(const char *path)
{
	struct stat st;

	return path && strcmp(path, "-") != 0 && (stat(path, &st) || S_ISREG(st.st_mode));
}

int command_check_outputs(const char *command, const struct command_output *outputs, size_t count,
    const struct live *live, const struct setup *setup)
{
	for (size_t i = 0; i < count; i++) {
		const char *path = outputs[i].path;

		if (!is_regular_file_name(path))
			continue;
		if (live_reads(live, setup, path)) {
			log_error("%s: `%s` is read and cannot be written too; give %s another name", command,
			    path, outputs[i].option);
			return EXIT_USAGE;
		}
		for (size_t k = 0; k < i; k++)
			if (is_regular_file_name(outputs[k].path) &&
			    (strcmp(outputs[k].path, path) == 0 ||
			        command_same_file(outputs[k].path, path))) {
				log_error("%s: %s and %s cannot both write `%s`", command, outputs[k].option,
				    outputs[i].option, path);
				return EXIT_USAGE;
			}
	}
	return EXIT_DONE;
}

void command_enter_sandbox(
    const struct command_line *line, struct sandbox *sandbox, const char *const *inputs, size_t count)
{
	if (command_given(line, "no-sandbox"))
		return sandbox_free(sandbox);
	inputs_reserve(inputs, count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(inputs[i], "-") != 0)
			sandbox_read(sandbox, inputs[i]);
	sandbox_read_system(sandbox);
	sandbox_enter(sandbox, SANDBOX_FILES);
}

static void print_usage(const struct command *command, FILE *out)
{
	fprintf(out, "deadzone %s%s%s%s", command->name, command->option_count ? " [OPTIONS]" : "",
	    *command->words ? " " : "", command->words);
}

void command_print_help(const struct command *command, FILE *out)
{
	fputs("usage: ", out);
	print_usage(command, out);
	fprintf(out, "\n\n%s\n", command->what);
	for (size_t i = 0; i < command->option_count; i++) {
		const struct option_row *row = &command->options[i];
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s%s%s%s%s", row->letter ? "-" : "  ",
		    row->letter ? row->letter : ' ', row->letter && row->word ? ", " : "",
		    row->word ? "--" : "", row->word ? row->word : "", row->takes ? " " : "",
		    row->takes ? row->takes : "");
		fprintf(out, "%s  %-24s %s\n", i ? "" : "\n", left, row->what);
	}
	if (*command->more)
		fprintf(out, "\n%s\n", command->more);
}

void command_print_all(FILE *out)
{
	fputs("deadzone: a network impairment proxy for over-the-air update testing\n\n"
	      "It stands between devices and their cloud, relays their DTLS datagrams, makes the network\n"
	      "between them as bad as an ini file says, and writes what it saw and did to a capture that\n"
	      "Wireshark opens.\n\n",
	    out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "  deadzone %-12s %s\n", command_table[i]->name, command_table[i]->what);
	fputs("\n  deadzone --version | --help | help COMMAND | help ini | help api\n\n"
	      "Exit status: 0 done; 1 it failed while running; 2 the command line or an ini file is wrong;\n"
	      "3 a check that was asked for (expect, expect_sessions, max_lateness, strict) did not hold.\n",
	    out);
}
