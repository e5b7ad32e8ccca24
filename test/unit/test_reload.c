/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload: what a reload of the configuration keeps of counters, links, chains, waiting datagrams and standing
 * actions, and what it drops.
 */
#include "test/unit/stage.h"

#include <unistd.h>

static void test_reload_keeps_counters(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule third]\nnth = 3\ndo = drop\n[rule few]\nlimit = 3\ndo = note\n");
	arrive(&stage, 1, WAY_UP, 10, 0);
	arrive(&stage, 1, WAY_UP, 10, 0);
	stage_reload(&stage,
	    "[rule new]\ndo = note\n[rule few]\nlimit = 3\ndo = note\n[rule third]\nnth = 3\ndo = drop\n", 0);
	assert_int_equal(core_rule(stage.core, 0)->matched, 0);
	assert_int_equal(core_rule(stage.core, 1)->fired, 2);
	assert_int_equal(core_rule(stage.core, 2)->matched, 2);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 0).reason, REASON_RULE);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 0).reason, REASON_NONE);
	assert_int_equal(core_rule(stage.core, 0)->matched, 2);
	assert_int_equal(core_rule(stage.core, 1)->fired, 3);
	assert_int_equal(core_rule(stage.core, 2)->fired, 1);
	/* A rule that was removed starts anew when it comes back. */
	stage_reload(&stage, "[link default]\n", 0);
	stage_reload(&stage, "[rule third]\nnth = 3\ndo = drop\n", 0);
	assert_int_equal(core_rule(stage.core, 0)->matched, 0);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 0).reason, REASON_NONE);
	stage_close(&stage);
}

/* The bottleneck goes on where it was, at the new rate; datagrams on their way keep their times. */
static void test_reload_keeps_links(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[link default]\nrate = 8kbit\noverhead = 0\n");
	arrive(&stage, 1, WAY_UP, 1000, 0);
	transcript_clear(&stage);
	stage_reload(
	    &stage, "[link x]\n[link default]\nrate = 16kbit\noverhead = 0\nlatency = 5ms\n", 100 * NS_MS);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 1000, 100 * NS_MS).delay, 1405 * NS_MS);
	stage_advance(&stage, 10 * NS_S);
	assert_said(&stage, "1000 s=1 up n=1 sent\n1505 s=1 up n=2 sent\n");
	stage_close(&stage);
}

/* The chain of losses goes on, too: datagrams have the same fates as without the reload. */
static void test_reload_keeps_chains(void **state)
{
	static const char ini[] = "[link default]\nloss = 30%\nloss_run = 4\n";
	uint64_t lost = 0;
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, ini);
	for (unsigned i = 0; i < DRAWS; i++) {
		if (i % 10 == 9)
			stage_reload(&stage, ini, 0);
		lost = lost << 1 | (arrive(&stage, 1, WAY_UP, 10, 0).reason == REASON_LOSS);
	}
	assert_true(lost == draws_of(ini, 0, 1, 4000, 1));
	stage_close(&stage);
}

/* Returns what eight sessions lose on a link that was clean at first: its chain begins at their current
 * ordinals. `rule` is empty or a rule that looks at every datagram. */
static uint64_t lost_after_clean(const char *rule)
{
	struct stage stage = {0};
	struct text bad = {0}, clean = {0};
	uint64_t lost = 0;

	text_add(&bad, "[link default]\nloss = 50%%\nloss_run = 3\n%s", rule);
	text_add(&clean, "[link default]\n%s", rule);
	stage_open(&stage, clean.at);
	for (unsigned i = 0; i < DRAWS; i++)
		assert_int_equal(arrive(&stage, 1 + i / 8, WAY_UP, 10, 0).reason, REASON_NONE);
	stage_reload(&stage, bad.at, 0);
	for (unsigned i = 0; i < DRAWS; i++)
		lost = lost << 1 | (arrive(&stage, 1 + i / 8, WAY_UP, 10, 0).reason == REASON_LOSS);
	stage_close(&stage);
	text_free(&bad);
	text_free(&clean);
	return lost;
}

static void test_reload_to_a_clean_link(void **state)
{
	struct stage stage = {0};
	uint64_t lost = lost_after_clean("");

	(void)state;
	assert_true(lost && lost != UINT64_MAX);
	assert_true(lost == lost_after_clean("[rule none]\nsize = 9999\ndo = drop\n"));

	/* The order is kept too. */
	stage_open(&stage, "[link default]\nlatency = 50ms\n");
	arrive(&stage, 1, WAY_UP, 10, 0);
	stage_reload(&stage, "[link default]\n", 0);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 20 * NS_MS).delay, 30 * NS_MS);
	assert_int_equal(arrive(&stage, 1, WAY_DOWN, 10, 20 * NS_MS).delay, 0);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 60 * NS_MS).delay, 0);
	stage_close(&stage);
}

static void test_reload_of_links_set(void **state)
{
	static const char both[] =
	    "[link default]\n[link slow]\nlatency = 1s\n[rule go]\nsize = 7\ndo = link slow\n";
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, both);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 7, 0).delay, NS_S);
	stage_reload(&stage, both, 0);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 6, 0).delay, NS_S); /* set by an action: stays */
	stage_reload(&stage, "[link default]\nlatency = 3ms\n", 0);
	assert_int_equal(arrive(&stage, 1, WAY_DOWN, 6, 0).delay, 3 * NS_MS); /* that link is gone */
	stage_reload(&stage, "[device a]\nlink = b\n[link b]\nlatency = 4ms\n", 0);
	assert_int_equal(arrive(&stage, 1, WAY_DOWN, 6, 0).delay, 4 * NS_MS); /* the device is matched anew */
	stage_advance(&stage, 2 * NS_S);
	stage_close(&stage);
}

static void test_reload_keeps_what_waits(void **state)
{
	static const char ini[] =
	    "[rule dark]\nsize = 1\ndo = blackout 50ms down hold\n[rule group]\nsize = 2\ndo = permute 2 1\n"
	    "[rule back]\nsize = 3\ndo = hold 1\n[rule joint]\nsize = 4\ndo = pack 20ms\n";
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, ini);
	arrive(&stage, 1, WAY_UP, 1, 0);
	transcript_clear(&stage);
	arrive(&stage, 1, WAY_DOWN, 9, NS_MS);
	arrive(&stage, 1, WAY_UP, 2, 2 * NS_MS);
	arrive(&stage, 1, WAY_UP, 3, 3 * NS_MS);
	assert_said(&stage, "");
	stage_reload(&stage, ini, 4 * NS_MS);
	stage_advance(&stage, 4 * NS_MS);
	assert_said(&stage, "");
	/* This one completes the group, and is later than the one held back. */
	arrive(&stage, 1, WAY_UP, 2, 5 * NS_MS);
	assert_said(&stage, "5 s=1 up n=4 sent\n5 s=1 up n=3 sent\n5 s=1 up n=2 sent\n");
	arrive(&stage, 1, WAY_UP, 4, 6 * NS_MS);
	stage_reload(&stage, "[link default]\n", 7 * NS_MS);
	stage_advance(&stage, NS_S); /* packs and blackouts end by themselves, even without their rules */
	assert_said(&stage, "26 s=1 up n=5 parts=1 sent\n50 s=1 blackout-ends down\n50 s=1 down n=1 sent\n");
	stage_close(&stage);
}

/* Datagrams that a removed rule had gathered go on their way. */
static void test_reload_drops_rules(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(
	    &stage, "[rule group]\ndo = permute 3 2 1\n[rule tick]\nat = 10ms\nevery = 10ms\ndo = note\n");
	arrive(&stage, 1, WAY_UP, 2, 0);
	arrive(&stage, 1, WAY_UP, 2, 0);
	transcript_clear(&stage);
	stage_advance(&stage, 20 * NS_MS);
	assert_said(&stage, "10 s=1 note by=rule:tick\n20 s=1 note by=rule:tick\n");
	stage_reload(&stage, "[rule tock]\nat = 25ms\ndo = note\n", 21 * NS_MS);
	stage_advance(&stage, NS_S);
	assert_said(&stage, "21 s=1 up n=1 sent\n21 s=1 up n=2 sent\n25 s=1 note by=rule:tock\n");
	stage_close(&stage);
}

/* A timed rule with unchanged times keeps its rhythm; one with new times follows these. */
static void test_reload_of_times(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule a]\nevery = 100ms\ndo = note\n[rule b]\nevery = 100ms\ndo = note\n");
	arrive(&stage, 1, WAY_UP, 2, 0);
	stage_advance(&stage, 150 * NS_MS);
	transcript_clear(&stage);
	stage_reload(
	    &stage, "[rule b]\nevery = 30ms\ndo = note\n[rule a]\nevery = 100ms\ndo = note\n", 150 * NS_MS);
	stage_advance(&stage, 210 * NS_MS);
	assert_said(&stage, "180 s=1 note by=rule:b\n200 s=1 note by=rule:a\n210 s=1 note by=rule:b\n");
	stage_close(&stage);
}

static void test_reload_keeps_standing(void **state)
{
	static const char ini[] = "[rule dark]\nscope = all\nsize = 1\ndo = blackout 100ms\n";
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, ini);
	arrive(&stage, 1, WAY_UP, 1, 0);
	stage_reload(&stage, ini, NS_MS);
	assert_int_equal(arrive(&stage, 2, WAY_UP, 9, 2 * NS_MS).reason, REASON_BLACKOUT);
	stage_reload(&stage, "[link default]\n", 3 * NS_MS);
	assert_int_equal(
	    arrive(&stage, 3, WAY_UP, 9, 4 * NS_MS).reason, REASON_NONE); /* opens after the removal */
	assert_int_equal(arrive(&stage, 2, WAY_UP, 9, 5 * NS_MS).reason, REASON_BLACKOUT); /* still lasts */
	stage_advance(&stage, NS_S);
	stage_close(&stage);
}

/* If a reload adds or removes `since`, a timed rule waits or is armed accordingly. */
static void test_reload_of_since(void **state)
{
	static const char without_since[] =
	    "[rule go]\nsize = 1\ndo = note\n[rule tick]\nat = 50ms\ndo = note\n";
	static const char with_since[] =
	    "[rule go]\nsize = 1\ndo = note\n[rule tick]\nsince = go\nat = 50ms\ndo = note\n";
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, without_since);
	arrive(&stage, 1, WAY_UP, 9, 0);
	transcript_clear(&stage);
	stage_reload(&stage, with_since, 10 * NS_MS);
	stage_advance(&stage, 100 * NS_MS);
	assert_said(&stage, "");
	arrive(&stage, 1, WAY_UP, 1, 100 * NS_MS);
	transcript_clear(&stage);
	stage_advance(&stage, NS_S);
	assert_said(&stage, "150 s=1 note by=rule:tick\n");
	stage_close(&stage);

	stage_open(&stage, with_since);
	arrive(&stage, 1, WAY_UP, 9, 0);
	transcript_clear(&stage);
	stage_reload(&stage, without_since, 10 * NS_MS);
	stage_advance(&stage, NS_S);
	assert_said(&stage, "50 s=1 note by=rule:tick\n");
	stage_close(&stage);
}

/* ---- Memory, checked by ASan ---- */

/* After the reload, `replay N` goes back less far than before. */
static void test_reload_of_memory(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule far]\ndo = replay 40\n");
	for (int i = 0; i < 100; i++)
		arrive(&stage, 1, WAY_UP, 10, 0);
	stage_reload(&stage, "[rule far]\ndo = replay 1\n", 0);
	transcript_clear(&stage);
	arrive(&stage, 1, WAY_UP, 10, NS_MS); /* no earlier datagram is kept */
	arrive(&stage, 1, WAY_UP, 10, NS_MS);
	assert_said(
	    &stage, "1 s=1 up n=101 sent\n1 s=1 up n=102 sent\n1 s=1 up n=101 copy=1 of=replay sent\n");
	stage.left = 2;
	stage_close(&stage);
}

/* A session has ended but is still referenced, with a timed rule of the old configuration. */
static void test_reload_beside_ended(void **state)
{
	static const char ini[] = "[rule tick]\nevery = 10s\ndo = note\n";
	struct stage stage = {
	    .limits = {.seed = 1, .idle_timeout = NS_S, .max_sessions = 9, .max_queued = 1 << 20}};

	(void)state;
	stage_open(&stage, ini);
	arrive(&stage, 1, WAY_UP, 10, 0);
	stage_advance(&stage, 2 * NS_S);
	assert_int_equal(core_session_count(stage.core), 0);
	stage_reload(&stage, ini, 3 * NS_S);
	transcript_clear(&stage);
	stage_advance(&stage, 20 * NS_S);
	assert_said(&stage, "");
	stage_close(&stage);
}

static void trace_write(char *path, const char *text)
{
	int file = mkstemp(path);

	assert_true(file >= 0);
	assert_int_equal(write(file, text, strlen(text)), strlen(text));
	close(file);
}

/* The new trace is shorter than the position reached in the old one. */
static void test_reload_of_trace(void **state)
{
	char many[] = "/tmp/deadzone-trace-XXXXXX", few[] = "/tmp/deadzone-trace-XXXXXX", ini[128];
	struct stage stage = {0};

	(void)state;
	trace_write(many, "1\n2\n3\n4\n5\n6\n7\n8\n1000\n");
	trace_write(few, "4\n10\n");
	snprintf(ini, sizeof(ini), "[link default]\ntrace = %s\n", many);
	stage_open(&stage, ini);
	for (int i = 0; i < 6; i++)
		arrive(&stage, 1, WAY_UP, 1400, 0);
	snprintf(ini, sizeof(ini), "[link default]\ntrace = %s\n", few);
	stage_reload(&stage, ini, 7 * NS_MS);
	stage_advance(&stage, 7 * NS_MS);
	transcript_clear(&stage);
	arrive(&stage, 1, WAY_UP, 1400, 12 * NS_MS);
	stage_advance(&stage, NS_S);
	assert_said(&stage, "14 s=1 up n=7 sent\n");
	stage_close(&stage);
	unlink(many);
	unlink(few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reload_keeps_counters),
	    cmocka_unit_test(test_reload_keeps_links),
	    cmocka_unit_test(test_reload_keeps_chains),
	    cmocka_unit_test(test_reload_to_a_clean_link),
	    cmocka_unit_test(test_reload_of_links_set),
	    cmocka_unit_test(test_reload_keeps_what_waits),
	    cmocka_unit_test(test_reload_drops_rules),
	    cmocka_unit_test(test_reload_of_times),
	    cmocka_unit_test(test_reload_keeps_standing),
	    cmocka_unit_test(test_reload_of_since),
	    cmocka_unit_test(test_reload_of_memory),
	    cmocka_unit_test(test_reload_beside_ended),
	    cmocka_unit_test(test_reload_of_trace),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
