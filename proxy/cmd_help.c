/* help: what the tables of commands, keys and actions say. */
#include <string.h>

#include "proxy/command.h"
#include "proxy/log.h"
#include "proxy/routes.h"
#include "proxy/setup.h"
#include "proxy/summary.h"

static void print_key(const struct key *key)
{
	char left[96];

	snprintf(left, sizeof(left), "%s%s = %s", key->name, key->flags & KEY_LIST ? " +" : "", key->takes);
	printf("  %-44s %s", left, key->what);
	if (key->preset || key->preset_words)
		printf(" (%s)", key->preset ? key->preset : key->preset_words);
	if (key->flags & KEY_UNSUPPORTED)
		printf(" (not supported yet)");
	putchar('\n');
}

static void print_section(const struct section_kind *kind)
{
	printf("[%s%s]  %s\n", kind->name, kind->named ? " NAME" : "", kind->what);
	for (size_t i = 0; i < kind->key_count; i++)
		print_key(&kind->keys[i]);
	putchar('\n');
}

static void print_actions(void)
{
	puts("do = ACTION");
	for (int i = 0; i < ACT_COUNT; i++) {
		char left[96];

		snprintf(left, sizeof(left), "%s %s", action_table[i].word, action_table[i].takes);
		printf("  %-44s %s%s\n", left, action_table[i].what,
		    action_table[i].unsupported ? " (not supported yet)" : "");
	}
	printf("\nkinds of record for `dtls`, `dtls_not` and `replay`:");
	for (int i = 0; i < DTLS_KIND_COUNT; i++)
		printf("%s%s", i % 8 ? ", " : i ? ",\n  " : "\n  ", dtls_kinds[i]);
	puts(", type:N");
}

static void print_ini(void)
{
	puts("An ini file has sections of keys: `key = value`. Lists take commas; a key marked + may also be "
	     "given\n"
	     "several times. Comments: `;` or `#` at the start of a line, ` ;` after a value.\n"
	     "time 250us 20ms 1.5s 2m 1h; share 2%; size 1200B 64KiB 10MiB; rate 18kbit 1.5Mbit; count 50p;\n"
	     "range N, A-B, A-, -B. Behind each key: what it takes, its meaning, and (its default).\n");
	for (size_t i = 0; i < setup_kind_count; i++)
		print_section(setup_kinds[i]);
	print_actions();
}

static void print_fields(const struct route_field *fields, const char *where)
{
	for (size_t i = 0; i < ROUTE_FIELDS_MAX && fields[i].name; i++)
		printf("      %s %s: %s%s\n", where, fields[i].name, fields[i].what,
		    fields[i].required ? " (required)" : "");
}

static void print_api(void)
{
	puts("Where an ini file has `[control] listen = 127.0.0.1:8474`, a run answers HTTP there. Bodies "
	     "are JSON\n"
	     "(Content-Type: application/json). Errors are {\"error\": \"…\"} in the words of the ini "
	     "reader.\n");
	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &route_table[i];

		printf("  %-5s %s\n      %s\n", route->method, route->path, route->what);
		print_fields(route->body, "body");
		print_fields(route->query, "query");
	}
	puts("\n`deadzone tell` says the same from a shell.");
}

static int run(const struct command_line *line)
{
	const char *about = line->word_count ? line->words[0] : NULL;

	if (!about) {
		command_print_all(stdout);
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (strcmp(about, "ini") == 0) {
		print_ini();
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (strcmp(about, "api") == 0) {
		print_api();
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(command_table[i]->name, about) != 0)
			continue;
		command_print_help(command_table[i], stdout);
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	log_error("help: there is no command `%s`; `deadzone --help` lists them, `deadzone help ini` the ini "
	          "keys, `help api` the API",
	    about);
	return EXIT_USAGE;
}

const struct command command_help_row = {
    .name = "help",
    .words = "[COMMAND, ini or api]",
    .words_most = 1,
    .run = run,
    .what = "say more of a command, of the ini keys, or of the API",
    .more = "",
};
