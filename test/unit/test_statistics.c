/* SPDX-License-Identifier: BSD-2-Clause */
/* statistics: intervals and tests against values from scipy 1.10 and, for Holm, from R's p.adjust. */
#include "test/unit/unit.h"

#include "campaign/statistics.h"

#define CLOSE 1e-9

static void test_wilson(void **state)
{
	static const struct {
		unsigned passed, count;
		double low, high;
	} rows[] = {
	    {20, 20, 0.8388748419471808, 1},
	    {0, 20, 0, 0.16112515805281935},
	    {7, 20, 0.1811918241010821, 0.5671457233147637},
	    {1, 1, 0.20654931437723745, 1},
	    {650, 1000, 0.619914682506809, 0.6789372899475242},
	    {0, 0, 0, 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct interval got = statistics_wilson((struct passes){rows[i].passed, rows[i].count});

		assert_near(got.low, rows[i].low, CLOSE);
		assert_near(got.high, rows[i].high, CLOSE);
	}
}

static void test_fisher(void **state)
{
	static const struct {
		struct passes a, b;
		double p;
	} rows[] = {
	    {{20, 20}, {15, 20}, 0.047124047124047136},
	    {{20, 20}, {12, 20}, 0.003276003276003276},
	    {{20, 20}, {13, 20}, 0.008316008316008316},
	    {{10, 10}, {3, 10}, 0.0030959752321981426},
	    {{5, 5}, {0, 5}, 0.007936507936507938},
	    {{3, 20}, {9, 20}, 0.08235877701951116},
	    {{0, 10}, {0, 10}, 1},
	    {{700, 1000}, {650, 1000}, 0.019284321614513614},
	    {{1, 1}, {0, 1}, 1},
	    {{0, 0}, {3, 4}, 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_near(statistics_fisher(rows[i].a, rows[i].b), rows[i].p, CLOSE);
}

/* The examples of the manual: with Holm, the smallest p of 12 cells is compared with 5 % / 12. */
static void test_largest_significant(void **state)
{
	(void)state;
	assert_int_equal(statistics_largest_significant((struct passes){20, 20}, 20, 0.05), 15);
	assert_int_equal(statistics_largest_significant((struct passes){20, 20}, 20, 0.05 / 12), 12);
	assert_int_equal(statistics_largest_significant((struct passes){10, 10}, 10, 0.05 / 12), 3);
	assert_int_equal(statistics_largest_significant((struct passes){5, 5}, 5, 0.05 / 12), -1);
	assert_int_equal(statistics_largest_significant((struct passes){0, 20}, 20, 0.05), -1);
}

static void test_cmh(void **state)
{
	static const struct stratum three[] = {
	    {{20, 20}, {17, 20}}, {{15, 20}, {12, 20}}, {{9, 20}, {4, 20}}};
	static const struct stratum equal[] = {{{5, 10}, {5, 10}}};
	static const struct stratum empty[] = {{{0, 0}, {5, 10}}, {{3, 3}, {3, 3}}};
	struct stratum twelve[12];
	int higher;

	(void)state;
	for (size_t i = 0; i < COUNT(twelve); i++)
		twelve[i] = (struct stratum){{14, 20}, {18, 20}};
	assert_near(statistics_cmh(three, COUNT(three), &higher), 0.028508544886184265, CLOSE);
	assert_int_equal(higher, 1);
	assert_near(statistics_cmh(equal, COUNT(equal), &higher), 1, CLOSE);
	assert_int_equal(higher, 0);
	assert_near(statistics_cmh(empty, COUNT(empty), &higher), 1, CLOSE);
	assert_near(statistics_cmh(twelve, COUNT(twelve), &higher), 1.18591566793385e-07, 1e-13);
	assert_int_equal(higher, -1);
}

static void test_mann_whitney(void **state)
{
	static const double few[] = {1.1, 2.2, 3.3, 4.4}, more[] = {2.5, 5.5, 6.6, 7.7, 8.8};
	static const double tied_a[] = {1, 2, 2, 3, 3, 3, 4, 5}, tied_b[] = {2, 3, 4, 4, 5, 5, 6, 6, 7};
	static const double same[] = {4, 4, 4};
	int higher;

	(void)state;
	assert_near(
	    statistics_mann_whitney(few, COUNT(few), more, COUNT(more), &higher), 0.06349206349206349, CLOSE);
	assert_int_equal(higher, -1);
	assert_near(
	    statistics_mann_whitney(more, COUNT(more), few, COUNT(few), &higher), 0.06349206349206349, CLOSE);
	assert_int_equal(higher, 1);
	assert_near(statistics_mann_whitney(tied_a, COUNT(tied_a), tied_b, COUNT(tied_b), &higher),
	    0.03175895714806371, CLOSE);
	assert_near(statistics_mann_whitney(same, COUNT(same), same, COUNT(same), &higher), 1, CLOSE);
	assert_int_equal(higher, 0);
	assert_near(statistics_mann_whitney(few, 0, more, COUNT(more), &higher), 1, CLOSE);
}

/* 49 and 49 values are the most for which the test is exact; scipy's value at U = 820 is expected. */
static void test_mann_whitney_many(void **state)
{
	double a[49], b[49];
	int higher;

	(void)state;
	for (int i = 0; i < 49; i++) {
		a[i] = i;
		b[i] = i + 8.5;
	}
	assert_near(statistics_mann_whitney(a, 49, b, 49, &higher), 0.0065563649835856195, 1e-9);
	assert_int_equal(higher, -1);
}

static void test_sign(void **state)
{
	(void)state;
	assert_near(statistics_sign(1, 9), 0.021484375, CLOSE);
	assert_near(statistics_sign(5, 5), 1, CLOSE);
	assert_near(statistics_sign(0, 6), 0.03125, CLOSE);
	assert_near(statistics_sign(30, 70), 7.85013964559367e-05, CLOSE);
	assert_near(statistics_sign(0, 0), 1, CLOSE);
}

static void test_holm(void **state)
{
	double p[] = {0.01, 0.04, 0.03, 0.005};
	static const double want[] = {0.03, 0.06, 0.06, 0.02};

	(void)state;
	statistics_holm(p, COUNT(p));
	for (size_t i = 0; i < COUNT(p); i++)
		assert_near(p[i], want[i], CLOSE);
	statistics_holm(p, 0);
}

static void test_quantile(void **state)
{
	double values[] = {3, 1, 4, 1, 5, 9, 2, 6}, one[] = {7};

	(void)state;
	assert_near(statistics_quantile(values, COUNT(values), 0.05), 1, CLOSE);
	assert_near(statistics_quantile(values, COUNT(values), 0.5), 3.5, CLOSE);
	assert_near(statistics_quantile(values, COUNT(values), 0.95), 7.95, CLOSE);
	assert_near(statistics_quantile(one, 1, 0.95), 7, CLOSE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wilson),
	    cmocka_unit_test(test_fisher),
	    cmocka_unit_test(test_largest_significant),
	    cmocka_unit_test(test_cmh),
	    cmocka_unit_test(test_mann_whitney),
	    cmocka_unit_test(test_mann_whitney_many),
	    cmocka_unit_test(test_sign),
	    cmocka_unit_test(test_holm),
	    cmocka_unit_test(test_quantile),
	};

	return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
