/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fill: generates a manual page (mdoc) or the bash completion from a frame and the tables of commands, ini
 * keys and actions.
 *
 *   fill FRAME.in > PAGE
 *
 * Lines `@commands`, `@options COMMAND`, `@keys SECTION`, `@actions`, `@kinds` and, for bash, `@words` of the
 * frame are replaced by the table that they name; all other lines are copied.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proxy/cli/command.h"
#include "campaign/settings.h"
#include "proxy/run/setup.h"

#define LINE_MAX_SIZE 78

/* Prints a word with what is special to roff escaped: backslashes, and a dot or quote at the start of a line.
 * Returns its width in bytes. */
static size_t put_escaped(const char *word, size_t size, bool at_start)
{
	size_t width = size;

	if (at_start && (*word == '.' || *word == '\''))
		fputs("\\&", stdout);
	for (size_t i = 0; i < size; i++) {
		if (word[i] == '\\') {
			fputs("\\e", stdout);
		} else if (strncmp(word + i, "…", 3) == 0) {
			fputs("\\&...", stdout);
			i += 2;
		} else {
			putchar(word[i]);
		}
	}
	return width;
}

/* Prints text in filled lines. A new sentence starts a new line, as is the rule in mdoc. */
static void put_text(const char *text)
{
	size_t column = 0;
	bool sentence_ended = false;

	while (*(text += strspn(text, " "))) {
		size_t size = strcspn(text, " ");

		if (column && (sentence_ended || column + 1 + size > LINE_MAX_SIZE)) {
			putchar('\n');
			column = 0;
		}
		if (column)
			putchar(' ');
		column += put_escaped(text, size, column == 0) + 1;
		sentence_ended = text[size - 1] == '.';
		text += size;
	}
}

static void put_line(const char *text)
{
	put_text(text);
	putchar('\n');
}

/* Prints the argument of a macro in quotes, with inner quotes doubled. */
static void put_quoted(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"')
			putchar('"');
		putchar(*text);
	}
	putchar('"');
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(command_table[i]->name, name) == 0)
			return command_table[i];
	return NULL;
}

static void put_commands(void)
{
	puts(".Bl -tag -width simulate");
	for (size_t i = 0; i < command_count; i++) {
		printf(".It Cm %s", command_table[i]->name);
		if (*command_table[i]->words) {
			fputs(" Ar ", stdout);
			put_quoted(command_table[i]->words);
		}
		putchar('\n');
		put_line(command_table[i]->what);
	}
	puts(".El");
}

/* Prints lines that begin with blanks as they are, and joins the others. */
static void put_paragraph(const char *text, size_t size)
{
	bool is_literal = false;

	puts(".Pp");
	for (const char *end = text + size; text < end;) {
		size_t length = strcspn(text, "\n");
		bool is_indented = *text == ' ';
		char line[512];

		if (length > (size_t)(end - text))
			length = (size_t)(end - text);
		assert(length < sizeof(line));
		snprintf(line, sizeof(line), "%.*s", (int)length, text);
		if (is_indented != is_literal)
			puts(is_indented ? ".Bd -literal -offset indent" : ".Ed");
		is_literal = is_indented;
		if (is_literal)
			puts(line + (line[1] == ' ' ? 2 : 1));
		else
			put_line(line);
		text += length + 1;
	}
	if (is_literal)
		puts(".Ed");
}

/* Prints paragraphs, which are separated by empty lines. */
static void put_paragraphs(const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t size = end ? (size_t)(end - text) : strlen(text);

		put_paragraph(text, size);
		text += size + (end ? 2 : 0);
	}
}

static void put_command_options(const char *name)
{
	const struct command *command = find_command(name);

	assert(command);
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < command->option_count; i++) {
		const struct option_row *row = &command->options[i];

		if (row->letter && row->word)
			printf(".It Fl %c , Fl -%s", row->letter, row->word);
		else
			printf(".It Fl -%s", row->word);
		if (row->takes) {
			fputs(" Ar ", stdout);
			put_quoted(row->takes);
		}
		putchar('\n');
		put_line(row->what);
	}
	puts(".El");
	if (*command->more)
		put_paragraphs(command->more);
}

static void put_section_keys(const char *section)
{
	static const char required[] = "required";
	const struct section_kind *kind = keys_kind(setup_kinds, setup_kind_count, section);

	if (!kind)
		kind = keys_kind(settings_kinds, settings_kind_count, section);
	assert(kind);
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < kind->key_count; i++) {
		const struct key *key = &kind->keys[i];

		printf(".It Cm %s%s = Ar ", key->name, key->flags & (KEY_LIST | KEY_REPEATED) ? " No +" : "");
		put_quoted(key->takes);
		putchar('\n');
		put_text(key->what);
		puts(".");
		if (key->preset)
			printf("Default: %s.\n", key->preset);
		else if (key->preset_words && strncmp(key->preset_words, required, strlen(required)) == 0)
			printf("R%s.\n", key->preset_words + 1);
		else if (key->preset_words)
			printf("Default: %s.\n", key->preset_words);
	}
	puts(".El");
}

static void put_actions(void)
{
	puts(".Bl -tag -width Ds");
	for (int i = 0; i < ACT_COUNT; i++) {
		printf(".It Cm %s", action_table[i].word);
		if (*action_table[i].takes) {
			fputs(" Ar ", stdout);
			put_quoted(action_table[i].takes);
		}
		putchar('\n');
		put_text(action_table[i].what);
		puts(".");
	}
	puts(".El");
}

static void put_record_kinds(void)
{
	for (int i = 0; i < DTLS_KIND_COUNT; i++)
		printf(".Cm %s ,\n", dtls_kinds[i]);
	puts(".Cm type:N .");
}

/* ---- For bash ---- */

enum option_group { OPTIONS_ALL, OPTIONS_WITH_VALUE, OPTIONS_WITH_FILE };

static bool is_in_group(const struct option_row *row, enum option_group group)
{
	bool takes_file = row->takes && (strstr(row->takes, "FILE") || strstr(row->takes, "CAPTURE"));

	return group == OPTIONS_ALL || (group == OPTIONS_WITH_VALUE ? row->takes != NULL : takes_file);
}

/* Prints an associative array: for each command its options of a group. */
static void put_bash_options(const char *name, enum option_group group)
{
	printf("declare -gA %s=(\n", name);
	for (size_t i = 0; i < command_count; i++) {
		const struct command *command = command_table[i];

		printf("\t[%s]=\"", command->name);
		for (size_t k = 0; k < command->option_count; k++) {
			const struct option_row *row = &command->options[k];

			if (!is_in_group(row, group))
				continue;
			if (row->letter)
				printf("-%c ", row->letter);
			if (row->word)
				printf("--%s ", row->word);
		}
		puts("\"");
	}
	puts(")");
}

static void put_bash_keys(void)
{
	puts("declare -gA _deadzone_keys=(");
	for (size_t i = 0; i < setup_kind_count; i++) {
		printf("\t[%s]=\"", setup_kinds[i]->name);
		for (size_t k = 0; k < setup_kinds[i]->key_count; k++) {
			const struct key *key = &setup_kinds[i]->keys[k];

			printf(key->flags & KEY_EACH_WAY ? "%s up.%s down.%s " : "%s ", key->name, key->name,
			    key->name);
		}
		puts("\"");
	}
	puts(")");
}

static void put_bash_words(void)
{
	fputs("_deadzone_commands=\"", stdout);
	for (size_t i = 0; i < command_count; i++)
		printf("%s ", command_table[i]->name);
	fputs("\"\n_deadzone_tell=\"", stdout);
	for (size_t i = 0; command_tell_word(i); i++)
		printf("%s ", command_tell_word(i));
	puts("\"");
	put_bash_options("_deadzone_options", OPTIONS_ALL);
	put_bash_options("_deadzone_values", OPTIONS_WITH_VALUE);
	put_bash_options("_deadzone_files", OPTIONS_WITH_FILE);
	put_bash_keys();
}

int main(int count, char **words)
{
	char line[1024], directive[32], argument[32];
	FILE *in = count == 2 ? fopen(words[1], "r") : NULL;

	if (!in) {
		fprintf(stderr, "usage: fill FRAME.in\n");
		return 2;
	}
	while (fgets(line, sizeof(line), in)) {
		int word_count = line[0] == '@' ? sscanf(line + 1, "%31s %31s", directive, argument) : 0;

		if (word_count == 0)
			fputs(line, stdout);
		else if (strcmp(directive, "commands") == 0)
			put_commands();
		else if (strcmp(directive, "options") == 0)
			put_command_options(argument);
		else if (strcmp(directive, "keys") == 0)
			put_section_keys(argument);
		else if (strcmp(directive, "actions") == 0)
			put_actions();
		else if (strcmp(directive, "kinds") == 0)
			put_record_kinds();
		else if (strcmp(directive, "words") == 0)
			put_bash_words();
		else
			fprintf(stderr, "%s: unknown line `@%s`\n", words[1], directive), count = 0;
	}
	fclose(in);
	return fflush(stdout) || !count;
}
