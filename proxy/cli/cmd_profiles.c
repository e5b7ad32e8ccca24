/* SPDX-License-Identifier: BSD-2-Clause */
/* profiles: lists the shipped ini files of real networks, or prints one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"

/* Prints the name of a profile and its first line, a comment that describes it. */
static void print_profile(const char *folder, const char *name)
{
	char path[4096], line[256] = "";
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s.ini", folder, name);
	in = fopen(path, "re");
	if (in) {
		if (!fgets(line, sizeof(line), in))
			line[0] = '\0';
		fclose(in);
	}
	line[strcspn(line, "\r\n")] = '\0';
	printf("%-15s %s\n", name, line + strspn(line, "; #"));
}

/* Prints the whole file. Its comments describe the profile and give the source of each figure. */
static int print_file(const char *folder, const char *name)
{
	char path[4096], buffer[4096];
	size_t size;
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s.ini", folder, name);
	in = fopen(path, "re");
	if (!in) {
		log_error("profiles: `%s` cannot be read: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	while ((size = fread(buffer, 1, sizeof(buffer), in)))
		fwrite(buffer, 1, size, stdout);
	fclose(in);
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int print_all(const char *folder, char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		print_profile(folder, names[i]);
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static bool is_listed(const char *name, char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static int run(const struct command_line *line)
{
	const char *folder = setup_profile_dir(), *name = line->word_count ? line->words[0] : NULL, *nearest;
	size_t count;
	char **names = ini_profile_names(folder, &count);
	int status = EXIT_USAGE;

	if (!names) {
		log_error("profiles: `%s` cannot be read: %s", folder, strerror(errno));
		return EXIT_FAILED;
	}
	nearest = name ? text_nearest(name, (const char *const *)names, count) : NULL;
	if (!name)
		status = print_all(folder, names, count);
	else if (is_listed(name, names, count))
		status = print_file(folder, name);
	else if (nearest)
		log_error("profiles: there is no `%s`; did you mean `%s`?", name, nearest);
	else
		log_error("profiles: there is no `%s`; `deadzone profiles` lists them", name);
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return status;
}

const struct command command_profiles_row = {
    .name = "profiles",
    .words = "[NAME]",
    .words_max = 1,
    .run = run,
    .what = "list the shipped profiles of real networks, or show one with its sources",
    .more = "`include = profile:NAME` in [proxy] applies one to all: as [link default], or as a [device] or\n"
            "[rule]. `profile:NAME` also works wherever a link or device is named: `link = profile:lte`,\n"
            "`like = profile:gprs-rural` in [link], `like = profile:nat-60s` in [device],\n"
            "`do = link profile:lte`.",
};
