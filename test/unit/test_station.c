/* SPDX-License-Identifier: BSD-2-Clause */
/* station: scope = device and shared = device or all: one device with several sessions. */
#include "test/unit/stage.h"

#include <stdlib.h>
#include <unistd.h>

/* Writes a trace with an opportunity every `step` milliseconds, up to `last`. */
static void write_trace(const char *path, int step, int last)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (int ms = step; ms <= last; ms += step)
		fprintf(file, "%d\n", ms);
	assert_int_equal(fclose(file), 0);
}

static void send_up(struct stage *stage, unsigned host, unsigned port, size_t size, ns_t at)
{
	stage_advance(stage, at);
	arrive_at(stage, session_of(stage, host, port, at), WAY_UP, size, at);
	stage_advance(stage, at);
}

/* ---- scope = device ---- */

/* nth and limit count the datagrams of all ports of a device, and of no other device. */
static void test_counts(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule third]\nscope = device\nnth = 3-\nlimit = 1\ndo = drop\n");
	send_up(&stage, 1, 4000, 1, 0);
	send_up(&stage, 1, 4001, 2, 0);
	send_up(&stage, 2, 4000, 3, 0);
	send_up(&stage, 2, 4000, 4, 0);
	transcript_clear(&stage);
	assert_int_equal(arrive_at(&stage, session_of(&stage, 1, 4001, 0), WAY_UP, 5, 0).reason, REASON_RULE);
	assert_int_equal(arrive_at(&stage, session_of(&stage, 1, 4000, 0), WAY_UP, 6, 0).reason, REASON_NONE);
	assert_int_equal(arrive_at(&stage, session_of(&stage, 2, 4002, 0), WAY_UP, 7, 0).reason, REASON_RULE);
	stage_advance(&stage, 0);
	stage_close(&stage);
}

/* carried counts per device, also after `since`, which another session of the device starts. */
static void test_carried_since(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule start]\nsize = 7\nlimit = 1\ndo = note\n"
	                   "[rule after]\nscope = device\nsince = start\ncarried = 100-\ndo = drop\n");
	send_up(&stage, 1, 4000, 90, 0);
	send_up(&stage, 1, 4001, 7, 0);
	assert_int_equal(
	    arrive_at(&stage, session_of(&stage, 1, 4000, 0), WAY_UP, 60, 0).reason, REASON_NONE);
	assert_int_equal(
	    arrive_at(&stage, session_of(&stage, 2, 4000, 0), WAY_UP, 200, 0).reason, REASON_NONE);
	assert_int_equal(
	    arrive_at(&stage, session_of(&stage, 1, 4002, 0), WAY_UP, 40, 0).reason, REASON_RULE);
	stage_advance(&stage, 0);
	stage_close(&stage);
}

/* A blackout covers all sessions of the device, later ones for what is left of it, and no other device. */
static void test_blackout(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage.limits = (struct core_limits){.seed = 1,
	    .idle_timeout = NS_HOUR,
	    .max_sessions = 9,
	    .max_queued = 1 << 20,
	    .reports_dark = true};
	stage_open(&stage, "[rule zone]\nscope = device\nsize = 7\ndo = blackout 100ms down\n");
	send_up(&stage, 1, 4000, 1, 0);
	send_up(&stage, 2, 4000, 1, 0);
	transcript_clear(&stage);
	send_up(&stage, 1, 4001, 7, 10 * NS_MS);
	assert_said(&stage, "10 s=3 session-begins device=10.0.0.1:4001 link=clean\n"
	                    "dark s=3 down until 110\n10 s=3 blackout-begins 100ms down by=rule:zone\n"
	                    "dark s=1 down until 110\n10 s=1 blackout-begins 100ms down by=rule:zone\n"
	                    "10 s=3 up n=1 sent\n");
	assert_int_equal(arrive_at(&stage, session_of(&stage, 1, 4000, 0), WAY_DOWN, 6, 20 * NS_MS).reason,
	    REASON_BLACKOUT);
	assert_int_equal(
	    arrive_at(&stage, session_of(&stage, 2, 4000, 0), WAY_DOWN, 6, 20 * NS_MS).reason, REASON_NONE);
	transcript_clear(&stage);
	send_up(&stage, 1, 4002, 1, 60 * NS_MS);
	assert_int_equal(arrive_at(&stage, session_of(&stage, 1, 4002, 0), WAY_DOWN, 6, 109 * NS_MS).reason,
	    REASON_BLACKOUT);
	stage_advance(&stage, 110 * NS_MS);
	assert_int_equal(
	    arrive_at(&stage, session_of(&stage, 1, 4002, 0), WAY_DOWN, 6, 110 * NS_MS).reason, REASON_NONE);
	stage_advance(&stage, 110 * NS_MS);
	stage_close(&stage);
}

/* A device keeps its state after all of its sessions have ended; an identity is a device, too. */
static void test_memory(void **state)
{
	struct stage stage = {
	    .limits = {.seed = 1, .idle_timeout = NS_S, .max_sessions = 2, .max_queued = 1 << 20}};

	(void)state;
	stage_open(&stage, "[device moving]\naddress = 10.0.0.8/31\nidentity = one\n"
	                   "[rule once]\nscope = device\nlimit = 1\ndo = drop\n");
	assert_int_equal(arrive(&stage, 1, WAY_UP, 1, 0).reason, REASON_RULE);
	stage_advance(&stage, 2 * NS_S);
	assert_int_equal(core_session_count(stage.core), 0);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 1, 2 * NS_S).reason, REASON_NONE);
	stage_advance(&stage, 4 * NS_S);
	assert_int_equal(arrive(&stage, 8, WAY_UP, 1, 4 * NS_S).reason, REASON_RULE);
	stage_advance(&stage, 6 * NS_S);
	assert_int_equal(arrive(&stage, 9, WAY_UP, 1, 6 * NS_S).reason, REASON_NONE);
	/* With more devices than sessions allowed, the one away for longest is forgotten. */
	for (unsigned host = 20; host < 23; host++) {
		stage_advance(&stage, (host - 16) * 2 * NS_S);
		assert_int_equal(arrive(&stage, host, WAY_UP, 1, (host - 16) * 2 * NS_S).reason, REASON_RULE);
	}
	stage_advance(&stage, 20 * NS_S);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 1, 20 * NS_S).reason, REASON_RULE);
	stage_close(&stage);
}

/* `at` and `every` run once for each device, from its first session on. */
static void test_timed(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[link slow]\nlatency = 1ms\n"
	                   "[rule tick]\nscope = device\nat = 10ms\nevery = 10ms\nlimit = 2\ndo = note\n"
	                   "[rule move]\nscope = device\nat = 17ms\ndo = link slow\n");
	send_up(&stage, 1, 4000, 1, 0);
	send_up(&stage, 1, 4001, 1, 5 * NS_MS);
	send_up(&stage, 2, 4000, 1, 5 * NS_MS);
	transcript_clear(&stage);
	stage_advance(&stage, 100 * NS_MS);
	assert_said(&stage,
	    "10 s=2 note by=rule:tick\n15 s=3 note by=rule:tick\n"
	    "17 s=2 link slow by=rule:move\n17 s=1 link slow by=rule:move\n"
	    "20 s=2 note by=rule:tick\n22 s=3 link slow by=rule:move\n25 s=3 note by=rule:tick\n");
	send_up(&stage, 1, 4002, 1, 100 * NS_MS);
	assert_said(&stage,
	    "100 s=4 session-begins device=10.0.0.1:4002 link=clean\n100 s=4 link slow by=rule:move\n");
	stage_advance(&stage, 101 * NS_MS);
	stage_close(&stage);
}

/* Counts go on through a reload that moves the rule; a rule that a reload adds starts anew. */
static void test_reload(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule third]\nscope = device\nnth = 3\ndo = drop\n");
	send_up(&stage, 1, 4000, 1, 0);
	stage_reload(&stage,
	    "[rule other]\nscope = device\nsize = 99\ndo = drop\n[rule third]\nscope = device\nnth = 3\ndo = "
	    "drop\n",
	    0);
	send_up(&stage, 1, 4001, 1, 0);
	assert_int_equal(arrive_at(&stage, session_of(&stage, 1, 4002, 0), WAY_UP, 1, 0).reason, REASON_RULE);
	stage_advance(&stage, 0);
	stage_reload(&stage, "", 0);
	send_up(&stage, 1, 4003, 1, 0);
	stage_reload(&stage,
	    "[rule tick]\nscope = device\nat = 10ms\ndo = note\n[rule first]\nscope = device\nnth = 1\ndo = "
	    "drop\n",
	    0);
	transcript_clear(&stage);
	assert_int_equal(arrive_at(&stage, session_of(&stage, 1, 4003, 0), WAY_UP, 1, 0).reason, REASON_RULE);
	stage_advance(&stage, 10 * NS_MS);
	assert_said(&stage, "10 s=4 note by=rule:tick\n");
	stage_close(&stage);
}

/* Intercepted sessions of one device use one identity; another device cannot use it at the same time. The
 * draws of a session to one port do not depend on sessions to another. */
static void test_identity(void **state)
{
	static const char ini[] = "[device d]\nidentity = bench\n[link default]\nloss = 50%\n";
	struct entrance where[2] = {entrances[0], entrances[0]};
	uint64_t lost[2];

	(void)state;
	where[0].destination = (struct address){.family = FAMILY_IPV4, .port = 5684, .ip = {192, 0, 2, 9}};
	where[1].destination = (struct address){.family = FAMILY_IPV4, .port = 53, .ip = {192, 0, 2, 9}};
	for (int dns_first = 0; dns_first <= 1; dns_first++) {
		struct address one = device_at(1, 4000), other = device_at(2, 4000);
		struct stage stage = {0};
		struct arrival arrival = {.at = 0};
		struct session *dtls, *dns = NULL;
		enum admission admission;

		stage_open(&stage, ini);
		if (dns_first)
			dns = core_session(stage.core, 1, &where[1], &one, &arrival, &admission);
		dtls = core_session(stage.core, 0, &where[0], &one, &arrival, &admission);
		if (!dns_first)
			dns = core_session(stage.core, 1, &where[1], &one, &arrival, &admission);
		assert_true(dtls->identity_used && dns->identity_used);
		assert_false(
		    core_session(stage.core, 0, &where[0], &other, &arrival, &admission)->identity_used);
		lost[dns_first] = session_draws(&stage, dtls);
		stage_close(&stage);
	}
	assert_int_equal(lost[0], lost[1]);
}

/* ---- shared ---- */

/* 972 bytes, with their headers, take 8 ms. Datagrams of one session wait for those of another; order = keep
 * applies to each session separately. */
static void test_bottleneck(void **state)
{
	static const struct {
		const char *shared;
		const char *said;
	} rows[] = {{"session", "8 s=1 up n=1 sent\n8 s=2 up n=1 sent\n8 s=3 up n=1 sent\n"},
	    {"device", "8 s=1 up n=1 sent\n8 s=3 up n=1 sent\n16 s=2 up n=1 sent\n"},
	    {"all", "8 s=1 up n=1 sent\n16 s=2 up n=1 sent\n24 s=3 up n=1 sent\n"}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct stage stage = {0};
		char ini[100];

		snprintf(ini, sizeof(ini), "[link default]\nrate = 1Mbit\nshared = %s\n", rows[i].shared);
		stage_open(&stage, ini);
		send_up(&stage, 1, 4000, 972, 0);
		send_up(&stage, 1, 4001, 972, 0);
		send_up(&stage, 2, 4000, 972, 0);
		transcript_clear(&stage);
		stage_advance(&stage, NS_S);
		assert_said(&stage, rows[i].said);
		stage_close(&stage);
	}
}

/* The queue is shared, too: the second session finds all 3 places taken. */
static void test_queue(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[link default]\nrate = 1Mbit\nqueue = 3p\nshared = device\n");
	for (int i = 0; i < 4; i++)
		send_up(&stage, 1, 4000, 972, 0);
	assert_int_equal(
	    arrive_at(&stage, session_of(&stage, 1, 4001, 0), WAY_UP, 10, 0).reason, REASON_QUEUE);
	assert_int_equal(
	    arrive_at(&stage, session_of(&stage, 2, 4001, 0), WAY_UP, 10, 0).reason, REASON_NONE);
	stage_advance(&stage, NS_S);
	stage_close(&stage);
}

/* The loss chain steps in order of arrival: two sessions in turn lose just what one alone would lose. */
static void test_chain(void **state)
{
	static const char ini[] = "[link default]\nloss = 40%%\nloss_run = 4\nshared = %s\n";
	static const char *const words[] = {"device", "all"};

	(void)state;
	for (int w = 0; w < 2; w++) {
		uint64_t lost[2] = {0};
		char text[200];

		snprintf(text, sizeof(text), ini, words[w]);
		for (unsigned sessions = 1; sessions <= 2; sessions++) {
			struct stage stage = {0};

			stage_open(&stage, text);
			for (unsigned i = 0; i < 64; i++) {
				struct session *session = session_of(&stage, 1, 4000 + i % sessions, 0);

				lost[sessions - 1] = lost[sessions - 1] << 1 |
				                     (arrive_at(&stage, session, WAY_UP, 10, 0).reason ==
				                         REASON_LOSS);
			}
			stage_advance(&stage, 0);
			stage_close(&stage);
		}
		assert_int_equal(lost[0], lost[1]);
		assert_in_range(__builtin_popcountll(lost[0]), 10, 50);
	}
}

/* The radio sleeps for all sessions at once: one that sends wakes it, and datagrams of others go on. */
static void test_sleep(void **state)
{
	static const char *const words[] = {"device", "all"};

	(void)state;
	for (int w = 0; w < 2; w++) {
		struct stage stage = {0};
		char ini[120];

		snprintf(ini, sizeof(ini),
		    "[link default]\nwake_after = 100ms\nwake_delay = next-up\nshared = %s\n", words[w]);
		stage_open(&stage, ini);
		send_up(&stage, 1, 4000, 1, 0);
		send_up(&stage, 1, 4001, 1, 0);
		arrive_at(&stage, session_of(&stage, 1, 4000, 0), WAY_DOWN, 9, 200 * NS_MS);
		stage_advance(&stage, 300 * NS_MS);
		transcript_clear(&stage);
		send_up(&stage, 1, 4001, 1, 400 * NS_MS);
		assert_said(&stage, "400 s=2 up n=2 sent\n400 s=1 down n=1 sent\n");
		stage_close(&stage);
	}
}

/* A reload makes a link a shared one, and another undoes it: nothing is lost or counted twice. */
static void test_shared_reload(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[link default]\nrate = 1Mbit\n");
	send_up(&stage, 1, 4000, 972, 0);
	send_up(&stage, 1, 4001, 972, 0);
	stage_reload(&stage, "[link default]\nrate = 1Mbit\nshared = device\n", 0);
	send_up(&stage, 1, 4000, 972, 0);
	send_up(&stage, 1, 4001, 972, 0);
	stage_reload(&stage, "[link other]\n[link default]\nrate = 1Mbit\n", 0);
	send_up(&stage, 1, 4000, 972, 0);
	transcript_clear(&stage);
	stage_advance(&stage, NS_S);
	assert_said(&stage, "8 s=1 up n=1 sent\n8 s=2 up n=1 sent\n8 s=1 up n=2 sent\n16 s=2 up n=2 sent\n16 "
	                    "s=1 up n=3 sent\n");
	stage_close(&stage);
}

/* A rule's standing action for a device's later sessions is removed with the rule, and with no other. */
static void test_standing_reload(void **state)
{
	static const char zone[] = "[rule zone]\nscope = device\nsize = 7\ndo = blackout 100s\n";

	(void)state;
	for (int kept = 0; kept <= 1; kept++) {
		struct stage stage = {0};

		stage_open(&stage, zone);
		send_up(&stage, 1, 4000, 7, 0);
		stage_reload(&stage, kept ? zone : "[rule other]\nscope = device\nsize = 8\ndo = note\n", 0);
		assert_int_equal(arrive_at(&stage, session_of(&stage, 1, 4001, 0), WAY_UP, 1, 0).reason,
		    kept ? REASON_BLACKOUT : REASON_NONE);
		stage_advance(&stage, 0);
		stage_close(&stage);
	}
}

/* A reload looks up the position in a shared link's trace again: the new trace is shorter. */
static void test_trace_reload(void **state)
{
	static const char *const words[] = {"device", "all"};
	char directory[] = "/tmp/deadzone-XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/trace", directory);
	for (int w = 0; w < 2; w++) {
		struct stage stage = {0};
		char ini[160];

		snprintf(ini, sizeof(ini), "[link default]\nshared = %s\ntrace = %s\n", words[w], path);
		write_trace(path, 1, 5000);
		stage_open(&stage, ini);
		send_up(&stage, 1, 4000, 1, 0);
		stage_advance(&stage, 4000 * NS_MS);
		send_up(&stage, 1, 4001, 1, 4000 * NS_MS);
		write_trace(path, 3000, 60000);
		stage_reload(&stage, ini, 4000 * NS_MS);
		transcript_clear(&stage);
		send_up(&stage, 1, 4000, 1, 4000 * NS_MS);
		stage_advance(&stage, 6000 * NS_MS);
		assert_said(&stage, "6000 s=1 up n=2 sent\n");
		stage_close(&stage);
	}
	unlink(path);
	rmdir(directory);
}

/* A datagram that waits at a sleeping shared link goes on after a reload, too. */
static void test_sleep_reload(void **state)
{
	static const char ini[] =
	    "[link default]\nwake_after = 100ms\nwake_delay = next-up\nshared = device\n";
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, ini);
	send_up(&stage, 1, 4000, 1, 0);
	send_up(&stage, 1, 4001, 1, 0);
	arrive_at(&stage, session_of(&stage, 1, 4000, 0), WAY_DOWN, 9, 200 * NS_MS);
	stage_advance(&stage, 300 * NS_MS);
	stage_reload(&stage, ini, 300 * NS_MS);
	transcript_clear(&stage);
	send_up(&stage, 1, 4001, 1, 400 * NS_MS);
	assert_said(&stage, "400 s=2 up n=2 sent\n400 s=1 down n=1 sent\n");
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_counts),
	    cmocka_unit_test(test_carried_since),
	    cmocka_unit_test(test_blackout),
	    cmocka_unit_test(test_memory),
	    cmocka_unit_test(test_timed),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_identity),
	    cmocka_unit_test(test_bottleneck),
	    cmocka_unit_test(test_queue),
	    cmocka_unit_test(test_chain),
	    cmocka_unit_test(test_sleep),
	    cmocka_unit_test(test_shared_reload),
	    cmocka_unit_test(test_standing_reload),
	    cmocka_unit_test(test_trace_reload),
	    cmocka_unit_test(test_sleep_reload),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
