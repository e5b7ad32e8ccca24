/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dist: distributions of jitter, by their quantile functions.
 *
 * A deviate is the factor that jitter is multiplied by. It has mean 0 and standard deviation 1 for normal,
 * pareto and paretonormal, lies within ±1 for uniform, and is a table's entry / 8192 for a file (the scale of
 * tc-netem's tables). lognormal is not a multiple of jitter: its parameters are computed from mean and
 * standard deviation together.
 *
 * Source of the shapes: tc-netem(8) and iproute2's netem/ generators. pareto has shape 3; paretonormal is a
 * quarter normal plus three quarters pareto (independent, scaled back to deviation 1).
 */
#ifndef RULES_DIST_H
#define RULES_DIST_H

#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

enum dist_kind { DIST_UNIFORM, DIST_NORMAL, DIST_PARETO, DIST_PARETONORMAL, DIST_LOGNORMAL, DIST_TABLE };

struct dist {
	enum dist_kind kind;
	const double *table; /* DIST_TABLE: sorted deviates; DIST_PARETONORMAL: deviates by normal score */
	size_t size;
	double log_mean, log_deviation; /* DIST_LOGNORMAL */
};

/* Initializes a distribution that needs no parameters; DIST_PARETONORMAL builds its table in `arena`. */
void dist_init(struct dist *dist, enum dist_kind kind, struct arena *arena);
/* Sets the parameters of DIST_LOGNORMAL: mean and standard deviation of the delay itself. */
void dist_lognormal(struct dist *dist, double mean, double deviation);
/* Reads an iproute2 table: numbers separated by white space; `#` starts a comment. Returns -1 and sets *error
 * if it is malformed. */
int dist_read_table(
    struct dist *dist, const char *text, size_t size, struct arena *arena, struct error *error);

/* Return the deviate at a share in (0, 1), or at a standard normal score; for DIST_LOGNORMAL the delay
 * itself. */
double dist_at_share(const struct dist *dist, double share);
double dist_at_score(const struct dist *dist, double score);

#endif
