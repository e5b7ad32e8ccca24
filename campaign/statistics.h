/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * statistics: intervals and tests of significance for outcomes of cases.
 *
 * Tests return a two-sided p-value, 0 to 1. All functions are pure. Counts are whole numbers of cases; a test
 * of nothing (no cases on one side) returns 1.
 */
#ifndef CAMPAIGN_STATISTICS_H
#define CAMPAIGN_STATISTICS_H

#include <stddef.h>

struct interval {
	double low, high;
};

/* The passes of one group, and its cases. */
struct passes {
	unsigned passed, count;
};

/* The 95 % interval of a share (Wilson 1927). 0 of 0 is 0 to 1. */
struct interval statistics_wilson(struct passes passes);

/* Fisher's exact test of two shares: the sum of the probabilities of all tables with the same margins that
 * are no more probable than this one. */
double statistics_fisher(struct passes a, struct passes b);

/* Pairs of groups, one pair for each stratum (cell). */
struct stratum {
	struct passes a, b;
};
/* The test of Cochran, Mantel and Haenszel for a common difference over all strata, with the continuity
 * correction of 0.5 (Mantel and Haenszel 1959). Sets *higher to the sign of "a passes more often than b". */
double statistics_cmh(const struct stratum *strata, size_t count, int *higher);

/* The rank test of Mann and Whitney (1947): exact if there are fewer than 50 values on either side and no
 * two are equal, else by the normal approximation with corrections for ties and continuity. Sets *higher to
 * the sign of "a tends to be larger than b". */
double statistics_mann_whitney(const double *a, size_t a_count, const double *b, size_t b_count, int *higher);

/* The exact sign test: `more` of `more` + `less` differences are positive. */
double statistics_sign(unsigned more, unsigned less);

/* Adjusts `count` p-values for testing all of them (Holm 1979), in place. A hypothesis is rejected if its
 * adjusted value is below the level. */
void statistics_holm(double *p, size_t count);

/* Sorts the values and returns the quantile at `share`, interpolated (R's type 7). `count` is at least 1. */
double statistics_quantile(double *values, size_t count, double share);

/* Returns how many of `count` cases may pass at most for the difference from `old` to be significant at
 * `level`, or -1 if not even 0 would be. */
int statistics_largest_significant(struct passes old, unsigned count, double level);

#endif
