/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manpage: fills a man page's frame (mdoc) with what the tables of commands, ini keys and actions say.
 *
 *   manpage FRAME.in > PAGE
 *
 * A line `@commands`, `@options NAME`, `@keys SECTION`, `@actions` `or `@kinds` in the frame is replaced.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proxy/cli/command.h"
#include "proxy/run/setup.h"

#define LINE_MAX_SIZE 78

/* A word of text for roff: backslashes, and a dot or quote at the start of a line, must not mean anything. */
static size_t put_word(const char *word, size_t size, bool at_start)
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

/* Fills lines; a new sentence starts a new one, as mdoc wants it. */
static void put_text(const char *text)
{
	size_t column = 0;
	bool sentence = false;

	while (*(text += strspn(text, " "))) {
		size_t size = strcspn(text, " ");

		if (column && (sentence || column + 1 + size > LINE_MAX_SIZE)) {
			putchar('\n');
			column = 0;
		}
		if (column)
			putchar(' ');
		column += put_word(text, size, column == 0) + 1;
		sentence = text[size - 1] == '.';
		text += size;
	}
}

static void put_line(const char *text)
{
	put_text(text);
	putchar('\n');
}

/* A word as a macro's argument: in quotes, with quotes inside doubled. */
static void put_argument(const char *text)
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
			put_argument(command_table[i]->words);
		}
		putchar('\n');
		put_line(command_table[i]->what);
	}
	puts(".El");
}

/* Lines that follow one another are one paragraph; an empty one ends it. */
static void put_paragraphs(const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t size = end ? (size_t)(end - text) : strlen(text);
		char paragraph[2048];

		assert(size < sizeof(paragraph));
		snprintf(paragraph, sizeof(paragraph), "%.*s", (int)size, text);
		for (char *at = paragraph; (at = strchr(at, '\n'));)
			*at = ' ';
		puts(".Pp");
		put_line(paragraph);
		text += size + (end ? 2 : 0);
	}
}

static void put_options(const char *name)
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
			put_argument(row->takes);
		}
		putchar('\n');
		put_line(row->what);
	}
	puts(".El");
	if (*command->more)
		put_paragraphs(command->more);
}

static void put_keys(const char *section)
{
	const struct section_kind *kind = keys_kind(setup_kinds, setup_kind_count, section);

	assert(kind);
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < kind->key_count; i++) {
		const struct key *key = &kind->keys[i];

		printf(".It Cm %s%s = Ar ", key->name, key->flags & KEY_LIST ? " No +" : "");
		put_argument(key->takes);
		putchar('\n');
		put_text(key->what);
		puts(".");
		if (key->preset)
			printf("Default: %s.\n", key->preset);
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
			put_argument(action_table[i].takes);
		}
		putchar('\n');
		put_text(action_table[i].what);
		puts(".");
	}
	puts(".El");
}

static void put_kinds(void)
{
	for (int i = 0; i < DTLS_KIND_COUNT; i++)
		printf(".Cm %s ,\n", dtls_kinds[i]);
	puts(".Cm type:N .");
}

int main(int count, char **words)
{
	char line[1024], what[32], about[32];
	FILE *in = count == 2 ? fopen(words[1], "r") : NULL;

	if (!in) {
		fprintf(stderr, "usage: manpage FRAME.in\n");
		return 2;
	}
	while (fgets(line, sizeof(line), in)) {
		int words_there = line[0] == '@' ? sscanf(line + 1, "%31s %31s", what, about) : 0;

		if (words_there == 0)
			fputs(line, stdout);
		else if (strcmp(what, "commands") == 0)
			put_commands();
		else if (strcmp(what, "options") == 0)
			put_options(about);
		else if (strcmp(what, "keys") == 0)
			put_keys(about);
		else if (strcmp(what, "actions") == 0)
			put_actions();
		else if (strcmp(what, "kinds") == 0)
			put_kinds();
		else
			fprintf(stderr, "%s: `@%s` is not known\n", words[1], what), count = 0;
	}
	fclose(in);
	return fflush(stdout) || !count;
}
