/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exact tests sum probabilities that are computed through logarithms of factorials, so that counts of many
 * thousands neither overflow nor underflow. The others use the normal distribution (erfc of the C library).
 */
#include "campaign/statistics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define Z_95 1.959963984540054
#define EQUAL_PROBABILITY (1 + 1e-7) /* of two tables, in spite of rounding */
#define EXACT_MAX 50                 /* values on a side; as R's wilcox.test */

static double normal_two_sided(double z)
{
	return erfc(fabs(z) / sqrt(2));
}

static double at_most_1(double p)
{
	return p < 1 ? p : 1;
}

struct interval statistics_wilson(struct passes passes)
{
	double n = passes.count, share, centre, half, scale;

	if (!passes.count)
		return (struct interval){0, 1};
	share = passes.passed / n;
	scale = 1 + Z_95 * Z_95 / n;
	centre = (share + Z_95 * Z_95 / (2 * n)) / scale;
	half = Z_95 * sqrt(share * (1 - share) / n + Z_95 * Z_95 / (4 * n * n)) / scale;
	return (struct interval){.low = passes.passed == 0 ? 0 : centre - half,
	    .high = passes.passed == passes.count ? 1 : centre + half};
}

/* ---- Fisher ---- */

/* The logarithm of "n choose k". lgamma_r, because lgamma stores a sign in a global variable. */
static double log_choose(unsigned n, unsigned k)
{
	int sign;

	return lgamma_r(n + 1.0, &sign) - lgamma_r(k + 1.0, &sign) - lgamma_r(n - k + 1.0, &sign);
}

double statistics_fisher(struct passes a, struct passes b)
{
	unsigned passed = a.passed + b.passed, count = a.count + b.count;
	unsigned least = passed > b.count ? passed - b.count : 0;
	unsigned most = passed < a.count ? passed : a.count;
	double all, own, sum = 0;

	if (!a.count || !b.count)
		return 1;
	all = log_choose(count, passed);
	own = exp(log_choose(a.count, a.passed) + log_choose(b.count, b.passed) - all);
	for (unsigned k = least; k <= most; k++) {
		double p = exp(log_choose(a.count, k) + log_choose(b.count, passed - k) - all);

		if (p <= own * EQUAL_PROBABILITY)
			sum += p;
	}
	return at_most_1(sum);
}

int statistics_largest_significant(struct passes old, unsigned count, double level)
{
	int largest = -1;

	for (unsigned k = 0; k <= count; k++) {
		/* Only shares below the old one are worse. */
		if ((double)k * old.count >= (double)old.passed * count)
			break;
		if (statistics_fisher(old, (struct passes){k, count}) < level)
			largest = (int)k;
	}
	return largest;
}

/* ---- Cochran, Mantel, Haenszel ---- */

double statistics_cmh(const struct stratum *strata, size_t count, int *higher)
{
	double excess = 0, variance = 0, distance;

	for (size_t i = 0; i < count; i++) {
		double a = strata[i].a.count, b = strata[i].b.count, n = a + b;
		double passed = (double)strata[i].a.passed + strata[i].b.passed;

		if (strata[i].a.count == 0 || strata[i].b.count == 0)
			continue;
		excess += strata[i].a.passed - a * passed / n;
		variance += a * b * passed * (n - passed) / (n * n * (n - 1));
	}
	*higher = (excess > 0) - (excess < 0);
	if (variance <= 0)
		return 1;
	distance = fabs(excess);
	distance = distance >= 0.5 ? distance - 0.5 : distance;
	return normal_two_sided(distance / sqrt(variance));
}

/* ---- Mann and Whitney ---- */

struct ranked {
	double value;
	bool is_a;
};

static int by_value(const void *x, const void *y)
{
	double a = ((const struct ranked *)x)->value, b = ((const struct ranked *)y)->value;

	return (a > b) - (a < b);
}

/* Returns the probability that U, of `a` and `b` values without ties, is at most `u`.
 *
 * The number of arrangements with U = k is the coefficient of q^k in the Gaussian binomial: the product over
 * i from 1 to `a` of (1 - q^(b+i)) / (1 - q^i). A coefficient depends on lower ones only, so those above `u`
 * are not computed. */
static double exact_at_most(size_t a, size_t b, size_t u)
{
	double *ways = memory_new(u + 1, sizeof(*ways));
	double below = 0;

	ways[0] = 1;
	for (size_t i = 1; i <= a; i++) {
		for (size_t k = u + 1; k-- > b + i;)
			ways[k] -= ways[k - b - i];
		for (size_t k = i; k <= u; k++)
			ways[k] += ways[k - i];
	}
	for (size_t k = 0; k <= u; k++)
		below += ways[k];
	free(ways);
	return below / exp(log_choose((unsigned)(a + b), (unsigned)a));
}

double statistics_mann_whitney(const double *a, size_t a_count, const double *b, size_t b_count, int *higher)
{
	size_t count = a_count + b_count;
	struct ranked *all;
	double ranks = 0, ties = 0, u, mean, variance, p, n = (double)count;

	*higher = 0;
	if (!a_count || !b_count)
		return 1;
	all = memory_new(count, sizeof(*all));
	for (size_t i = 0; i < count; i++)
		all[i] = i < a_count ? (struct ranked){a[i], true} : (struct ranked){b[i - a_count], false};
	qsort(all, count, sizeof(*all), by_value);
	for (size_t i = 0, next; i < count; i = next) {
		double equal;

		for (next = i + 1; next < count && !(all[next].value > all[i].value); next++)
			;
		equal = (double)(next - i);
		ties += equal * equal * equal - equal;
		for (size_t k = i; k < next; k++)
			if (all[k].is_a)
				ranks += (double)(i + next + 1) / 2; /* the mean of the ranks i + 1 to next */
	}
	free(all);
	u = ranks - (double)a_count * ((double)a_count + 1) / 2;
	mean = (double)a_count * (double)b_count / 2;
	*higher = (u > mean) - (u < mean);
	if (ties <= 0 && a_count < EXACT_MAX && b_count < EXACT_MAX) {
		/* U is symmetric about its mean. */
		p = exact_at_most(a_count, b_count, (size_t)(u < mean ? u : 2 * mean - u));
		return at_most_1(2 * p);
	}
	variance = (double)a_count * (double)b_count / 12 * (n + 1 - ties / (n * (n - 1)));
	if (variance <= 0)
		return 1;
	return at_most_1(normal_two_sided(fmax(fabs(u - mean) - 0.5, 0) / sqrt(variance)));
}

/* ---- Others ---- */

double statistics_sign(unsigned more, unsigned less)
{
	unsigned count = more + less, fewer = more < less ? more : less;
	double sum = 0;

	for (unsigned k = 0; k <= fewer; k++)
		sum += exp(log_choose(count, k) - count * log(2));
	return at_most_1(2 * sum);
}

struct place_of_p {
	double p;
	size_t index;
};

static int by_p(const void *x, const void *y)
{
	double a = ((const struct place_of_p *)x)->p, b = ((const struct place_of_p *)y)->p;

	return (a > b) - (a < b);
}

void statistics_holm(double *p, size_t count)
{
	struct place_of_p *sorted = memory_new(count + 1, sizeof(*sorted));
	double largest = 0;

	for (size_t i = 0; i < count; i++)
		sorted[i] = (struct place_of_p){p[i], i};
	qsort(sorted, count, sizeof(*sorted), by_p);
	for (size_t i = 0; i < count; i++) {
		largest = fmax(largest, at_most_1(sorted[i].p * (double)(count - i)));
		p[sorted[i].index] = largest;
	}
	free(sorted);
}

static int by_number(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

double statistics_quantile(double *values, size_t count, double share)
{
	double place = share * (double)(count - 1);
	size_t below = (size_t)place;

	qsort(values, count, sizeof(*values), by_number);
	if (below + 1 >= count)
		return values[count - 1];
	return values[below] + (place - (double)below) * (values[below + 1] - values[below]);
}
