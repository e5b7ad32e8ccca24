/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit: what the unit tests share: cmocka, an ini text read into a configuration, and statistical bounds.
 *
 * Everything is static inline, so that each test stays one file and one binary.
 */
#ifndef TEST_UNIT_UNIT_H
#define TEST_UNIT_UNIT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/ini.h"
#include "rules/config.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- Statistics ---- */

/* 4 standard deviations are exceeded by chance with one seed in 16000; the seeds here are fixed. */
#define SIGMAS 4.0

#define assert_near(got, want, tolerance) near_or_fail((got), (want), (tolerance), #got, __FILE__, __LINE__)

static inline void near_or_fail(
    double got, double want, double tolerance, const char *what, const char *file, int line)
{
	if (fabs(got - want) <= tolerance)
		return;
	print_error("%s is %.9g, not %.9g within %.3g\n", what, got, want, tolerance);
	_fail(file, line);
}

/* Checks that `got` is not further from 0 than `bound`. */
#define assert_below(got, bound) near_or_fail((got), 0, (bound), #got, __FILE__, __LINE__)

/* Returns how far the share of `count` independent tries may be from `share`. */
static inline double share_bound(double share, double count)
{
	return SIGMAS * sqrt(share * (1 - share) / count);
}

/* Returns the 0.1 % point of chi-square, by Wilson and Hilferty's cube root (3.09 is the normal's 0.1 %
 * point). */
static inline double chi_bound(double freedom)
{
	double part = 2 / (9 * freedom);

	return freedom * pow(1 - part + 3.09 * sqrt(part), 3);
}

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Returns Kolmogorov and Smirnov's distance of values (sorted here) from a distribution; the 0.1 % level is
 * 1.95 / √n. */
static inline double ks_distance(double *values, size_t count, double (*share_below)(double))
{
	double max = 0;

	qsort(values, count, sizeof(*values), by_value);
	for (size_t i = 0; i < count; i++) {
		double share = share_below(values[i]);

		max = fmax(
		    max, fmax(share - (double)i / (double)count, (double)(i + 1) / (double)count - share));
	}
	return max;
}

/* The distribution function of values spread evenly over 0 to 1. */
static inline double share_of_unit(double x)
{
	return fmin(fmax(x, 0), 1);
}

static inline double ks_bound(size_t count)
{
	return 1.95 / sqrt((double)count);
}

/* ---- An ini text, its configuration and its complaints ---- */

struct given {
	struct complaints *complaints;
	struct ini *ini;
	struct names *names;
	struct config *config;
	char *printed; /* every complaint as it is printed, one per line */
	size_t printed_size;
};

static inline void given_init(struct given *given)
{
	static const struct section_kind *const kinds[] = {
	    &config_device_kind, &config_link_kind, &config_rule_kind};

	*given = (struct given){.complaints = complaints_new(), .names = names_new()};
	given->ini = ini_new(kinds, COUNT(kinds), NULL, given->complaints);
}

static inline void given_text(struct given *given, const char *text)
{
	ini_read_text(given->ini, "t.ini", text, strlen(text));
}

/* Builds the config and prints the complaints into `printed`. */
static inline void given_build(struct given *given)
{
	FILE *out = open_memstream(&given->printed, &given->printed_size);

	assert_non_null(out);
	ini_inherit(given->ini);
	given->config = config_new(given->ini, given->names, given->complaints);
	complaints_print(given->complaints, out);
	fclose(out);
}

static inline void given_read(struct given *given, const char *text)
{
	given_init(given);
	given_text(given, text);
	given_build(given);
}

static inline void given_free(struct given *given)
{
	free(given->printed);
	config_free(given->config);
	ini_free(given->ini);
	names_free(given->names);
	complaints_free(given->complaints);
}

/* Returns 1 and prints both if the complaints about `text` are not `want`, so that a table shows all of its
 * wrong rows. */
static inline unsigned complaints_differ(const char *text, const char *want)
{
	struct given given;
	unsigned wrong;

	given_read(&given, text);
	wrong = strcmp(given.printed, want) != 0;
	if (wrong)
		print_error("for\n%sgot\n%swant\n%s", text, given.printed, want);
	given_free(&given);
	return wrong;
}

static inline void assert_complaints(const char *text, const char *want)
{
	assert_int_equal(complaints_differ(text, want), 0);
}

#endif
