/*
 * bench_core: the decision core alone: how many datagrams a second it judges, schedules and gives back.
 *
 * 10 sessions, 100-byte DTLS application data at 100,000 a second of virtual time; once over a clean link,
 * once with a link of jitter and loss and 20 rules of mixed kinds; then a million datagrams that wait at
 * once.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/ini.h"
#include "proxy/setup.h"
#include "rules/core.h"

#define DATAGRAMS 1000000
#define SESSIONS 10
#define STEP (10 * NS_US)

static const char clean[] = "";
static const char busy[] =
    "[link default]\nlatency = 5ms\njitter = 1ms\ndistribution = normal\nloss = 1%\n"
    "[rule r1]\nsize = 2000-\ndo = drop\n[rule r2]\ndtls = client_hello\nattempt = 2\ndo = drop\n"
    "[rule r3]\nnth = 100000\ndo = delay 1ms\n[rule r4]\nprobability = 0.1%\ndo = delay 2ms\n"
    "[rule r5]\ndirection = down\nnth = every 1000\ndo = note\n[rule r6]\nepoch = 3\ndo = drop\n"
    "[rule r7]\nrecord = 1:5-6\ndo = delay 1ms\n[rule r8]\ncarried = 1GiB-\ndo = drop\n"
    "[rule r9]\nafter = 1h\ndo = drop\n[rule r10]\nsince = r3\ndo = delay 1us\n"
    "[rule r11]\nat = 1h\ndo = blackout 1s\n[rule r12]\ndtls = alert\ndo = drop\n"
    "[rule r13]\nnth = every 500\ndo = duplicate\n[rule r14]\nnth = every 700\ndo = corrupt\n"
    "[rule r15]\nsize = 33\ndo = drop\n[rule r16]\ndtls_not = application_data\ndo = drop\n"
    "[rule r17]\nscope = all\nnth = every 900\ndo = delay 3ms\n[rule r18]\nlimit = 3\ndo = note\n"
    "[rule r19]\ndirection = either\nnth = 40-50\ndo = hold 1\n[rule r20]\nsession = 99\ndo = drop\n";
static const char waiting[] =
    "[proxy]\nmax_queued = 1GiB\n[link default]\nlatency = 10s\njitter = 1s\norder = free\n";

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

static struct setup *read_setup(const char *ini, struct names *names)
{
	struct complaints *complaints = complaints_new();
	char path[] = "/dev/shm/deadzone-bench-XXXXXX";
	int fd = mkstemp(path);
	struct setup_source source = {.file = path};
	struct setup *setup;
	FILE *out = fdopen(fd, "w");

	assert(out);
	fputs(ini, out);
	fclose(out);
	setup = setup_new(&source, SETUP_SIMULATE, names, complaints);
	remove(path);
	complaints_print(complaints, stderr);
	assert(!complaints_count(complaints, COMPLAINT_ERROR));
	complaints_free(complaints);
	return setup;
}

static void run(const char *what, const char *ini)
{
	static const uint8_t bytes[100] = {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 87};
	struct names *names = names_new();
	struct setup *setup = read_setup(ini, names);
	struct core_limits limits = {.seed = 1,
	    .idle_timeout = setup->proxy.idle_timeout,
	    .max_sessions = 1000,
	    .max_queued = setup->proxy.max_queued};
	struct core *core = core_new(setup->config, names, &limits, 0);
	struct address listening = {.family = FAMILY_IPV4, .port = 5684};
	struct address device = {.family = FAMILY_IPV4, .ip = {192, 0, 2, 1}};
	struct verdict verdict;
	uint64_t sent = 0, most = 0;
	double began = seconds(), arrived;

	for (unsigned i = 0; i < DATAGRAMS; i++) {
		struct arrival arrival = {.bytes = bytes, .size = sizeof(bytes), .at = (ns_t)i * STEP};
		bool opened;

		device.port = (uint16_t)(1000 + i % SESSIONS);
		arrival.way = i / SESSIONS % 2 ? WAY_DOWN : WAY_UP;
		core_advance(core, arrival.at);
		core_arrive(core, core_session(core, 0, &listening, &device, arrival.at, &opened), &arrival,
		    &verdict);
		core_advance(core, arrival.at);
		sent += take_outcomes(core);
	}
	arrived = seconds();
	most = core_queued(core);
	core_last_arrival(core);
	while (core_queued(core)) {
		core_advance(core, core_due(core) + NS_MS);
		sent += take_outcomes(core);
	}
	printf("%-34s %6.2f million datagrams a second   (%.0f ns each; %" PRIu64 " sent", what,
	    DATAGRAMS / (seconds() - began) / 1e6, (seconds() - began) / DATAGRAMS * 1e9, sent);
	if (most > 1000)
		printf("; %" PRIu64 " waited at once: %.0f ns in, %.0f ns out", most,
		    (arrived - began) / DATAGRAMS * 1e9, (seconds() - arrived) / (double)most * 1e9);
	puts(")");
	core_free(core);
	setup_free(setup);
	names_free(names);
}

int main(void)
{
	run("clean link", clean);
	run("jitter, loss and 20 rules", busy);
	run("10 s of latency", waiting);
	return 0;
}
