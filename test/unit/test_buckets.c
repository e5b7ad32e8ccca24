/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buckets: percentiles are within half a bucket of the exact ones, the greatest value is exact, merging adds
 * the counts.
 */
#include "test/unit/unit.h"

#include "base/buckets.h"
#include "base/chance.h"

static struct buckets buckets, other;

static int clear(void **state)
{
	(void)state;
	buckets = other = (struct buckets){0};
	return 0;
}

static void test_empty(void **state)
{
	(void)state;
	assert_int_equal(buckets_percentile(&buckets, 0.5), 0);
	assert_int_equal(buckets.greatest, 0);
}

/* Below 32 ns each value has a bucket of its own; a negative one counts as 0. */
static void test_small(void **state)
{
	(void)state;
	for (ns_t value = 0; value < 32; value++) {
		clear(state);
		buckets_add(&buckets, value);
		buckets_add(&buckets, 1000);
		assert_int_equal(buckets_percentile(&buckets, 0.5), value);
	}
	clear(state);
	buckets_add(&buckets, -5);
	assert_int_equal(buckets.count, 1);
	assert_int_equal(buckets.greatest, 0);
	assert_int_equal(buckets_percentile(&buckets, 1), 0);
}

/* Any single value comes back as the top of its bucket: at most 1/32 above, never below, never above the
 * greatest. */
static void test_width(void **state)
{
	(void)state;
	for (double value = 1; value < 1e14; value *= 1.01) {
		ns_t exact = (ns_t)value, got;

		clear(state);
		buckets_add(&buckets, exact);
		assert_int_equal(buckets.greatest, exact);
		assert_true(buckets_percentile(&buckets, 1) <= exact);
		buckets_add(&buckets, INT64_MAX);
		got = buckets_percentile(&buckets, 0.5);
		assert_true(got >= exact);
		assert_true((double)got <= (double)exact * 33 / 32);
	}
}

static void test_percentiles(void **state)
{
	enum { MANY = 100000 };
	static const double shares[] = {0.5, 0.9, 0.99, 0.999};
	static double values[MANY];

	(void)state;
	for (uint64_t i = 0; i < MANY; i++) {
		values[i] = floor(exp(25 * chance_unit((struct draw){chance_mix(i)}, 0)));
		buckets_add(&buckets, (ns_t)values[i]);
	}
	qsort(values, MANY, sizeof(*values), by_value);
	for (size_t i = 0; i < COUNT(shares); i++) {
		double exact = values[(size_t)ceil(shares[i] * MANY) - 1];

		assert_near((double)buckets_percentile(&buckets, shares[i]), exact, exact / 64 + 0.5);
	}
	/* The 100 % percentile is the greatest value, within a bucket's width. */
	assert_near((double)buckets_percentile(&buckets, 1), values[MANY - 1], values[MANY - 1] / 32);
	assert_true(buckets_percentile(&buckets, 0) <= buckets_percentile(&buckets, 0.5));
}

/* The counts add up, including those of values past the last bucket. */
static void test_join(void **state)
{
	uint64_t sum = 0;

	(void)state;
	for (ns_t value = 1; value > 0 && value < INT64_MAX / 3; value *= 3) {
		buckets_add(&buckets, value);
		buckets_add(&other, 2 * value);
	}
	buckets_add(&other, INT64_MAX);
	buckets_merge(&buckets, &other);
	for (unsigned i = 0; i < BUCKETS_COUNT; i++)
		sum += buckets.in[i];
	assert_int_equal(sum, buckets.count);
	assert_true(buckets.greatest == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_empty, clear),
	    cmocka_unit_test_setup(test_small, clear),
	    cmocka_unit_test_setup(test_width, clear),
	    cmocka_unit_test_setup(test_percentiles, clear),
	    cmocka_unit_test_setup(test_join, clear),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
