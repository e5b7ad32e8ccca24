/* SPDX-License-Identifier: BSD-2-Clause */
/* setup: reads a configuration, fills its structs (setup_keys.c, rules/config.c), checks it (setup_check.c).
 */
#include "proxy/run/setup_inside.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

#ifndef PROFILE_DIR
#define PROFILE_DIR "/usr/local/share/deadzone/profiles"
#endif

static const char *find_profile_dir(void)
{
	static const char *const beside[] = {
	    "/../rules/profiles", "/../../rules/profiles", "/../share/deadzone/profiles"};
	static char found[PATH_MAX];
	char path[PATH_MAX + 32];
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	if (size <= 0)
		return PROFILE_DIR;
	path[size] = '\0';
	slash = strrchr(path, '/');
	for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++) {
		strcpy(slash, beside[i]);
		if (realpath(path, found))
			return found;
	}
	return PROFILE_DIR;
}

/* Each live change asks. The first call is made before there are threads. */
const char *setup_profile_dir(void)
{
	static const char *folder;

	if (!folder)
		folder = find_profile_dir();
	return folder;
}

struct setup *setup_new(
    const struct setup_source *source, enum setup_use use, struct names *names, struct complaints *complaints)
{
	struct setup *setup = memory_new(1, sizeof(*setup));
	struct reading reading = {.names = names};

	setup->ini = ini_read_sources(
	    &source->ini, setup_kinds, setup_kind_count, setup_profile_dir(), complaints);
	setup->arena = arena_new();
	reading.arena = setup->arena;
	reading.ini = setup->ini;
	setup_fill(setup, &reading, complaints);
	setup_check_sections(setup, complaints);
	setup->config = config_new(setup->ini, names, complaints);
	setup_check(setup, source, use, names, complaints);
	return setup;
}

void setup_free(struct setup *setup)
{
	if (!setup)
		return;
	config_free(setup->config);
	arena_free(setup->arena);
	ini_free(setup->ini);
	free(setup);
}
