/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shrink: the smallest set that still fails.
 *
 * Covered: if a failure needs certain things, exactly these are found; if a test has several ways to fail,
 * the result is minimal; and few runs are needed if few things matter.
 */
#include "test/unit/unit.h"

#include "report/shrink.h"

#define THINGS 1000

static size_t shrink_by(const size_t *needed, size_t needed_count, size_t count, bool *in)
{
	struct shrink shrink;
	const bool *tried;
	size_t runs = 0;

	shrink_init(&shrink, count);
	while ((tried = shrink_next(&shrink))) {
		bool failed = true;

		for (size_t i = 0; i < needed_count; i++)
			failed &= tried[needed[i]];
		shrink_answer(&shrink, failed);
		assert_true(++runs < 100000);
	}
	memcpy(in, shrink.in, count);
	shrink_fini(&shrink);
	return runs;
}

static void test_needed(void **state)
{
	static const struct {
		size_t count, needed[4], needed_count, runs_most;
	} rows[] = {
	    {1, {0}, 1, 0},
	    {2, {1}, 1, 2},
	    {3, {0, 1, 2}, 3, 30},
	    {THINGS, {0}, 1, 60},
	    {THINGS, {999}, 1, 60},
	    {THINGS, {0, 999}, 2, 200},
	    {THINGS, {17, 400, 401, 998}, 4, 400},
	};
	bool in[THINGS];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t runs = shrink_by(rows[i].needed, rows[i].needed_count, rows[i].count, in), left = 0;

		for (size_t k = 0; k < rows[i].count; k++)
			left += in[k];
		assert_int_equal(left, rows[i].needed_count);
		for (size_t k = 0; k < rows[i].needed_count; k++)
			assert_true(in[rows[i].needed[k]]);
		if (runs > rows[i].runs_most)
			fail_msg("row %zu took %zu runs", i, runs);
	}
}

/* The test fails with any three things: every set of three is minimal. */
static void test_minimal(void **state)
{
	struct shrink shrink;
	const bool *tried;

	(void)state;
	shrink_init(&shrink, 64);
	while ((tried = shrink_next(&shrink))) {
		size_t there = 0;

		for (size_t i = 0; i < 64; i++)
			there += tried[i];
		shrink_answer(&shrink, there >= 3);
	}
	assert_int_equal(shrink.left, 3);
	shrink_fini(&shrink);
}

static void test_nothing(void **state)
{
	struct shrink shrink;

	(void)state;
	shrink_init(&shrink, 0);
	assert_null(shrink_next(&shrink));
	shrink_fini(&shrink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_needed), cmocka_unit_test(test_minimal), cmocka_unit_test(test_nothing)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
