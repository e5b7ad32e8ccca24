/* SPDX-License-Identifier: BSD-2-Clause */
#include "rules/dist.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"

#define PARETO_SHAPE 3.0
#define PARETO_MEAN 1.5                       /* a / (a - 1) */
#define PARETO_DEVIATION 0.866025403784438647 /* sqrt(a / ((a - 1)^2 (a - 2))) */
#define TABLE_SCALE 8192.0

/* Returns the deviate above which a share `above` lies. Taking 1 - u keeps the precision of the far tail. */
static double pareto_deviate(double above)
{
	return (pow(above, -1 / PARETO_SHAPE) - PARETO_MEAN) / PARETO_DEVIATION;
}

/* Returns the share of pareto deviates above `x`. */
static double pareto_above(double x)
{
	double value = x * PARETO_DEVIATION + PARETO_MEAN;

	return value <= 1 ? 1 : pow(value, -PARETO_SHAPE);
}

/* ---- paretonormal: a table of quantiles by normal score, found by bisection for each score ---- */

#define SCORE_MAX 8.0
#define SCORE_STEPS 64 /* per unit of score */
#define SCORE_COUNT ((size_t)(2 * SCORE_MAX * SCORE_STEPS) + 1)
#define NORMAL_POINTS 96

#define WEIGHT_NORMAL 0.25
#define WEIGHT_PARETO 0.75

/* Returns the share of (normal/4 + 3 pareto/4) / sqrt(10/16) above `x`: pareto_above, averaged over the
 * normal distribution. */
static double paretonormal_above(double x, const double *points, const double *weights)
{
	double sum = 0, value = x * sqrt(WEIGHT_NORMAL * WEIGHT_NORMAL + WEIGHT_PARETO * WEIGHT_PARETO);

	for (size_t i = 0; i < NORMAL_POINTS; i++)
		sum += weights[i] * pareto_above((value - WEIGHT_NORMAL * points[i]) / WEIGHT_PARETO);
	return sum;
}

static const double *paretonormal_table(struct arena *arena)
{
	double *table = arena_get(arena, SCORE_COUNT * sizeof(*table));
	double points[NORMAL_POINTS], weights[NORMAL_POINTS];
	double low = -6;

	/* Midpoints of equal steps over ±8, weighted by the normal density. */
	double total = 0;
	for (size_t i = 0; i < NORMAL_POINTS; i++) {
		points[i] = -8 + 16 * ((double)i + 0.5) / NORMAL_POINTS;
		weights[i] = exp(-points[i] * points[i] / 2);
		total += weights[i];
	}
	for (size_t i = 0; i < NORMAL_POINTS; i++)
		weights[i] /= total;
	for (size_t i = 0; i < SCORE_COUNT; i++) {
		double above = chance_normal_share(SCORE_MAX - (double)i / SCORE_STEPS);
		double step = 0.05, high = low;

		while (paretonormal_above(high, points, weights) > above)
			high += step *= 1.6;
		for (int round = 0; round < 40 && high - low > 1e-7 * (1 + fabs(low)); round++) {
			double middle = (low + high) / 2;

			if (paretonormal_above(middle, points, weights) > above)
				low = middle;
			else
				high = middle;
		}
		table[i] = (low + high) / 2;
	}
	return table;
}

static double paretonormal_at(const struct dist *dist, double score)
{
	double at = (fmin(fmax(score, -SCORE_MAX), SCORE_MAX) + SCORE_MAX) * SCORE_STEPS;
	size_t index = (size_t)at;

	if (index >= SCORE_COUNT - 1)
		return dist->table[SCORE_COUNT - 1];
	return dist->table[index] + (at - (double)index) * (dist->table[index + 1] - dist->table[index]);
}

/* ---- All kinds ---- */

void dist_init(struct dist *dist, enum dist_kind kind, struct arena *arena)
{
	*dist = (struct dist){.kind = kind};
	if (kind == DIST_PARETONORMAL)
		dist->table = paretonormal_table(arena);
}

void dist_lognormal(struct dist *dist, double mean, double deviation)
{
	double variance = log1p(deviation / mean * (deviation / mean));

	dist->log_deviation = sqrt(variance);
	dist->log_mean = log(mean) - variance / 2;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int dist_read_table(
    struct dist *dist, const char *text, size_t size, struct arena *arena, struct error *error)
{
	const char *at = text, *end = text + size;
	double *table = NULL;
	size_t count = 0;
	int line = 1;

	*dist = (struct dist){.kind = DIST_TABLE};
	while (at < end) {
		char *stop;
		double value;

		if (*at == '#') {
			while (at < end && *at != '\n')
				at++;
		} else if (isspace((unsigned char)*at)) {
			line += *at == '\n';
			at++;
		} else {
			value = strtod(at, &stop);
			if (stop == at || !isfinite(value) || fabs(value) > 1e9)
				return error_set(error,
				    "line %d of the table is not a number; an iproute2 table holds numbers",
				    line);
			table = arena_grow(arena, table, count, sizeof(*table));
			table[count++] = value / TABLE_SCALE;
			at = stop;
		}
	}
	if (!count)
		return error_set(error, "the table holds no numbers");
	qsort(table, count, sizeof(*table), compare_doubles);
	dist->table = table;
	dist->size = count;
	return 0;
}

double dist_at_share(const struct dist *dist, double share)
{
	switch (dist->kind) {
	case DIST_UNIFORM: return 2 * share - 1;
	case DIST_PARETO: return pareto_deviate(1 - share);
	case DIST_TABLE: return dist->table[(size_t)(share * (double)dist->size)];
	case DIST_NORMAL:
	case DIST_PARETONORMAL:
	case DIST_LOGNORMAL: break;
	}
	return dist_at_score(dist, chance_normal_quantile(share));
}

double dist_at_score(const struct dist *dist, double score)
{
	switch (dist->kind) {
	case DIST_NORMAL: return score;
	case DIST_PARETO: return pareto_deviate(chance_normal_share(-score));
	case DIST_PARETONORMAL: return paretonormal_at(dist, score);
	case DIST_LOGNORMAL: return exp(dist->log_mean + dist->log_deviation * score);
	case DIST_UNIFORM:
	case DIST_TABLE: break;
	}
	return dist_at_share(dist, fmin(chance_normal_share(score), 1 - 0x1p-53));
}
