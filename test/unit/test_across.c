/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * across: rules that look beyond one datagram or one session: expect … each, standing actions of scope = all,
 * since.
 */
#include "test/unit/stage.h"

/* ---- expect … each ---- */

static void assert_failures(const struct stage *stage, const struct each_failure *want, size_t count)
{
	struct each_failure got[8];

	assert_int_equal(core_each_failures(stage->core, got, COUNT(got)), count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(got[i].rule, want[i].rule);
		assert_int_equal(got[i].session, want[i].session);
		assert_int_equal(got[i].got, want[i].got);
	}
}

static void test_each(void **state)
{
	static const struct each_failure want[] = {{1, 1, 0}, {1, 2, 3}, {1, 4, 0}};
	struct stage stage = {
	    .limits = {.seed = 1, .idle_timeout = NS_S, .max_sessions = 9, .max_queued = 1 << 20}};
	struct each_failure one;

	(void)state;
	stage_open(&stage, "[device a]\naddress = 10.0.0.0/29\n[rule other]\ndo = note\nexpect = 99-\n"
	                   "[rule twice]\ndevice = a\nsize = 7\nexpect = 1-2 each\ndo = note\n"
	                   "[rule again]\nsince = other\nsize = 7\nexpect = 0- each\ndo = note\n");
	arrive(&stage, 1, WAY_UP, 6, 0); /* the rule never fires in this session, which ends */
	stage_advance(&stage, 2 * NS_S);
	assert_int_equal(core_session_count(stage.core), 0);
	for (int i = 0; i < 3; i++)
		arrive(&stage, 2, WAY_UP, 7, 2 * NS_S);
	arrive(&stage, 3, WAY_UP, 7, 2 * NS_S);
	arrive(&stage, 4, WAY_UP, 6, 2 * NS_S);
	arrive(&stage, 9, WAY_UP, 6, 2 * NS_S); /* not of [device a]: nothing is expected of it */
	assert_failures(&stage, want, COUNT(want));
	assert_failures(&stage, want, COUNT(want)); /* reading them changes nothing */
	assert_int_equal(core_each_failures(stage.core, &one, 1), COUNT(want)); /* counts all of them */
	arrive(&stage, 4, WAY_UP, 7, 2 * NS_S);
	assert_failures(&stage, want, 2);
	stage_close(&stage);
}

/* A rule with scope = all fires for the sessions that it acts on. */
static void test_each_of_all(void **state)
{
	static const struct each_failure want[] = {{0, 2, 0}};
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule tick]\nscope = all\nat = 1s\nexpect = 1 each\ndo = note\n");
	arrive(&stage, 1, WAY_UP, 6, 0);
	stage_advance(&stage, 2 * NS_S);
	arrive(&stage, 2, WAY_UP, 6, 2 * NS_S);
	assert_failures(&stage, want, COUNT(want));
	stage_close(&stage);
}

/* ---- scope = all ---- */

static void test_standing(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[device a]\naddress = 10.0.0.1, 10.0.0.2\n[device b]\n[link default]\n[link "
	                   "slow]\nlatency = 9ms\n"
	                   "[rule dark]\nscope = all\ndevice = a\nat = 10ms\ndo = blackout 100ms up\n"
	                   "[rule move]\nscope = all\nsize = 7\ndo = link slow\n");
	arrive(&stage, 1, WAY_UP, 10, 0);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 20 * NS_MS).reason, REASON_BLACKOUT);
	transcript_clear(&stage);
	/* A session that opens during the blackout is in it for the rest, if the rule names its [device]. */
	assert_int_equal(arrive(&stage, 2, WAY_UP, 10, 50 * NS_MS).reason, REASON_BLACKOUT);
	assert_said(&stage, "50 s=2 session-begins device=10.0.0.2:4000 dev=a link=default\n"
	                    "50 s=2 blackout-begins 60ms up by=rule:dark\n");
	assert_int_equal(arrive(&stage, 2, WAY_DOWN, 10, 50 * NS_MS).reason, REASON_NONE);
	assert_int_equal(arrive(&stage, 3, WAY_UP, 10, 50 * NS_MS).reason, REASON_NONE);
	assert_int_equal(arrive(&stage, 2, WAY_UP, 10, 110 * NS_MS).reason, REASON_NONE);
	/* The rule fires in one session and acts on all of them, later ones included. */
	assert_int_equal(arrive(&stage, 3, WAY_UP, 7, 111 * NS_MS).delay, 9 * NS_MS);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 112 * NS_MS).delay, 9 * NS_MS);
	assert_int_equal(arrive(&stage, 4, WAY_UP, 10, 113 * NS_MS).delay, 9 * NS_MS);
	stage_advance(&stage, NS_S);
	stage_close(&stage);
}

/* nth, limit and times count over all sessions, from the proxy's start. */
static void test_scope_all_counts(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule third]\nscope = all\nnth = every 3\nlimit = 2\ndirection = up\ndo = drop\n"
	                   "[rule early]\nscope = all\nuntil = 50ms\ndirection = down\ndo = drop\n");
	for (unsigned i = 1; i <= 12; i++)
		assert_int_equal(arrive(&stage, i % 4 + 1, WAY_UP, 10, 0).reason,
		    i == 3 || i == 6 ? REASON_RULE : REASON_NONE);
	assert_int_equal(arrive(&stage, 1, WAY_DOWN, 10, 49 * NS_MS).reason, REASON_RULE);
	assert_int_equal(arrive(&stage, 9, WAY_DOWN, 10, 50 * NS_MS).reason, REASON_NONE);
	stage_close(&stage);
}

/* ---- since ---- */

static void test_since_across_rules(void **state)
{
	/* A datagram's size and its fate: a starts b, b starts c; each firing restarts the counts. */
	static const struct {
		size_t size;
		enum reason reason;
	} steps[] = {
	    {2, REASON_NONE},
	    {3, REASON_NONE}, /* neither b nor c has started */
	    {1, REASON_NONE}, /* a fires */
	    {2, REASON_NONE},
	    {2, REASON_RULE}, /* b has counted two: it fires, and starts c */
	    {3, REASON_NONE},
	    {3, REASON_RULE}, /* c has counted two */
	    {3, REASON_NONE},
	    {2, REASON_NONE}, /* nth = 2 is past */
	    {1, REASON_NONE},
	    {2, REASON_NONE}, /* a fired again: b's count restarted, … */
	    {1, REASON_NONE},
	    {2, REASON_NONE},
	    {2, REASON_RULE}, /* … restarted once more, and has reached two */
	    {3, REASON_NONE},
	    {3, REASON_RULE},
	};
	struct stage stage = {0};

	(void)state;
	stage_open(&stage,
	    "[rule c]\nsince = b\nsize = 3\nnth = 2\ndo = drop\n[rule b]\nsince = a\nsize = 2\nnth = 2\n"
	    "do = drop\n[rule a]\nsize = 1\ndo = note\n");
	for (size_t i = 0; i < COUNT(steps); i++)
		assert_int_equal(
		    arrive(&stage, 1, WAY_UP, steps[i].size, (ns_t)i * NS_MS).reason, steps[i].reason);
	/* Another session has counts of its own. */
	assert_int_equal(arrive(&stage, 2, WAY_UP, 2, 0).reason, REASON_NONE);
	assert_int_equal(arrive(&stage, 2, WAY_UP, 2, 0).reason, REASON_NONE);
	stage_close(&stage);
}

/* The datagram that fires rule a does not count for rule b, whichever comes first in the file. */
static void test_since_begins_with_the_next(void **state)
{
	static const char *const inis[] = {
	    "[rule a]\nnth = 1\ndo = note\n[rule b]\nsince = a\nnth = 1\ndo = drop\n",
	    "[rule b]\nsince = a\nnth = 1\ndo = drop\n[rule a]\nnth = 1\ndo = note\n"};

	(void)state;
	for (size_t i = 0; i < COUNT(inis); i++) {
		struct stage stage = {0};

		stage_open(&stage, inis[i]);
		assert_int_equal(arrive(&stage, 1, WAY_UP, 5, 0).reason, REASON_NONE);
		assert_int_equal(arrive(&stage, 1, WAY_UP, 5, 0).reason, REASON_RULE);
		assert_int_equal(arrive(&stage, 1, WAY_UP, 5, 0).reason, REASON_NONE);
		stage_close(&stage);
	}
}

/* With scope = all, `since` means that the rule fired in any session, and time runs from then. */
static void test_since_in_any_session(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage,
	    "[rule go]\nsize = 1\ndo = note\n[rule then]\nscope = all\nsince = go\nafter = 10ms\nnth = 1\n"
	    "do = drop\n[rule tick]\nscope = all\nsince = go\nat = 5ms\ndo = note\n");
	arrive(&stage, 1, WAY_UP, 9, 0);
	arrive(&stage, 2, WAY_UP, 1, 100 * NS_MS);
	transcript_clear(&stage);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 9, 109 * NS_MS).reason, REASON_NONE);
	assert_said(&stage, "105 note by=rule:tick\n109 s=1 up n=2 sent\n");
	assert_int_equal(arrive(&stage, 3, WAY_UP, 9, 110 * NS_MS).reason, REASON_RULE);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 9, 111 * NS_MS).reason, REASON_NONE);
	stage_close(&stage);
}

/* `after` counts from the beginning of the session or, with scope = all, of the run. */
static void test_age(void **state)
{
	static const struct {
		const char *scope;
		enum reason young;
	} rows[] = {{"session", REASON_NONE}, {"all", REASON_RULE}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct stage stage = {0};
		char ini[80];

		snprintf(
		    ini, sizeof(ini), "[rule late]\nscope = %s\nafter = 10ms\ndo = drop\n", rows[i].scope);
		stage_open(&stage, ini);
		assert_int_equal(arrive(&stage, 1, WAY_UP, 5, 9 * NS_MS).reason, REASON_NONE);
		assert_int_equal(arrive(&stage, 2, WAY_UP, 5, 15 * NS_MS).reason, rows[i].young);
		assert_int_equal(arrive(&stage, 2, WAY_UP, 5, 25 * NS_MS).reason, REASON_RULE);
		stage_close(&stage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each),
	    cmocka_unit_test(test_each_of_all),
	    cmocka_unit_test(test_standing),
	    cmocka_unit_test(test_scope_all_counts),
	    cmocka_unit_test(test_since_across_rules),
	    cmocka_unit_test(test_since_begins_with_the_next),
	    cmocka_unit_test(test_since_in_any_session),
	    cmocka_unit_test(test_age),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
