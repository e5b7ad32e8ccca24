/* SPDX-License-Identifier: BSD-2-Clause */
/* stamps: datagrams keep their time when the wall clock steps between their receipt and their reading. */
#include "test/unit/unit.h"

#include "proxy/relay/stamps.h"

#define WALL (1764000000 * NS_S)
#define START (5000 * NS_S)
#define AGE (3 * NS_MS) /* how long a datagram waited to be read */

static void test_no_step(void **state)
{
	struct stamps stamps = {0};

	(void)state;
	for (ns_t t = 0; t < 100 * NS_MS; t += 10 * NS_MS) {
		stamps_round(&stamps, START + t, WALL + t + (t / 7) % 100, START + t);
		assert_in_range(
		    stamps_time(&stamps, WALL + t - AGE, START + t), START + t - AGE - 100, START + t - AGE);
		assert_int_equal(stamps_time(&stamps, WALL + t + 1000, START + t), START + t);
	}
}

/* The wall clock steps by `step` between two rounds; datagrams read in the second came before or after it. */
static void check_step(ns_t step)
{
	struct stamps stamps = {0};
	ns_t now = START + 10 * NS_MS, received = now - AGE;

	stamps_round(&stamps, START, WALL, START);
	stamps_round(&stamps, START + 5 * NS_S, WALL + 5 * NS_S, START + 5 * NS_S);
	now += 5 * NS_S;
	received += 5 * NS_S;
	stamps_round(&stamps, now, now - START + WALL + step, now);
	assert_int_equal(stamps_time(&stamps, received - START + WALL, now), received);
	assert_int_equal(stamps_time(&stamps, received - START + WALL + step, now), received);
	/* A datagram that has waited for long is read in a later round. */
	now += NS_S;
	stamps_round(&stamps, now, now - START + WALL + step, now);
	assert_int_equal(stamps_time(&stamps, received - START + WALL, now), received);
	now += STAMPS_STEP_MEMORY;
	stamps_round(&stamps, now, now - START + WALL + step, now);
	assert_false(stamps.has_stepped);
	assert_int_equal(stamps_time(&stamps, now - AGE - START + WALL + step, now), now - AGE);
}

static void test_steps(void **state)
{
	static const ns_t steps[] = {3 * NS_S, 60 * NS_S, 3600 * NS_S, 400 * 86400 * NS_S};

	(void)state;
	for (size_t i = 0; i < COUNT(steps); i++) {
		check_step(steps[i]);
		check_step(-steps[i]);
	}
}

/* If a thread loses its core between the readings, no step is detected, and they are ignored. */
static void test_lost_core(void **state)
{
	struct stamps stamps = {0};
	ns_t now = START;

	(void)state;
	stamps_round(&stamps, now, WALL, now);
	for (int i = 0; i < 10; i++) {
		now += 10 * NS_MS;
		stamps_round(&stamps, now - 7 * NS_MS, now - 7 * NS_MS - START + WALL, now);
		assert_false(stamps.has_stepped);
		assert_int_equal(stamps_time(&stamps, now - 5 * NS_MS - START + WALL, now), now - 5 * NS_MS);
	}
}

/* A clock that is slewed by a twelfth has not stepped, even if the relay was idle for long. */
static void test_slewing(void **state)
{
	struct stamps stamps = {0};

	(void)state;
	for (ns_t t = 0; t < 100 * NS_S; t += 10 * NS_S) {
		stamps_round(&stamps, START + t, WALL + t + t / 12, START + t);
		assert_false(stamps.has_stepped);
	}
}

/* If the program's clocks are faked, timestamps are not: each datagram counts as just received. */
static void test_another_clock(void **state)
{
	struct stamps stamps = {0};

	(void)state;
	stamps_round(&stamps, START, WALL, START);
	stamps_round(&stamps, START + 10 * NS_S, WALL + 10 * NS_S, START + 10 * NS_S);
	assert_int_equal(stamps_time(&stamps, WALL - 3600 * NS_S, START), START);
	assert_int_equal(stamps_time(&stamps, WALL + 3600 * NS_S, START), START);
	assert_int_equal(stamps_time(&stamps, 1, START), START);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_step),
	    cmocka_unit_test(test_steps),
	    cmocka_unit_test(test_lost_core),
	    cmocka_unit_test(test_slewing),
	    cmocka_unit_test(test_another_clock),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
