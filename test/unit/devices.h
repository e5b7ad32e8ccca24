/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * devices: simulated devices for a search, and how well it finds their thresholds. Shared by test_search (a
 * few devices) and proof_campaign (a thousand of each kind).
 */
#ifndef TEST_UNIT_DEVICES_H
#define TEST_UNIT_DEVICES_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/chance.h"
#include "campaign/search.h"
#include "campaign/statistics.h"

struct device_kind {
	const char *name;
	double slope, lapse; /* slope 0: a sharp edge */
};

static const struct device_kind device_kinds[] = {{"sharp", 0, 0}, {"s = 0.25", 0.25, 0}, {"s = 0.5", 0.5, 0},
    {"s = 1.0", 1, 0}, {"sharp, 2 % lapses", 0, 0.02}};

struct device_runs {
	unsigned held; /* devices whose threshold lies in the interval as printed */
	double median_runs;
};

static inline double device_draw(uint64_t *state)
{
	*state = chance_mix(*state);
	return (double)(*state >> 11) / 9007199254740992.0;
}

/* Runs a search on each of `count` devices whose thresholds are log-uniform over 1 s to 300 s. */
static inline struct device_runs devices_search(const struct device_kind *kind, unsigned count, uint64_t seed)
{
	struct search_settings settings = {.from = 1, .to = 300, .target = 0.5, .precision = 0.1, .runs = 60};
	struct device_runs runs = {0};
	static double used[10000];
	uint64_t state = seed;
	struct error error;
	double figure;

	figure_read_unit("1s", &settings.unit, &figure, &error);
	for (unsigned i = 0; i < count; i++) {
		double threshold = exp(log(300) * device_draw(&state));
		struct search *search = search_new(&settings);
		struct search_result result;

		while (search_next(search, NULL, 0, &figure)) {
			double share = kind->slope > 0 ? 1 / (1 + pow(figure / threshold, 1 / kind->slope))
			                               : figure < threshold;
			bool passed = device_draw(&state) < share;

			if (device_draw(&state) < kind->lapse)
				passed = !passed;
			search_answer(search, figure, passed);
		}
		result = search_result(search);
		/* An end of the interval outside the span is infinite. */
		runs.held += result.state != SEARCH_ABOVE && result.state != SEARCH_BELOW &&
		             result.low <= threshold && threshold <= result.high;
		used[i] = result.answered;
		search_free(search);
	}
	runs.median_runs = statistics_quantile(used, count, 0.5);
	return runs;
}

#endif
