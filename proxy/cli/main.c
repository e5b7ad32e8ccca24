/* SPDX-License-Identifier: BSD-2-Clause */
/* main: runs `deadzone COMMAND …`, and sets up what every command needs. */
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"

static int unknown_command(const char *word)
{
	const char *names[16] = {0}, *nearest;

	for (size_t i = 0; i < command_count; i++)
		names[i] = command_table[i]->name;
	nearest = text_nearest(word, names, command_count);
	if (nearest)
		log_error("there is no command `%s`; did you mean `%s`?", word, nearest);
	else
		log_error("there is no command `%s`; `deadzone --help` lists them", word);
	return EXIT_USAGE;
}

/* A file or socket that is opened later must not get the number of a standard stream that is closed. */
static void open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int count, char **words)
{
	const char *word = count > 1 ? words[1] : "";
	struct command_line line;
	int status;

	/* memory_malloc never returns NULL, so that no JSON text lacks a part. */
	json_set_alloc_funcs(memory_malloc, free);
	signal(SIGPIPE, SIG_IGN);
	open_standard_streams();
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is then a write error, like a full disk */
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		printf("deadzone %s\n", DEADZONE_VERSION);
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		command_print_all(stdout);
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (!*word) {
		command_print_all(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(command_table[i]->name, word) != 0)
			continue;
		if (count > 2 && (strcmp(words[2], "--help") == 0 || strcmp(words[2], "-h") == 0)) {
			command_print_help(command_table[i], stdout);
			return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
		}
		status = command_parse(command_table[i], count - 2, words + 2, &line);
		if (!status)
			status = command_table[i]->run(&line);
		command_line_free(&line);
		return status;
	}
	return unknown_command(word);
}
