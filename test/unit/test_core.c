/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core: accounting through the core's own calls, in virtual time.
 *
 * Covered: overload; lateness and delays; copies' numbers; order = keep beside rules; what waits when the end
 * comes.
 */
#include "base/pool.h"
#include "test/unit/stage.h"

/* ---- Overload ---- */

static void test_overload(void **state)
{
	struct stage stage = {.limits = {.seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 9}};
	struct verdict verdict;

	(void)state;
	stage.limits.max_queued = pool_weight(60) + pool_weight(40); /* their memory, not their payload */
	stage_open(&stage, "[link default]\nlatency = 1s\n[rule all]\ndo = note\nlimit = 0\n");
	assert_int_equal(arrive(&stage, 1, WAY_UP, 60, 0).reason, REASON_NONE);
	assert_int_equal(arrive(&stage, 2, WAY_DOWN, 40, 0).reason, REASON_NONE);
	assert_int_equal(core_queued_bytes(stage.core), stage.limits.max_queued);
	verdict = arrive(&stage, 1, WAY_UP, 1, NS_MS);
	assert_int_equal(verdict.reason, REASON_OVERLOAD);
	assert_int_equal(verdict.session, 1);
	assert_int_equal(verdict.n, 2);
	assert_int_equal(verdict.by_count, 0);
	/* Overload is checked before all else: no rule has seen the datagram. */
	assert_int_equal(core_rule(stage.core, 0)->matched, 2);
	stage_advance(&stage, NS_S);
	assert_int_equal(core_queued_bytes(stage.core), 0);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 100, NS_S).reason, REASON_NONE);
	stage_advance(&stage, 3 * NS_S);
	stage_close(&stage);
}

/* A copy for which there is no room is reported as unsent; its original goes on. */
static void test_overload_of_copies(void **state)
{
	struct stage stage = {.limits = {.seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 9}};

	(void)state;
	stage.limits.max_queued = pool_weight(60) + pool_weight(60) / 2;
	stage_open(&stage, "[link default]\nlatency = 1s\n[rule all]\ndo = duplicate\n");
	session_of(&stage, 1, 4000, 0);
	stage_outcomes(&stage);
	transcript_clear(&stage);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 60, 0).copies, 1);
	stage_advance(&stage, NS_S);
	assert_said(&stage, "0 s=1 up n=1 copy=1 of=duplicate overload\n1000 s=1 up n=1 sent\n");
	stage_close(&stage);
}

/* ---- Lateness and delays ---- */

static void test_lateness(void **state)
{
	struct stage stage = {0};
	const struct buckets *lateness;

	(void)state;
	stage_open(&stage, "[link default]\nlatency = 20ms\n");
	lateness = core_lateness(stage.core);
	assert_int_equal(buckets_percentile(lateness, 0.5), 0);
	for (int i = 0; i < 100; i++) {
		stage.late = (i < 98 ? 30 : i == 98 ? 500 : 900) * NS_US;
		arrive(&stage, 1, WAY_UP, 10, i * NS_S);
		stage_advance(&stage, i * NS_S + 20 * NS_MS);
	}
	assert_int_equal(lateness->count, 100);
	/* Buckets are at most 1/32 of their value wide. */
	assert_near((double)buckets_percentile(lateness, 0.5), 30e3, 30e3 / 32);
	assert_near((double)buckets_percentile(lateness, 0.99), 500e3, 500e3 / 32);
	assert_int_equal(lateness->greatest, 900 * NS_US);
	stage_close(&stage);
}

static void test_delays(void **state)
{
	struct stage stage = {0};
	struct session *session;
	const struct session_way *up;

	(void)state;
	stage_open(&stage,
	    "[rule late]\nsize = 100-\ndo = delay 40ms\n[rule twice]\nsize = 100\ndo = duplicate 3\n");
	session = session_of(&stage, 1, 4000, 0);
	up = &session->ways[WAY_UP];
	arrive(&stage, 1, WAY_UP, 10, 0);
	assert_null(up->delays); /* nothing was ever delayed */
	arrive(&stage, 1, WAY_UP, 100, NS_MS);
	stage_advance(&stage, NS_S);
	assert_int_equal(up->delays->count, 1); /* without the copies */
	for (int i = 0; i < 3; i++)
		arrive(&stage, 1, WAY_UP, 10, 2 * NS_S);
	assert_int_equal(up->delays->count, 4);
	assert_int_equal(buckets_percentile(up->delays, 0.5), 0);
	assert_int_equal(buckets_percentile(up->delays, 1), 40 * NS_MS);
	assert_null(session->ways[WAY_DOWN].delays);
	assert_int_equal(up->tally.reordered, 0);
	/* A datagram that leaves after a later one counts as reordered. */
	arrive(&stage, 1, WAY_UP, 101, 3 * NS_S);
	arrive(&stage, 1, WAY_UP, 10, 3 * NS_S);
	stage_advance(&stage, 4 * NS_S);
	assert_int_equal(up->tally.reordered, 1);
	stage_close(&stage);
}

/* ---- Copies ---- */

static void test_copy_numbers(void **state)
{
	struct stage stage = {0};
	struct verdict verdict;

	(void)state;
	stage_open(&stage,
	    "[link default]\nduplicate = 100%\n"
	    "[rule many]\nsize = 8\ndo = duplicate 2\ndo = decoy\ndo = inject aabb\n[rule again]\nsize = 9\n"
	    "do = replay 1\n[rule again2]\nsize = 10\ndo = replay 2\ndo = replay 2\n");
	session_of(&stage, 1, 4000, 0);
	stage_outcomes(&stage);
	transcript_clear(&stage);
	verdict = arrive(&stage, 1, WAY_UP, 8, 0);
	assert_int_equal(verdict.copies, 5);
	/* A decoy goes ahead of its original; the link's own copy is made last. */
	assert_said(&stage,
	    "0 s=1 up n=1 copy=3 of=decoy sent\n0 s=1 up n=1 sent\n0 s=1 up n=1 copy=5 of=link sent\n"
	    "0 s=1 up n=1 copy=1 of=duplicate sent\n0 s=1 up n=1 copy=2 of=duplicate sent\n"
	    "0 s=1 up n=1 copy=4 of=inject sent\n");
	/* Replays continue the numbers of the datagram's copies, over several datagrams. */
	assert_int_equal(arrive(&stage, 1, WAY_UP, 9, NS_MS).copies, 2);
	assert_said(&stage,
	    "1 s=1 up n=2 sent\n1 s=1 up n=2 copy=2 of=link sent\n1 s=1 up n=1 copy=6 of=replay sent\n");
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 2 * NS_MS).copies, 3);
	assert_said(&stage, "2 s=1 up n=3 sent\n2 s=1 up n=3 copy=3 of=link sent\n"
	                    "2 s=1 up n=1 copy=7 of=replay sent\n2 s=1 up n=1 copy=8 of=replay sent\n");
	assert_int_equal(core_oldest(stage.core)->ways[WAY_UP].tally.copies, 10);
	assert_int_equal(core_oldest(stage.core)->ways[WAY_UP].tally.sent, 13);
	stage.left = 3;
	stage_close(&stage);
}

/* Each copy has draws of its own, the same ones in each run. */
static void test_copy_draws(void **state)
{
	uint64_t fates[2][3] = {{0}};

	(void)state;
	for (int round = 0; round < 2; round++) {
		struct stage stage = {0};

		stage_open(&stage, LOSSY "[rule more]\ndo = duplicate 2\n");
		session_of(&stage, 1, 4000, 0);
		for (unsigned i = 0; i < DRAWS; i++) {
			stage_outcomes(&stage);
			transcript_clear(&stage);
			if (arrive(&stage, 1, WAY_UP, 10, 0).reason)
				fates[round][0] |= UINT64_C(1) << (DRAWS - 1 - i);
			for (unsigned k = 1; k <= 2; k++)
				if (strstr(stage.text.at,
				        k == 1 ? "copy=1 of=duplicate loss" : "copy=2 of=duplicate loss"))
					fates[round][k] |= UINT64_C(1) << (DRAWS - 1 - i);
		}
		stage_close(&stage);
	}
	assert_memory_equal(fates[0], fates[1], sizeof(fates[0]));
	assert_true(fates[0][0] != fates[0][1] && fates[0][1] != fates[0][2] && fates[0][0] != fates[0][2]);
	assert_true(fates[0][0] == draws_of(LOSSY, 0, 1, 4000, 1)); /* the original's draws are unchanged */
}

/* ---- order = keep ---- */

static void test_order_beside_rules(void **state)
{
	static const struct {
		const char *ini, *want;
	} tables[] = {
	    /* later datagrams do not wait for one that a rule delays */
	    {"[link default]\nlatency = 10ms\n[rule a]\nsize = 1\ndo = delay 50ms\n",
	        "11 s=1 up n=2 sent\n12 s=1 up n=3 sent\n60 s=1 up n=1 sent\n"},
	    /* nor for one that it holds */
	    {"[link default]\nlatency = 10ms\n[rule a]\nsize = 1\ndo = hold 2\n",
	        "11 s=1 up n=2 sent\n12 s=1 up n=3 sent\n12 s=1 up n=1 sent\n"},
	    /* nor for a copy, which enters later */
	    {"[link default]\nlatency = 10ms\n[rule a]\nsize = 1\ndo = duplicate 1 1500us\n",
	        "10 s=1 up n=1 sent\n11 s=1 up n=2 sent\n11.5 s=1 up n=1 copy=1 of=duplicate sent\n12 s=1 up "
	        "n=3 sent\n"},
	    /* nor for one that the link itself holds back */
	    {"[link default]\nlatency = 10ms\n[link odd]\nlatency = 10ms\nreorder = 100%\nreorder_by = 5ms\n"
	     "[rule a]\nsize = 1\ndo = link odd\n[rule b]\nsize = 2\ndo = link default\n",
	        "0 s=1 link odd by=rule:a\n1 s=1 link default by=rule:b\n11 s=1 up n=2 sent\n12 s=1 up n=3 "
	        "sent\n15 s=1 up n=1 sent\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct stage stage = {0};

		stage_open(&stage, tables[i].ini);
		session_of(&stage, 1, 4000, 0);
		stage_outcomes(&stage);
		transcript_clear(&stage);
		for (size_t size = 1; size <= 3; size++)
			arrive(&stage, 1, WAY_UP, size, (ns_t)(size - 1) * NS_MS);
		stage_advance(&stage, NS_S);
		assert_said(&stage, tables[i].want);
		stage_close(&stage);
	}
}

/* Apart from the rule's delay, no datagram leaves the link before an earlier one. */
static void test_order_of_jitter(void **state)
{
	struct stage stage = {0};
	ns_t last = 0;

	(void)state;
	stage_open(&stage, "[link default]\nlatency = 20ms\njitter = 20ms\nduplicate = 30%\n[rule a]\nsize = "
	                   "1\ndo = delay 10ms\n");
	for (int i = 0; i < 500; i++) {
		struct verdict verdict = arrive(&stage, 1, WAY_UP, i % 3 == 0, i * NS_MS);
		ns_t due = i * NS_MS + verdict.delay - (i % 3 ? 0 : 10 * NS_MS);

		assert_true(due >= last);
		last = due;
	}
	stage_advance(&stage, 2 * NS_S);
	stage_close(&stage);
}

/* ---- Groups that lose a member ---- */

static void test_group_with_a_dead_member(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[rule group]\ndo = permute 2 1\n[rule dead]\nsize = 1\ndo = drop\n");
	session_of(&stage, 1, 4000, 0);
	stage_outcomes(&stage);
	transcript_clear(&stage);
	/* The first of two is dropped: the second completes the group. */
	arrive(&stage, 1, WAY_UP, 1, 0);
	arrive(&stage, 1, WAY_UP, 2, NS_MS);
	assert_said(&stage, "1 s=1 up n=2 sent\n");
	/* The last one is dropped: it completes the group all the same. */
	arrive(&stage, 1, WAY_UP, 2, 2 * NS_MS);
	arrive(&stage, 1, WAY_UP, 1, 3 * NS_MS);
	assert_said(&stage, "3 s=1 up n=3 sent\n");
	/* The group does not overflow, however many members are dropped. */
	for (int i = 0; i < 40; i++)
		arrive(&stage, 1, WAY_UP, 1, 4 * NS_MS);
	arrive(&stage, 1, WAY_UP, 2, 5 * NS_MS);
	arrive(&stage, 1, WAY_UP, 2, 6 * NS_MS);
	assert_said(&stage, "6 s=1 up n=46 sent\n6 s=1 up n=45 sent\n");
	stage_close(&stage);
}

/* A joint datagram that is lost is due 10 ms after its first part arrived, and each part counts. */
static void test_joint_that_dies(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, "[link default]\nloss = 100%\n[rule all]\ndo = pack 10ms\n");
	session_of(&stage, 1, 4000, 0);
	stage_outcomes(&stage);
	transcript_clear(&stage);
	arrive(&stage, 1, WAY_UP, 7, 5 * NS_MS);
	arrive(&stage, 1, WAY_UP, 8, 6 * NS_MS);
	stage_advance(&stage, NS_S);
	assert_said(&stage, "15 s=1 up n=1 parts=2 loss\n");
	assert_int_equal(core_oldest(stage.core)->ways[WAY_UP].extra->dropped[REASON_LOSS], 2);
	stage_close(&stage);
}

/* ---- Freeing a core while something waits ---- */

static void test_free_in_the_middle(void **state)
{
	static const char *const inis[] = {
	    "[link default]\nlatency = 1s\n[rule a]\ndo = duplicate 2 10ms\n",
	    "[rule a]\ndo = permute 3 2 1\ndo = duplicate\n",
	    "[rule a]\ndo = duplicate\ndo = hold 5\n",
	    "[rule a]\ndo = duplicate 1 5ms\ndo = pack 1s\n",
	    "[rule a]\nnth = 1\ndo = blackout 1s hold\n[rule b]\ndo = duplicate\n",
	    "[rule a]\nnth = 1\ndo = blackout 1s hold\n[rule b]\ndo = pack 1ms\n",
	    "[link default]\nwake_after = 1ms\ndown.wake_delay = next-up\n[rule b]\ndo = pack 1ms\ndo = "
	    "duplicate\n",
	    "[link default]\nloss = 50%\nloss_at = exit\nrate = 9kbit\n[rule a]\nnth = 1\ndo = blackout 1s "
	    "hold\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(inis); i++)
		for (int end = 0; end < 2; end++) {
			struct stage stage = {0};

			stage_open(&stage, inis[i]);
			for (int k = 0; k < 5; k++)
				arrive(&stage, 1, k % 2 ? WAY_UP : WAY_DOWN, 10, 0);
			stage_advance(&stage, end * 5 * NS_MS);
			core_free(stage.core);
			given_close(&stage.given);
			names_free(stage.names);
			text_free(&stage.text);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_overload),
	    cmocka_unit_test(test_overload_of_copies),
	    cmocka_unit_test(test_lateness),
	    cmocka_unit_test(test_delays),
	    cmocka_unit_test(test_copy_numbers),
	    cmocka_unit_test(test_copy_draws),
	    cmocka_unit_test(test_order_beside_rules),
	    cmocka_unit_test(test_order_of_jitter),
	    cmocka_unit_test(test_group_with_a_dead_member),
	    cmocka_unit_test(test_joint_that_dies),
	    cmocka_unit_test(test_free_in_the_middle),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
