/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs: pairs of simulated campaigns for --compare, in the form of campaign.json: 12 cells with 10 seeds, a
 * search, a sweep and a measure.
 */
#ifndef TEST_UNIT_PAIRS_H
#define TEST_UNIT_PAIRS_H

#include <jansson.h>

#include "campaign/compare.h"
#include "test/unit/devices.h"

#define PAIR_CELLS 12
#define PAIR_SEEDS 10
#define PAIR_PLACES 14

/* Returns the quantiles of a search on a device with a shallow edge at 30 s. */
static inline json_t *pair_search(uint64_t *state)
{
	struct search_settings settings = {.from = 1, .to = 300, .target = 0.5, .precision = 0.1, .runs = 25};
	json_t *search = json_object(), *quantiles = json_array();
	double figure, all[SEARCH_QUANTILES];
	struct search *found;
	struct error error;

	figure_read_unit("1s", &settings.unit, &figure, &error);
	found = search_new(&settings);
	while (search_next(found, NULL, 0, &figure))
		search_answer(found, figure, device_draw(state) < 1 / (1 + pow(figure / 30, 1 / 0.3)));
	search_quantiles(found, all);
	search_free(found);
	for (size_t i = 0; i < SEARCH_QUANTILES; i++)
		json_array_append_new(quantiles, json_real(all[i]));
	json_object_set_new(search, "name", json_string("outage"));
	json_object_set_new(search, "cell", json_string("all"));
	json_object_set_new(search, "worse", json_string("more"));
	json_object_set_new(search, "runs", json_integer(25));
	json_object_set_new(search, "text", json_string("30s"));
	json_object_set_new(search, "quantiles", quantiles);
	return search;
}

static inline json_t *pair_sweep(uint64_t *state, double share)
{
	json_t *sweep = json_object(), *faults = json_array();

	for (int i = 0; i < PAIR_PLACES; i++) {
		char id[64];

		snprintf(id, sizeof(id), "w/lost/all/up-%d-drop", i);
		json_array_append_new(faults,
		    json_pack("{ssss}", "id", id, "outcome", device_draw(state) < share ? "pass" : "fail"));
	}
	json_object_set_new(sweep, "name", json_string("lost"));
	json_object_set_new(sweep, "cell", json_string("all"));
	json_object_set_new(sweep, "faults", faults);
	return sweep;
}

/* Returns a campaign of a device that passes in each cell with the cell's share times `health`. */
static inline json_t *pair_campaign(uint64_t *state, double health, bool has_search)
{
	json_t *campaign = json_object(), *cases = json_array(), *searches = json_array();

	for (int cell = 0; cell < PAIR_CELLS; cell++)
		for (int seed = 1; seed <= PAIR_SEEDS; seed++) {
			double share = health * (0.5 + 0.5 * cell / (PAIR_CELLS - 1));
			bool passed = device_draw(state) < share;
			double seconds = 20 - 5 * log(device_draw(state) + 1e-9) / health;
			char id[64];

			snprintf(id, sizeof(id), "m/cell-%d/%d", cell, seed);
			json_array_append_new(
			    cases, json_pack("{ssss s{sf}}", "id", id, "outcome", passed ? "pass" : "fail",
			               "measures", "flash", seconds));
		}
	if (has_search)
		json_array_append_new(searches, pair_search(state));
	json_object_set_new(campaign, "cases", cases);
	json_object_set_new(campaign, "searches", searches);
	json_object_set_new(campaign, "sweeps", json_pack("[o]", pair_sweep(state, 0.8 * health)));
	json_object_set_new(campaign, "measures", json_pack("[{ssss}]", "name", "flash", "better", "less"));
	return campaign;
}

/* Compares `count` pairs of equal campaigns; returns how many are reported as worse. */
static inline unsigned pairs_worse(unsigned count, uint64_t seed)
{
	unsigned worse = 0;
	uint64_t state = seed;

	for (unsigned i = 0; i < count; i++) {
		/* One in ten has a search, which takes far longer than all else. */
		json_t *sides[2] = {
		    pair_campaign(&state, 1, i % 10 == 0), pair_campaign(&state, 1, i % 10 == 0)};
		struct comparison comparison;
		struct error error;

		if (compare((const json_t *const *)sides, 2, &comparison, &error)) {
			fprintf(stderr, "compare: %s\n", error.text);
			abort();
		}
		worse += comparison.is_worse;
		comparison_free(&comparison);
		json_decref(sides[0]);
		json_decref(sides[1]);
	}
	return worse;
}

#endif
