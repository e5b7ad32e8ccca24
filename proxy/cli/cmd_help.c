/* SPDX-License-Identifier: BSD-2-Clause */
/* help: prints the tables of commands, keys, actions and API routes. */
#include <string.h>

#include "base/text.h"
#include "campaign/settings.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/control/routes.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"

#define COLUMNS 80

/* Returns the number of characters of UTF-8 text: of all bytes but continuation bytes. */
static size_t count_columns(const char *text, size_t size)
{
	size_t columns = 0;

	for (size_t i = 0; i < size; i++)
		columns += (text[i] & 0xc0) != 0x80;
	return columns;
}

/* Prints text, indented and wrapped at COLUMNS. A word that is too wide gets a line of its own. */
static void print_wrapped(size_t indent, const char *text)
{
	size_t column = indent;

	printf("%*s", (int)indent, "");
	while (*text) {
		size_t size = strcspn(text, " "), width = count_columns(text, size);

		if (column > indent && column + 1 + width > COLUMNS) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		}
		printf("%s%.*s", column > indent ? " " : "", (int)size, text);
		column += width + (column > indent);
		text += size + strspn(text + size, " ");
	}
	putchar('\n');
}

static void print_key(const struct key *key)
{
	struct text what = {0};

	printf("  %s%s = %s\n", key->name, key->flags & (KEY_LIST | KEY_REPEATED) ? " +" : "", key->takes);
	text_add_word(&what, key->what);
	if (key->preset || key->preset_words)
		text_add(&what, " (%s)", key->preset ? key->preset : key->preset_words);
	print_wrapped(6, what.at);
	text_free(&what);
}

static void print_section(const struct section_kind *kind)
{
	printf("[%s%s]\n", kind->name, kind->named ? " NAME" : "");
	print_wrapped(2, kind->what);
	for (size_t i = 0; i < kind->key_count; i++)
		print_key(&kind->keys[i]);
	putchar('\n');
}

static void print_kinds(void)
{
	struct text kinds = {0};

	for (int i = 0; i < DTLS_KIND_COUNT; i++)
		text_add(&kinds, "%s, ", dtls_kinds[i]);
	text_add(&kinds, "type:N");
	puts("\nkinds of record for `dtls`, `dtls_not` and `replay`:");
	print_wrapped(2, kinds.at);
	text_free(&kinds);
}

static void print_actions(void)
{
	puts("do = ACTION");
	for (int i = 0; i < ACT_COUNT; i++) {
		printf("  %s %s\n", action_table[i].word, action_table[i].takes);
		print_wrapped(6, action_table[i].what);
	}
	print_kinds();
}

static void print_ini(void)
{
	print_wrapped(0,
	    "An ini file has sections of keys: `key = value`. List items are separated by commas; a key "
	    "marked + may also be given several times. Comments: `;` or `#` at the start of a line, ` ;` "
	    "after a value. Below each key: its meaning, and (its default). Units are case-sensitive.");
	puts("\n  time 250us 20ms 1.5s 2m 1h; share 2%; size 1200B 64KiB 10MiB; count 50p;\n"
	     "  rate 18kbit 1.5Mbit; range N, A-B, A-, -B\n");
	for (size_t i = 0; i < setup_kind_count; i++)
		print_section(setup_kinds[i]);
	print_actions();
}

static void print_campaign_ini(void)
{
	print_wrapped(0,
	    "A campaign's file is an ini file of its own, for `deadzone campaign -c FILE`. Paths in it are "
	    "relative to it. A key marked + may be given several times. Below each key: its meaning, and "
	    "(its default).");
	putchar('\n');
	for (size_t i = 0; i < settings_kind_count; i++)
		print_section(settings_kinds[i]);
}

static void print_fields(const struct route_field *fields, const char *where)
{
	for (size_t i = 0; i < ROUTE_FIELDS_MAX && fields[i].name; i++) {
		struct text text = {0};

		text_add(&text, "%s %s: %s%s", where, fields[i].name, fields[i].what,
		    fields[i].required ? " (required)" : "");
		print_wrapped(6, text.at);
		text_free(&text);
	}
}

static void print_api(void)
{
	print_wrapped(0,
	    "If the ini file has `[control] listen = 127.0.0.1:8474`, a run answers HTTP there. Bodies are "
	    "JSON (Content-Type: application/json). Errors are {\"error\": \"…\"} with the messages of "
	    "the ini reader.");
	putchar('\n');
	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &route_table[i];

		printf("  %-5s %s\n", route->method, route->path);
		print_wrapped(6, route->what);
		print_fields(route->body, "body");
		print_fields(route->query, "query");
	}
	puts("\n`deadzone tell` does the same from a shell.");
}

static int run(const struct command_line *line)
{
	const char *topic = line->word_count ? line->words[0] : NULL;

	if (!topic) {
		command_print_all(stdout);
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (strcmp(topic, "ini") == 0) {
		print_ini();
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (strcmp(topic, "campaign.ini") == 0) {
		print_campaign_ini();
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (strcmp(topic, "api") == 0) {
		print_api();
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(command_table[i]->name, topic) != 0)
			continue;
		command_print_help(command_table[i], stdout);
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	log_error("help: there is no command `%s`; `deadzone --help` lists the commands, "
	          "`deadzone help ini` the ini keys, `deadzone help campaign.ini` those of campaigns, "
	          "`deadzone help api` the API",
	    topic);
	return EXIT_USAGE;
}

const struct command command_help_row = {
    .name = "help",
    .words = "[COMMAND, ini, campaign.ini or api]",
    .words_max = 1,
    .run = run,
    .what = "show help for a command, the ini keys, the keys of campaigns, or the API",
    .more = "",
};
