/* profiles: the shipped ini files of real networks, with what their first line says of each. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/command.h"
#include "proxy/log.h"
#include "proxy/setup.h"
#include "proxy/summary.h"

static int is_ini(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && dot != entry->d_name && strcmp(dot, ".ini") == 0;
}

/* By name without the extension: "lte" before "lte-m". */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	size_t x = strlen((*a)->d_name) - 4, y = strlen((*b)->d_name) - 4;
	int order = strncmp((*a)->d_name, (*b)->d_name, x < y ? x : y);

	return order ? order : (x > y) - (x < y);
}

/* A profile's first line is a comment that says what it is. */
static void print_profile(const char *dir, const char *file)
{
	char path[4096], line[256] = "";
	const char *what = line;
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	in = fopen(path, "re");
	if (in) {
		if (!fgets(line, sizeof(line), in))
			line[0] = '\0';
		fclose(in);
	}
	line[strcspn(line, "\r\n")] = '\0';
	what += strspn(what, "; #");
	printf("%-22.*s %s\n", (int)(strrchr(file, '.') - file), file, what);
}

static int run(const struct command_line *line)
{
	const char *dir = setup_profile_dir();
	struct dirent **entries;
	int count = scandir(dir, &entries, is_ini, by_name);

	(void)line;
	if (count < 0) {
		log_error("profiles: `%s` cannot be read: %s", dir, strerror(errno));
		return EXIT_FAILED;
	}
	for (int i = 0; i < count; i++) {
		print_profile(dir, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

const struct command command_profiles_row = {
    .name = "profiles",
    .words = "",
    .run = run,
    .what = "list the shipped profiles of real networks",
    .more = "A profile is used with `include = profile:NAME` in [proxy]. Most define [link default]; those "
            "of NATs a\n"
            "[device] for all, handover a [rule].",
};
