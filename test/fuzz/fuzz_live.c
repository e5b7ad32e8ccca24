/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_live: applies lines that change a run to a core with a session whose datagrams wait.
 *
 * An input is the line. Any line is either carried out or refused with a message, and the accounts balance
 * after it. A refused line changes nothing, so that the next one finds the configuration as it was read.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/run/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char ini[] =
    "[device d]\nidentity = bench\n[link default]\nlatency = 5ms\n[link other]\nloss = 10%\n"
    "[rule a]\ndo = blackout 1s-2s hold\ndo = link other\n[rule b]\nsize = 3\ndo = drop\n";
static const struct entrance entrance = {
    .listener = {.family = FAMILY_IPV4, .port = 5684, .ip = {127, 0, 0, 1}}};
static const struct address device = {.family = FAMILY_IPV4, .port = 40000, .ip = {127, 0, 0, 1}};

static char path[] = "/tmp/fuzz-live-XXXXXX";

static void ini_remove(void)
{
	unlink(path);
}

static void ini_make(void)
{
	static bool is_made;
	int fd;

	if (is_made)
		return;
	is_made = true;
	fd = mkstemp(path);
	assert(fd >= 0 && write(fd, ini, sizeof(ini) - 1) == sizeof(ini) - 1);
	close(fd);
	atexit(ini_remove);
}

/* ---- The configuration ---- */

#define LINES_MAX 1000 /* for one configuration: names that lines add stay until it is freed */

struct scene {
	struct complaints *complaints;
	struct names *names;
	struct live *live;
	struct setup *setup; /* NULL: nothing has been read */
	unsigned lines;
};

static void scene_load(struct scene *scene)
{
	static const struct setup_source source = {.ini.file = path};

	ini_make();
	scene->complaints = complaints_new();
	scene->names = names_new();
	scene->live = live_new(&source, SETUP_SIMULATE, scene->names);
	scene->setup = live_start(scene->live, scene->complaints);
	scene->lines = 0;
	assert(scene->setup);
}

static void scene_free(struct scene *scene)
{
	setup_free(scene->setup);
	live_free(scene->live);
	names_free(scene->names);
	complaints_free(scene->complaints);
	scene->setup = NULL;
}

/* ---- The run ---- */

static void take(struct core *core)
{
	struct outcome o;

	while (core_next(core, &o)) {
		if (o.kind == OUTCOME_SEND)
			core_sent(core, o.datagram, o.at);
		else if (o.kind == OUTCOME_UNSENT)
			core_release(core, o.datagram);
		else if (o.kind == OUTCOME_ENDED)
			core_session_release(core, o.session);
	}
}

static void arrive(struct core *core, ns_t at)
{
	struct arrival first = {.at = at};
	enum admission admission;
	struct session *session = core_session(core, 0, &entrance, &device, &first, &admission);
	struct verdict verdict;

	for (enum way way = WAY_UP; way <= WAY_DOWN; way++) {
		struct arrival arrival = {.way = way, .bytes = (const uint8_t *)"hello", .size = 5, .at = at};

		core_arrive(core, session, &arrival, &verdict);
	}
	core_advance(core, at);
	take(core);
}

static void check_accounts(const struct core *core)
{
	for (const struct session *s = core_oldest(core); s; s = s->newer)
		for (int way = 0; way < WAYS; way++) {
			const struct account a = way_account(&s->ways[way]);

			assert(a.received + a.copies == a.sent + account_dropped(&a) + a.queued);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct scene scene;
	struct core_limits limits = {
	    .seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 10, .max_queued = 1 << 20};
	char *line = strndup((const char *)data, size);
	struct live_result result;
	struct core *core;
	struct core_group cores = {.all = &core, .count = 1};

	assert(line);
	if (!scene.setup)
		scene_load(&scene);
	core = core_new(scene.setup->config, scene.names, &limits, 0);
	arrive(core, NS_MS);
	result = live_apply(scene.live, &cores, scene.setup, line, 2 * NS_MS);
	assert((result.status == LIVE_DONE) == !result.error.size);
	assert(!result.setup || result.status == LIVE_DONE);
	assert(result.setup || live_changes(scene.live) == 0);
	if (result.setup) {
		core_reload(core, result.setup->config, &limits, &entrance, 2 * NS_MS);
		setup_free(scene.setup);
		scene.setup = result.setup;
	}
	arrive(core, 3 * NS_MS);
	check_accounts(core);
	core_advance(core, NS_S);
	take(core);
	check_accounts(core);
	core_free(core);
	text_free(&result.error);
	if (result.setup || ++scene.lines == LINES_MAX)
		scene_free(&scene);
	free(line);
	return 0;
}
