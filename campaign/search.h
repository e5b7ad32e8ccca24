/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * search: finds the figure at which a test starts to fail, by a Bayesian adaptive search.
 *
 * The device is a curve P(pass) = 1 / (1 + (figure/threshold)^(1/slope)), turned round if less is worse, with
 * lapses: with some probability the outcome is inverted, whatever the figure. Threshold, slope and lapse are
 * unknown; a grid holds the probability of each combination, given the outcomes so far. The next point is the
 * one after which the expected entropy of the threshold is least (QUEST: Watson and Pelli, Perception &
 * Psychophysics 33, 1983; Psi: Kontsevich and Tyler, Vision Research 39, 1999; entropy of the threshold
 * alone: Prins, Journal of Vision 13(7), 2013). "Threshold" is the figure at which the share of passes,
 * between lapses, is `target`.
 *
 *   search_new ── search_next ── run the case ── search_answer ──┐ ── search_result ── search_free
 *                      └──────────────────────────────────────────┘
 *
 * The points follow from the settings and the answers alone: the same answers in the same order lead to the
 * same points. Several cases may run at a time: call search_next again before the answer.
 */
#ifndef CAMPAIGN_SEARCH_H
#define CAMPAIGN_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "campaign/figure.h"

#define SEARCH_RUNS_MAX 1000

struct search_settings {
	struct figure_unit unit;
	double from, to;  /* in that unit, from < to */
	bool less;        /* less is worse: rate, mtu, nat_timeout */
	double target;    /* share of passes at the threshold, above 0 and below 1 */
	double precision; /* share of the figure by which either end of the interval may be off */
	unsigned runs;    /* most cases */
};

enum search_state {
	SEARCH_OPEN,
	SEARCH_FOUND,    /* the interval is within the precision */
	SEARCH_ABOVE,    /* the threshold is above `to` */
	SEARCH_BELOW,    /* the threshold is below `from` */
	SEARCH_IMPRECISE /* all runs are used, and the interval is wider */
};

struct search_result {
	enum search_state state;
	double threshold;  /* median of the posterior; infinite if it lies outside the span */
	double low, high;  /* 95 % credible interval; an end outside the span is infinite */
	double slope;      /* mean of the posterior */
	double width;      /* the larger distance of an end from the threshold, as a share of the threshold */
	unsigned answered; /* cases */
};

struct search;

struct search *search_new(const struct search_settings *settings);
void search_free(struct search *search);
/* Sets *figure to the next point and returns true; false if the search is over. `pending` are the points of
 * cases that run: they count as runs, and are taken as if their likelier outcome had come, so that the next
 * point is another one. */
bool search_next(const struct search *search, const double *pending, unsigned pending_count, double *figure);
void search_answer(struct search *search, double figure, bool passed);
/* A case that was no point (skipped, or invalid) counts as a run. */
void search_skip(struct search *search);
struct search_result search_result(const struct search *search);
/* Returns whether the span is searched in the logarithm of the figure. */
bool search_is_logarithmic(const struct search_settings *settings);
/* Returns the probability that a case at this figure passes, by the posterior. */
double search_share(const struct search *search, double figure);

/* The posterior of the threshold in short, to be stored: its quantiles at (i + 0.5) / SEARCH_QUANTILES. */
#define SEARCH_QUANTILES 200
void search_quantiles(const struct search *search, double quantiles[SEARCH_QUANTILES]);
/* Returns the probability that a threshold with the quantiles `a` is below one with `b`. */
double search_probability_below(const double a[SEARCH_QUANTILES], const double b[SEARCH_QUANTILES]);

#endif
