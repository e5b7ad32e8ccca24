/* profiles: the shipped ini files of real networks, with what their first line says of each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/command.h"
#include "proxy/log.h"
#include "proxy/setup.h"
#include "proxy/summary.h"

/* A profile's first line is a comment that says what it is. */
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

static int run(const struct command_line *line)
{
	const char *folder = setup_profile_dir();
	size_t count;
	char **names = ini_profile_names(folder, &count);

	(void)line;
	if (!names) {
		log_error("profiles: `%s` cannot be read: %s", folder, strerror(errno));
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < count; i++) {
		print_profile(folder, names[i]);
		free(names[i]);
	}
	free(names);
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
