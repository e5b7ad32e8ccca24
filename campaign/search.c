/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grid: weight[threshold][slope][lapse], always with sum 1.
 *
 * Thresholds lie evenly over the span lengthened by a quarter at either end, in the logarithm of the figure
 * or in the figure itself. A lapse enters the probability of a pass linearly, so the expected entropy needs
 * only the sums over lapses of the weights, and of the weights times the lapse. Thresholds whose weight is
 * below NEGLIGIBLE are passed over, which makes a point cheaper the more is known.
 */
#include "campaign/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define THRESHOLDS_MAX 4000
#define NEGLIGIBLE 1e-7
#define BEYOND 0.025 /* of the posterior may lie within the span if the search ends outside it */
/* The share of the posterior outside the interval at either end. A 95 % interval would have 2.5 %. It is
 * less, because the interval must hold the truth for 95 % of the devices of each slope, not only for 95 % of
 * all that the prior expects (measured by `make campaign-proof`). */
#define TAIL 0.015
#define PENDING_PENALTY 1e6 /* more than any entropy */
#define CANDIDATES 16       /* points over the whole span, and as many at quantiles of the threshold */

static const double slopes[] = {0.01, 0.03, 0.1, 0.2, 0.35, 0.55, 0.8, 1.1, 1.5, 2};
static const double slope_priors[] = {0.2, 0.05, 0.06, 0.08, 0.1, 0.11, 0.12, 0.12, 0.1, 0.06};
static const double lapses[] = {0, 0.01, 0.02, 0.05, 0.1};
static const double lapse_priors[] = {0.6, 0.18, 0.14, 0.06, 0.02};

#define SLOPES (sizeof(slopes) / sizeof(*slopes))
#define LAPSES (sizeof(lapses) / sizeof(*lapses))

struct search {
	struct search_settings settings;
	bool logarithmic;
	double start, step; /* of the coordinate of the thresholds */
	size_t count;       /* thresholds */
	double *log_thresholds;
	double (*weight)[SLOPES][LAPSES];
	unsigned answered, passed, skipped;
};

bool search_is_logarithmic(const struct search_settings *settings)
{
	return settings->from > 0 && settings->to >= 10 * settings->from;
}

static double coordinate_of(const struct search *search, double figure)
{
	return search->logarithmic ? log(figure) : figure;
}

static double figure_at(const struct search *search, double place)
{
	double coordinate = search->start + search->step * place;

	return search->logarithmic ? exp(coordinate) : coordinate;
}

struct search *search_new(const struct search_settings *settings)
{
	struct search *search = memory_new(1, sizeof(*search));
	double from, to, width, fine;

	*search = (struct search){.settings = *settings, .logarithmic = search_is_logarithmic(settings)};
	from = coordinate_of(search, settings->from);
	to = coordinate_of(search, settings->to);
	width = to - from;
	fine = search->logarithmic ? log(1 + settings->precision) / 6 : width * settings->precision / 10 / 4;
	fine = fmax(fmin(fine, width / 200), 1.5 * width / (THRESHOLDS_MAX - 1));
	search->start = from - width / 4;
	search->count = (size_t)(1.5 * width / fine) + 1;
	search->step = 1.5 * width / (double)(search->count - 1);
	search->weight = memory_new(search->count, sizeof(*search->weight));
	search->log_thresholds = memory_new(search->count, sizeof(*search->log_thresholds));
	for (size_t t = 0; t < search->count; t++)
		search->log_thresholds[t] = log(figure_at(search, (double)t));
	for (size_t t = 0; t < search->count; t++)
		for (size_t s = 0; s < SLOPES; s++)
			for (size_t l = 0; l < LAPSES; l++)
				search->weight[t][s][l] = slope_priors[s] * lapse_priors[l] /
				                          (double)search->count;
	return search;
}

void search_free(struct search *search)
{
	if (!search)
		return;
	free(search->log_thresholds);
	free(search->weight);
	free(search);
}

/* The curves of one figure, for one threshold after the other. */
struct curves {
	const struct search *search;
	double figure, log_figure;
	double odds;
	double grown[SLOPES];  /* (figure/threshold)^(1/slope), upside down if less is worse */
	double factor[SLOPES]; /* by which `grown` changes from a threshold to the next */
	size_t next;           /* threshold for which `grown` is right if multiplied by `factor`; 0: none */
};

static struct curves curves_of(const struct search *search, double figure)
{
	struct curves curves = {.search = search,
	    .figure = figure,
	    .log_figure = figure > 0 ? log(figure) : -(double)INFINITY,
	    .odds = (1 - search->settings.target) / search->settings.target};

	for (size_t s = 0; s < SLOPES; s++)
		curves.factor[s] = exp((search->settings.less ? search->step : -search->step) / slopes[s]);
	return curves;
}

/* Sets pass[s] to the probability of a pass, without lapses, for threshold `t` and each slope. Thresholds
 * below 0, of a linear span, fail everywhere. */
static void curves_at(struct curves *curves, size_t t, double pass[SLOPES])
{
	const struct search *search = curves->search;
	bool less = search->settings.less, grows = search->logarithmic && curves->next == t && t > 0;
	double threshold = search->logarithmic ? 1 : figure_at(search, (double)t);

	if (threshold <= 0 || curves->figure <= 0) {
		for (size_t s = 0; s < SLOPES; s++)
			pass[s] = threshold > 0 ? !less : (curves->figure > threshold) == less;
		return;
	}
	for (size_t s = 0; s < SLOPES; s++) {
		double *grown = &curves->grown[s];
		double excess = curves->log_figure - search->log_thresholds[t];

		/* The product is exact enough while it is far from the limits of a double. */
		if (grows && *grown > 1e-250 && *grown < 1e250)
			*grown *= curves->factor[s];
		else
			*grown = exp((less ? -excess : excess) / slopes[s]);
		pass[s] = 1 / (1 + curves->odds * *grown);
	}
	curves->next = t + 1;
}

void search_skip(struct search *search)
{
	search->skipped++;
}

static double threshold_weight(const struct search *search, size_t t)
{
	double sum = 0;

	for (size_t s = 0; s < SLOPES; s++)
		for (size_t l = 0; l < LAPSES; l++)
			sum += search->weight[t][s][l];
	return sum;
}

void search_answer(struct search *search, double figure, bool passed)
{
	struct curves curves = curves_of(search, figure);
	double sum = 0, pass[SLOPES];

	search->answered++;
	search->passed += passed;
	for (size_t t = 0; t < search->count; t++) {
		curves_at(&curves, t, pass);
		for (size_t s = 0; s < SLOPES; s++)
			for (size_t l = 0; l < LAPSES; l++) {
				double share = pass[s] + lapses[l] * (1 - 2 * pass[s]);

				search->weight[t][s][l] *= passed ? share : 1 - share;
				sum += search->weight[t][s][l];
			}
	}
	for (size_t t = 0; t < search->count; t++)
		for (size_t s = 0; s < SLOPES; s++)
			for (size_t l = 0; l < LAPSES; l++)
				search->weight[t][s][l] /= sum;
}

/* ---- The posterior ---- */

/* Returns the figure below which this share of the posterior of the threshold lies. */
static double quantile(const struct search *search, const double *weights, double share)
{
	double below = 0;

	for (size_t t = 0; t < search->count; t++) {
		if (below + weights[t] >= share && weights[t] > 0)
			return figure_at(search, (double)t - 0.5 + (share - below) / weights[t]);
		below += weights[t];
	}
	return figure_at(search, (double)search->count - 0.5);
}

static double *threshold_weights(const struct search *search)
{
	double *weights = memory_new(search->count, sizeof(*weights));

	for (size_t t = 0; t < search->count; t++)
		weights[t] = threshold_weight(search, t);
	return weights;
}

static double infinite_outside(const struct search *search, double figure)
{
	return figure > search->settings.to     ? (double)INFINITY
	       : figure < search->settings.from ? -(double)INFINITY
	                                        : figure;
}

/* Returns whether the interval is as narrow as it must be: within the precision, or between two neighbours of
 * the figures that can be tried. */
static bool is_narrow(const struct search *search, double threshold, double low, double high)
{
	const struct search_settings *settings = &search->settings;
	double unit = search->logarithmic ? threshold : fmax(threshold, (settings->to - settings->from) / 10);

	if (high - threshold <= settings->precision * unit && threshold - low <= settings->precision * unit)
		return true;
	return low > 0 && figure_above(&settings->unit, figure_floor(&settings->unit, low)) >=
	                      figure_ceil(&settings->unit, high);
}

/* Returns whether there was a pass and a failure: a narrow span alone finds nothing. */
static bool has_both(const struct search *search)
{
	return search->passed && search->passed < search->answered;
}

struct search_result search_result(const struct search *search)
{
	const struct search_settings *settings = &search->settings;
	double *weights = threshold_weights(search);
	double low = quantile(search, weights, TAIL), high = quantile(search, weights, 1 - TAIL);
	double middle = quantile(search, weights, 0.5), slope = 0;
	double surely_above = quantile(search, weights, BEYOND);
	double surely_below = quantile(search, weights, 1 - BEYOND);
	struct search_result result = {.answered = search->answered};

	for (size_t t = 0; t < search->count; t++)
		for (size_t s = 0; s < SLOPES; s++)
			for (size_t l = 0; l < LAPSES; l++)
				slope += slopes[s] * search->weight[t][s][l];
	free(weights);
	result.state = surely_above > settings->to                                ? SEARCH_ABOVE
	               : surely_below < settings->from                            ? SEARCH_BELOW
	               : has_both(search) && is_narrow(search, middle, low, high) ? SEARCH_FOUND
	               : search->answered + search->skipped >= settings->runs     ? SEARCH_IMPRECISE
	                                                                          : SEARCH_OPEN;
	result.threshold = infinite_outside(search, middle);
	result.low = infinite_outside(search, low);
	result.high = infinite_outside(search, high);
	result.slope = slope;
	result.width = middle > 0 ? fmax(high / middle - 1, 1 - low / middle) : (double)INFINITY;
	return result;
}

double search_share(const struct search *search, double figure)
{
	struct curves curves = curves_of(search, figure);
	double share = 0, pass[SLOPES];

	for (size_t t = 0; t < search->count; t++) {
		curves_at(&curves, t, pass);
		for (size_t s = 0; s < SLOPES; s++)
			for (size_t l = 0; l < LAPSES; l++)
				share += search->weight[t][s][l] * (pass[s] + lapses[l] * (1 - 2 * pass[s]));
	}
	return share;
}

void search_quantiles(const struct search *search, double quantiles[SEARCH_QUANTILES])
{
	double *weights = threshold_weights(search);

	for (size_t i = 0; i < SEARCH_QUANTILES; i++)
		quantiles[i] = quantile(search, weights, ((double)i + 0.5) / SEARCH_QUANTILES);
	free(weights);
}

double search_probability_below(const double a[SEARCH_QUANTILES], const double b[SEARCH_QUANTILES])
{
	size_t below = 0, equal = 0;

	for (size_t i = 0; i < SEARCH_QUANTILES; i++)
		for (size_t k = 0; k < SEARCH_QUANTILES; k++) {
			below += a[i] < b[k];
			equal += !(a[i] < b[k]) && !(a[i] > b[k]);
		}
	return ((double)below + (double)equal / 2) / SEARCH_QUANTILES / SEARCH_QUANTILES;
}

/* ---- The next point ---- */

/* The weights of the thresholds that matter, summed up over lapses: an entry for each threshold and slope. */
struct sums {
	size_t *thresholds;
	size_t count;
	double (*all)[SLOPES],
	    (*lapsed)[SLOPES]; /* sums of the weights, and of the weights times the lapse */
	double *weights;       /* of all thresholds */
};

static void sums_init(struct sums *sums, const struct search *search)
{
	*sums = (struct sums){.thresholds = memory_new(search->count, sizeof(*sums->thresholds)),
	    .all = memory_new(search->count, sizeof(*sums->all)),
	    .lapsed = memory_new(search->count, sizeof(*sums->lapsed)),
	    .weights = threshold_weights(search)};
	for (size_t t = 0; t < search->count; t++) {
		size_t i = sums->count;

		if (sums->weights[t] < NEGLIGIBLE)
			continue;
		for (size_t s = 0; s < SLOPES; s++)
			for (size_t l = 0; l < LAPSES; l++) {
				sums->all[i][s] += search->weight[t][s][l];
				sums->lapsed[i][s] += search->weight[t][s][l] * lapses[l];
			}
		sums->thresholds[sums->count++] = t;
	}
}

static void sums_fini(struct sums *sums)
{
	free(sums->thresholds);
	free(sums->all);
	free(sums->lapsed);
	free(sums->weights);
}

static double plogp(double p)
{
	return p > 0 ? p * log(p) : 0;
}

/* Returns the entropy of the threshold to be expected after a case at `figure`. */
static double expected_entropy(const struct search *search, const struct sums *sums, double figure)
{
	struct curves curves = curves_of(search, figure);
	double passes = 0, fails = 0, pass_sum = 0, fail_sum = 0, curve[SLOPES];

	for (size_t i = 0; i < sums->count; i++) {
		double pass = 0, all = sums->weights[sums->thresholds[i]];

		curves_at(&curves, sums->thresholds[i], curve);
		for (size_t s = 0; s < SLOPES; s++)
			pass += sums->all[i][s] * curve[s] + sums->lapsed[i][s] * (1 - 2 * curve[s]);
		passes += pass;
		fails += all - pass;
		pass_sum += plogp(pass);
		fail_sum += plogp(all - pass);
	}
	/* Weights w with the sum W have the entropy (W log W - sum of w log w) / W. */
	return plogp(passes) - pass_sum + plogp(fails) - fail_sum;
}

/* Returns candidate `index` of 2 * CANDIDATES: over the whole span, then around the threshold. */
static double candidate(const struct search *search, const struct sums *sums, size_t index)
{
	const struct search_settings *settings = &search->settings;
	double from = coordinate_of(search, settings->from), to = coordinate_of(search, settings->to), figure;

	if (index < CANDIDATES) {
		figure = from + (to - from) * (double)index / (CANDIDATES - 1);
		figure = search->logarithmic ? exp(figure) : figure;
	} else {
		figure = quantile(
		    search, sums->weights, ((double)(index - CANDIDATES) + 0.5) / (double)CANDIDATES);
	}
	figure = figure_round(&settings->unit, fmin(fmax(figure, settings->from), settings->to));
	return fmin(fmax(figure, settings->from), settings->to);
}

static struct search *copy(const struct search *from)
{
	struct search *search = search_new(&from->settings);

	memcpy(search->weight, from->weight, search->count * sizeof(*search->weight));
	search->answered = from->answered;
	search->passed = from->passed;
	return search;
}

static bool is_pending(double figure, const double *pending, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!(figure < pending[i]) && !(figure > pending[i]))
			return true;
	return false;
}

/* Chooses the best point that no running case has, or, if they have all, the best. */
static void choose_point(
    const struct search *search, const double *pending, unsigned pending_count, double *figure)
{
	struct sums sums;
	double least = INFINITY;

	sums_init(&sums, search);
	for (size_t i = 0; i < 2 * CANDIDATES; i++) {
		double at = candidate(search, &sums, i);
		double entropy = expected_entropy(search, &sums, at);

		if (is_pending(at, pending, pending_count))
			entropy += PENDING_PENALTY;
		if (entropy < least) {
			least = entropy;
			*figure = at;
		}
	}
	sums_fini(&sums);
}

bool search_next(const struct search *search, const double *pending, unsigned pending_count, double *figure)
{
	struct search *supposed;

	if (search_result(search).state != SEARCH_OPEN ||
	    search->answered + search->skipped + pending_count >= search->settings.runs)
		return false;
	if (!pending_count) {
		choose_point(search, NULL, 0, figure);
		return true;
	}
	supposed = copy(search);
	for (unsigned i = 0; i < pending_count; i++)
		search_answer(supposed, pending[i], search_share(supposed, pending[i]) > 0.5);
	choose_point(supposed, pending, pending_count, figure);
	search_free(supposed);
	return true;
}
