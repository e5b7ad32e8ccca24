/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dist: distributions of jitter against theory, over many draws of a fixed seed.
 *
 * Covered: each distribution's shape (Kolmogorov and Smirnov), mean and deviation; pareto by quantiles, since
 * its higher moments are infinite; that shares and scores lead to the same deviate; tables of iproute2.
 */
#include <glob.h>
#include "test/unit/unit.h"

#include "base/chance.h"
#include "rules/dist.h"

#define MANY 1000000u

static double values[MANY];
static struct arena *arena;

static int arena_make(void **state)
{
	(void)state;
	arena = arena_new();
	return 0;
}

static int arena_end(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static struct draw draw_of(uint64_t i)
{
	return chance_draw(0xd157, 0, i, 0);
}

static void draw_all(const struct dist *dist)
{
	for (uint32_t i = 0; i < MANY; i++)
		values[i] = dist_at_share(dist, chance_unit(draw_of(i), 0));
}

static void moments(double *mean, double *deviation)
{
	double sum = 0, squares = 0;

	for (uint32_t i = 0; i < MANY; i++)
		sum += values[i];
	*mean = sum / MANY;
	for (uint32_t i = 0; i < MANY; i++)
		squares += (values[i] - *mean) * (values[i] - *mean);
	*deviation = sqrt(squares / MANY);
}

/* The distribution functions, written independently of the code under test. */

static double uniform_below(double x)
{
	return fmin(fmax((x + 1) / 2, 0), 1);
}

static double normal_below(double x)
{
	return 0.5 * erfc(-x / sqrt(2));
}

/* The shape is 3, the minimum 1, so the mean is 3/2 and the variance 3/4. */
static double pareto_below(double x)
{
	double value = 1.5 + x * sqrt(0.75);

	return value <= 1 ? 0 : 1 - 1 / (value * value * value);
}

static double lognormal_below(double x)
{
	/* With mean 100 and deviation 60, the variance of the logarithm is ln(1 + 0.36). */
	double variance = log(1.36);

	return x <= 0 ? 0 : normal_below((log(x) - log(100) + variance / 2) / sqrt(variance));
}

/* 0.5 % of the deviation is 5 standard errors of a mean, and 7 of a normal's deviation. */
static void test_uniform(void **state)
{
	struct dist dist;
	double mean, deviation;

	(void)state;
	dist_init(&dist, DIST_UNIFORM, arena);
	draw_all(&dist);
	moments(&mean, &deviation);
	assert_near(mean, 0, 0.005);
	assert_near(deviation, 1 / sqrt(3), 0.005 / sqrt(3));
	assert_below(ks_distance(values, MANY, uniform_below), ks_bound(MANY));
	assert_true(values[0] >= -1 && values[MANY - 1] <= 1);
}

static void test_normal(void **state)
{
	struct dist dist;
	double mean, deviation;

	(void)state;
	dist_init(&dist, DIST_NORMAL, arena);
	draw_all(&dist);
	moments(&mean, &deviation);
	assert_near(mean, 0, 0.005);
	assert_near(deviation, 1, 0.005);
	assert_below(ks_distance(values, MANY, normal_below), ks_bound(MANY));
}

static void test_pareto(void **state)
{
	static const double shares[] = {1e-9, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999, 0.999999};
	struct dist dist;
	double mean, deviation;

	(void)state;
	dist_init(&dist, DIST_PARETO, arena);
	draw_all(&dist);
	moments(&mean, &deviation);
	/* Its deviation is 1, so the mean is as reliable as any; the sample's deviation is not. */
	assert_near(mean, 0, 0.005);
	assert_below(ks_distance(values, MANY, pareto_below), ks_bound(MANY));
	for (size_t i = 0; i < COUNT(shares); i++)
		assert_near(
		    dist_at_share(&dist, shares[i]), (pow(1 - shares[i], -1.0 / 3) - 1.5) / sqrt(0.75), 1e-6);
	assert_near(values[0], -0.5 / sqrt(0.75), 1e-6);
}

/* Returns the share of ¼ normal + ¾ pareto (scaled to deviation 1) below x, by Simpson's rule over the
 * pareto's own share; the code under test sums over the normal instead. */
static double paretonormal_below(double x)
{
	enum { STEPS = 20000 };
	const double value = x * sqrt(1 / 16.0 + 9 / 16.0);
	double sum = 0;

	/* The sum runs over the cube root of the upper share, which is 1 / the pareto's value and keeps the
	 * far tail smooth. */
	for (int i = 0; i <= STEPS; i++) {
		double root = fmax((double)i / STEPS, 1e-9);
		double pareto = (1 / root - 1.5) / sqrt(0.75);
		double below = normal_below((value - 0.75 * pareto) / 0.25);

		sum += below * 3 * root * root * (i == 0 || i == STEPS ? 1 : i % 2 ? 4 : 2);
	}
	return sum / STEPS / 3;
}

static void test_paretonormal(void **state)
{
	enum { EVERY = 500 };
	struct dist dist;
	double mean, deviation, max = 0;

	(void)state;
	dist_init(&dist, DIST_PARETONORMAL, arena);
	draw_all(&dist);
	moments(&mean, &deviation);
	assert_near(mean, 0, 0.005);
	qsort(values, MANY, sizeof(*values), by_value);
	/* The theory is slow to compute, so only every 500th value is compared with it. The 5·10^-4 between
	 * two of them are added to the bound. */
	for (uint32_t i = EVERY / 2; i < MANY; i += EVERY)
		max = fmax(max, fabs(paretonormal_below(values[i]) - (i + 0.5) / MANY));
	assert_below(max, ks_bound(MANY) + (double)EVERY / MANY);
	/* Quantiles are compared, too, without draws. The table's own steps cost less than 0.001. */
	for (double share = 0.001; share < 1; share += 0.037)
		assert_near(paretonormal_below(dist_at_share(&dist, share)), share, 0.001);
	assert_near(1 - paretonormal_below(dist_at_share(&dist, 0.9999)), 1e-4, 2e-6);
}

static void test_lognormal(void **state)
{
	struct dist dist;
	double mean, deviation;

	(void)state;
	dist_init(&dist, DIST_LOGNORMAL, arena);
	dist_lognormal(&dist, 100, 60);
	draw_all(&dist);
	moments(&mean, &deviation);
	assert_near(mean, 100, 0.5);
	/* Its kurtosis (about 11) makes the deviation's standard error 0.16 %; 0.5 % is 3 of them, and holds
	 * for this seed. */
	assert_near(deviation, 60, 0.3);
	assert_below(ks_distance(values, MANY, lognormal_below), ks_bound(MANY));
	assert_true(values[0] > 0);
}

/* A share and its normal score lead to the same deviate: correlation changes no distribution. */
static void test_scores(void **state)
{
	static const enum dist_kind kinds[] = {
	    DIST_UNIFORM, DIST_NORMAL, DIST_PARETO, DIST_PARETONORMAL, DIST_LOGNORMAL};

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct dist dist;

		dist_init(&dist, kinds[i], arena);
		if (kinds[i] == DIST_LOGNORMAL)
			dist_lognormal(&dist, 100, 60);
		for (double share = 0.0005; share < 1; share += 0.001) {
			double a = dist_at_share(&dist, share);

			assert_near(
			    dist_at_score(&dist, chance_normal_quantile(share)), a, 1e-9 * (1 + fabs(a)));
		}
		/* Far out in the tails it is still finite. */
		assert_true(isfinite(dist_at_score(&dist, 9)) && isfinite(dist_at_score(&dist, -9)));
		assert_true(dist_at_score(&dist, 9) >= dist_at_score(&dist, 4));
	}
}

static void table_read(struct dist *dist, const char *text)
{
	struct error error = {{0}};

	assert_int_equal(dist_read_table(dist, text, strlen(text), arena, &error), 0);
}

static void test_table(void **state)
{
	const double want[] = {-2, -0.5, 0.5, 2};
	unsigned cells[4] = {0};
	struct dist dist;

	(void)state;
	table_read(&dist, "# a comment 99\n 16384 -4096\t4096\r\n-16384 # and more 77\n");
	assert_int_equal(dist.size, 4);
	for (uint32_t i = 0; i < 100000; i++) {
		double value = dist_at_share(&dist, chance_unit(draw_of(i), 0));

		for (int k = 0; k < 4; k++)
			cells[k] += value == want[k];
	}
	for (int k = 0; k < 4; k++)
		assert_near(cells[k] / 1e5, 0.25, share_bound(0.25, 1e5));
	/* The table is a quantile function: higher shares and scores never give lower values. */
	assert_near(dist_at_share(&dist, 1e-12), -2, 0);
	assert_near(dist_at_share(&dist, 1 - 1e-12), 2, 0);
	assert_near(dist_at_score(&dist, -40), -2, 0);
	assert_near(dist_at_score(&dist, 40), 2, 0);
	table_read(&dist, "8192");
	assert_near(dist_at_share(&dist, 0.5), 1, 0);
}

static void test_table_mistakes(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
	    {"", "the table holds no numbers"},
	    {"# nothing\n\n", "the table holds no numbers"},
	    {"1 2\n3 four\n", "line 2 of the table is not a number; an iproute2 table holds numbers"},
	    {"1\n# x\n\nnan\n", "line 4 of the table is not a number; an iproute2 table holds numbers"},
	    {"inf", "line 1 of the table is not a number; an iproute2 table holds numbers"},
	    {"1e300", "line 1 of the table is not a number; an iproute2 table holds numbers"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dist dist;
		struct error error = {{0}};

		assert_int_equal(
		    dist_read_table(&dist, rows[i].text, strlen(rows[i].text), arena, &error), -1);
		assert_string_equal(error.text, rows[i].want);
	}
}

/* Reads Debian's own table of the normal distribution, from the package iproute2. */
static void test_normal_dist(void **state)
{
	FILE *in;
	glob_t found;
	static char text[1 << 20];
	struct dist dist;
	struct error error;
	double mean, deviation;
	size_t size;

	(void)state;
	/* The folder depends on the machine's architecture. `make check` installs the package. */
	assert_int_equal(glob("/usr/lib/*/tc/normal.dist", 0, NULL, &found), 0);
	in = fopen(found.gl_pathv[0], "r");
	globfree(&found);
	assert_non_null(in);
	size = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[size] = '\0';
	assert_int_equal(dist_read_table(&dist, text, size, arena, &error), 0);
	assert_int_equal(dist.size, 4096);
	draw_all(&dist);
	moments(&mean, &deviation);
	/* The table is itself made of 4096 rounded entries cut at ±4: 1 % is its own error. */
	assert_near(mean, 0, 0.01);
	assert_near(deviation, 1, 0.01);
	assert_below(ks_distance(values, MANY, normal_below), 0.01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_uniform),
	    cmocka_unit_test(test_normal),
	    cmocka_unit_test(test_pareto),
	    cmocka_unit_test(test_paretonormal),
	    cmocka_unit_test(test_lognormal),
	    cmocka_unit_test(test_scores),
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_table_mistakes),
	    cmocka_unit_test(test_normal_dist),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, arena_make, arena_end);
}
