/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_ini: reads untrusted ini text and settings, which give complaints or a configuration that runs.
 *
 * An input is the text of a file; behind a zero byte follow `--set` words, separated by zero bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ini.h"
#include "proxy/run/setup.h"
#include "rules/core.h"
#include "test/fuzz/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARRIVALS 20

static const struct entrance entrance = {
    .listener = {.family = FAMILY_IPV4, .port = 5684, .ip = {127, 0, 0, 1}}};
static const struct address device = {.family = FAMILY_IPV4, .port = 40000, .ip = {192, 0, 2, 7}};

static void settings_fill(const struct ini *ini, struct names *names, struct complaints *complaints)
{
	static const char *const kinds[] = {"proxy", "capture", "control", "gateway"};
	struct reading reading = {.arena = arena_new(), .ini = ini, .names = names};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const struct section_kind *kind = keys_kind(setup_kinds, setup_kind_count, kinds[i]);
		void *into = calloc(1, kind->size + 1);

		assert(into);
		keys_set_defaults(kind, into, &reading);
		keys_fill(kind, ini_find(ini, kinds[i], ""), into, &reading, complaints);
		free(into);
	}
	arena_free(reading.arena);
}

static void answer(struct core *core)
{
	struct outcome outcome;

	while (core_next(core, &outcome)) {
		switch (outcome.kind) {
		case OUTCOME_SEND: core_sent(core, outcome.datagram, outcome.at); break;
		case OUTCOME_UNSENT: core_release(core, outcome.datagram); break;
		case OUTCOME_EVENT: assert(*outcome.text); break;
		case OUTCOME_UPSTREAM:
		case OUTCOME_DARK: break;
		case OUTCOME_ENDED: core_session_release(core, outcome.session); break;
		}
	}
}

/* No time passes, as a rule may fire every nanosecond. */
static void run(const struct config *config, const struct names *names)
{
	struct core_limits limits = {
	    .seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 10, .max_queued = UINT64_C(1) << 16};
	struct core *core = core_new(config, names, &limits, 0);
	uint8_t bytes[ARRIVALS] = {0};
	struct verdict verdict;
	struct arrival first = {.at = 0};
	enum admission admission;
	struct session *session = core_session(core, 0, &entrance, &device, &first, &admission);

	for (size_t i = 0; i < ARRIVALS; i++) {
		struct arrival arrival = {.way = i % 3 ? WAY_UP : WAY_DOWN, .bytes = bytes, .size = i};

		core_arrive(core, session, &arrival, &verdict);
		core_advance(core, 0);
		answer(core);
		for (int way = 0; way < WAYS; way++) {
			const struct account a = way_account(&session->ways[way]);

			assert(a.received + a.copies == a.sent + account_dropped(&a) + a.queued);
		}
	}
	core_free(core);
}

/* Reads the `--set` words behind the text, up to the input's end. */
static void sets_read(struct ini *ini, const char *text, const char *end)
{
	for (const char *set = text + strlen(text) + 1; set <= end; set += strlen(set) + 1)
		ini_set(ini, set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct complaints *complaints = complaints_new();
	struct names *names = names_new();
	struct ini *ini = ini_new(setup_kinds, setup_kind_count, NULL, complaints);
	char *text = malloc(size + 1), *exact;
	struct config *config;
	size_t length;

	assert(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	length = strlen(text);
	exact = malloc(length); /* no zero behind it: the reader gets its size */
	assert(exact || !length);
	if (length)
		memcpy(exact, text, length);
	ini_read_text(ini, "fuzz.ini", exact, length);
	free(exact);
	if (length < size)
		sets_read(ini, text, text + size);
	ini_inherit(ini);
	settings_fill(ini, names, complaints);
	config = config_new(ini, names, complaints);
	assert(ini_text(ini));
	complaints_print(complaints, file_nowhere());
	if (complaints_count(complaints, COMPLAINT_ERROR) == 0)
		run(config, names);
	config_free(config);
	ini_free(ini);
	names_free(names);
	complaints_free(complaints);
	free(text);
	return 0;
}
