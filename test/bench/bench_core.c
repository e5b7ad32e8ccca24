/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_core: measures the decision core alone: how many datagrams a second it judges, schedules and returns.
 *
 *   bench_core INI
 *
 * In 10 sessions, a million 100-byte DTLS application data come at 100,000 a second of virtual time. Prints
 * one line of key=value: `per_second` and `sent`; if many wait at once, also `most` of them, `in_ns` and
 * `out_ns` for each, and `bytes` of memory for each beside its own 100.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/ini.h"
#include "proxy/run/setup.h"
#include "rules/core.h"

#define DATAGRAMS 1000000
#define SESSIONS 10
#define STEP (10 * NS_US)

static size_t resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (!file || fscanf(file, "%*d %ld", &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t take_outcomes(struct core *core)
{
	struct outcome o;
	uint64_t sent = 0;

	while (core_next(core, &o)) {
		if (o.kind == OUTCOME_SEND) {
			core_sent(core, o.datagram, o.at);
			sent++;
		} else if (o.kind == OUTCOME_UNSENT) {
			core_release(core, o.datagram);
		}
	}
	return sent;
}

static struct setup *read_setup(const char *path, struct names *names)
{
	struct complaints *complaints = complaints_new();
	struct setup_source source = {.ini.file = path};
	struct setup *setup = setup_new(&source, SETUP_SIMULATE, names, complaints);

	complaints_print(complaints, stderr);
	if (complaints_count(complaints, COMPLAINT_ERROR))
		exit(2);
	complaints_free(complaints);
	return setup;
}

static void run(const char *ini)
{
	static const uint8_t bytes[100] = {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 87};
	struct names *names = names_new();
	struct setup *setup = read_setup(ini, names);
	struct core_limits limits = {.seed = 1,
	    .idle_timeout = setup->proxy.idle_timeout,
	    .max_sessions = 1000,
	    .max_queued = setup->proxy.max_queued};
	struct core *core = core_new(setup->config, names, &limits, 0);
	struct entrance entrance = {.listener = {.family = FAMILY_IPV4, .port = 5684}};
	struct address device = {.family = FAMILY_IPV4, .ip = {192, 0, 2, 1}};
	struct verdict verdict;
	uint64_t sent = 0, max = 0;
	size_t before = resident(), whole;
	double began = seconds(), arrived;

	for (unsigned i = 0; i < DATAGRAMS; i++) {
		struct arrival arrival = {.bytes = bytes, .size = sizeof(bytes), .at = (ns_t)i * STEP};
		enum admission admission;

		device.port = (uint16_t)(1000 + i % SESSIONS);
		arrival.way = i / SESSIONS % 2 ? WAY_DOWN : WAY_UP;
		core_advance(core, arrival.at);
		core_arrive(core, core_session(core, 0, &entrance, &device, &arrival, &admission), &arrival,
		    &verdict);
		core_advance(core, arrival.at);
		sent += take_outcomes(core);
	}
	arrived = seconds();
	max = core_queued(core);
	whole = resident() - before;
	core_last_arrival(core);
	while (core_queued(core)) {
		core_advance(core, core_due(core) + NS_MS);
		sent += take_outcomes(core);
	}
	printf("per_second=%.0f sent=%" PRIu64, DATAGRAMS / (seconds() - began), sent);
	if (max > 1000)
		printf(" most=%" PRIu64 " in_ns=%.0f out_ns=%.0f bytes=%.1f", max,
		    (arrived - began) / DATAGRAMS * 1e9, (seconds() - arrived) / (double)max * 1e9,
		    (double)whole / (double)max - sizeof(bytes));
	puts("");
	core_free(core);
	setup_free(setup);
	names_free(names);
}

int main(int count, char **words)
{
	if (count != 2) {
		fprintf(stderr, "usage: bench_core INI\n");
		return 2;
	}
	run(words[1]);
	return 0;
}
