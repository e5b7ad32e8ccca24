/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_live: lines that change a run, on a core with a session whose datagrams wait.
 *
 * An input is the line. Whatever it says: it is done, or refused with words; and the accounts balance after
 * it.
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

static const char *ini_path(void)
{
	static char path[] = "/tmp/fuzz-live-XXXXXX";
	static int fd = -1;

	if (fd < 0) {
		fd = mkstemp(path);
		assert(fd >= 0 && write(fd, ini, sizeof(ini) - 1) == sizeof(ini) - 1);
	}
	return path;
}

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
	bool opened;
	struct session *session = core_session(core, 0, &entrance, &device, at, &opened);
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
	struct setup_source source = {.file = ini_path()};
	struct core_limits limits = {
	    .seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 10, .max_queued = 1 << 20};
	struct complaints *complaints = complaints_new();
	struct names *names = names_new();
	struct live *live = live_new(&source, SETUP_SIMULATE, names);
	struct setup *setup = live_load(live, complaints);
	char *line = strndup((const char *)data, size);
	struct live_result result;
	struct core *core;
	struct core_group cores = {.all = &core, .count = 1};

	assert(setup && line);
	core = core_new(setup->config, names, &limits, 0);
	arrive(core, NS_MS);
	result = live_apply(live, &cores, setup, line, 2 * NS_MS);
	assert((result.status == LIVE_DONE) == !result.error.size);
	assert(!result.setup || result.status == LIVE_DONE);
	if (result.setup) {
		core_reload(core, result.setup->config, &limits, &entrance, 2 * NS_MS);
		setup_free(setup);
		setup = result.setup;
	}
	arrive(core, 3 * NS_MS);
	check_accounts(core);
	core_advance(core, NS_S);
	take(core);
	check_accounts(core);
	core_free(core);
	text_free(&result.error);
	setup_free(setup);
	live_free(live);
	names_free(names);
	complaints_free(complaints);
	free(line);
	return 0;
}
