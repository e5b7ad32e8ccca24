/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * search: figures and their units; and on simulated devices, that sharp edges are found fast, that intervals
 * contain the true threshold, and the results at the ends of the span.
 */
#include "test/unit/unit.h"

#include "test/unit/devices.h"

#define DEVICES 24 /* of each kind; `make campaign-proof` takes 1000 */

static void assert_figure(const char *unit_text, double figure, const char *want)
{
	struct figure_unit unit;
	struct error error;
	char text[FIGURE_TEXT_SIZE];
	double ignored;

	assert_int_equal(figure_read_unit(unit_text, &unit, &ignored, &error), 0);
	assert_string_equal(figure_text(&unit, figure, text, sizeof(text)), want);
}

static void test_figures(void **state)
{
	(void)state;
	assert_figure("1s", 42.5, "42.5s");
	assert_figure("1s", 42.4449, "42.4s");
	assert_figure("1s", 300, "300s");
	assert_figure("1s", 1234, "1230s");
	assert_figure("1ms", 0.12345, "0.123ms");
	assert_figure("5%", 7.5, "7.5%");
	assert_figure("10kbit", 99.96, "100kbit");
	assert_figure("1", 3.4, "3");
	assert_figure("20p", 7.6, "8p");
	assert_figure("1", 0, "0");
}

static void test_figure_units(void **state)
{
	struct figure_unit unit;
	struct error error;
	double figure;

	(void)state;
	assert_int_equal(figure_read_unit("1s", &unit, &figure, &error), 0);
	assert_int_equal(figure_read("5m", &unit, &figure, &error), 0);
	assert_near(figure, 300, 1e-9);
	assert_int_equal(figure_read("500ms", &unit, &figure, &error), 0);
	assert_near(figure, 0.5, 1e-9);
	assert_int_equal(figure_read("5%", &unit, &figure, &error), -1);
	assert_int_equal(figure_read_unit("s", &unit, &figure, &error), -1);
	assert_int_equal(figure_read_unit("3 s", &unit, &figure, &error), -1);
	assert_int_equal(figure_read_unit("3parsec", &unit, &figure, &error), -1);
	assert_int_equal(figure_read_unit("3qs", &unit, &figure, &error), -1);
}

static void test_neighbours(void **state)
{
	struct figure_unit unit;
	struct error error;
	double figure;

	(void)state;
	figure_read_unit("1s", &unit, &figure, &error);
	assert_near(figure_floor(&unit, 42.49), 42.4, 1e-9);
	assert_near(figure_ceil(&unit, 42.41), 42.5, 1e-9);
	assert_near(figure_above(&unit, 42.4), 42.5, 1e-9);
	assert_near(figure_above(&unit, 99.9), 100, 1e-9);
	figure_read_unit("1", &unit, &figure, &error);
	assert_near(figure_floor(&unit, 2.7), 2, 1e-9);
	assert_near(figure_above(&unit, 2), 3, 1e-9);
}

static struct search_settings settings_of(const char *from, const char *to)
{
	struct search_settings settings = {.target = 0.5, .precision = 0.1, .runs = 60};
	struct error error;

	assert_int_equal(figure_read_unit(from, &settings.unit, &settings.from, &error), 0);
	assert_int_equal(figure_read(to, &settings.unit, &settings.to, &error), 0);
	return settings;
}

/* Searches a device with a sharp edge; returns what was found. */
static struct search_result search_sharp(const struct search_settings *settings, double threshold)
{
	struct search *search = search_new(settings);
	struct search_result result;
	double figure;

	while (search_next(search, NULL, 0, &figure)) {
		assert_true(figure >= settings->from && figure <= settings->to);
		search_answer(search, figure, settings->less ? figure > threshold : figure < threshold);
	}
	result = search_result(search);
	search_free(search);
	return result;
}

static void test_ends(void **state)
{
	struct search_settings settings = settings_of("1s", "300s");
	struct search_result above = search_sharp(&settings, 1e9), below = search_sharp(&settings, 0);

	(void)state;
	assert_int_equal(above.state, SEARCH_ABOVE);
	assert_true(isinf(above.threshold) && above.threshold > 0);
	assert_int_equal(below.state, SEARCH_BELOW);
	assert_true(isinf(below.threshold) && below.threshold < 0);
	assert_true(above.answered < 30 && below.answered < 30);
}

/* Other kinds of spans and thresholds: rates, of which less is worse; linear spans, also from 0; whole
 * numbers. */
static void test_spans(void **state)
{
	static const struct {
		const char *from, *to;
		bool less;
		double threshold, tolerance;
	} rows[] = {
	    {"1kbit", "1000kbit", true, 37, 4},
	    {"0%", "50%", false, 13, 1.4},
	    {"10s", "60s", false, 31, 3.2},
	    {"0", "20ms", false, 9, 1},
	    {"1", "20", false, 7.5, 0.6},
	    {"1", "3", false, 2.5, 0.6},
	    {"1B", "1500B", true, 576.5, 60},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct search_settings settings = settings_of(
		    strcmp(rows[i].from, "0") == 0 ? rows[i].to : rows[i].from, rows[i].to);
		struct search_result result;

		if (strcmp(rows[i].from, "0") == 0)
			settings.from = 0;
		settings.less = rows[i].less;
		result = search_sharp(&settings, rows[i].threshold);
		if (result.state != SEARCH_FOUND)
			fail_msg("row %zu: state %d after %u runs, %g to %g", i, result.state,
			    result.answered, result.low, result.high);
		assert_near(result.threshold, rows[i].threshold, rows[i].tolerance);
		assert_true(result.low <= rows[i].threshold && rows[i].threshold <= result.high);
	}
}

/* The result is where the curve crosses the target share: for 75 %, below the 50 % point. */
static void test_target(void **state)
{
	struct search_settings settings = settings_of("1s", "300s");
	double want = 30 * pow(1 / 0.75 - 1, 0.5); /* P = 0.75, by the curve's formula */
	uint64_t draws = 5;
	unsigned held = 0, below = 0;

	(void)state;
	settings.target = 0.75;
	for (int i = 0; i < 8; i++) {
		struct search *search = search_new(&settings);
		double figure;

		while (search_next(search, NULL, 0, &figure))
			search_answer(
			    search, figure, device_draw(&draws) < 1 / (1 + pow(figure / 30, 1 / 0.5)));
		held += search_result(search).low <= want && want <= search_result(search).high;
		below += search_result(search).threshold < 30;
		search_free(search);
	}
	assert_true(held >= 6);
	assert_true(below >= 6);
}

/* The points depend on the answers alone. */
static void test_repeatable(void **state)
{
	struct search_settings settings = settings_of("1s", "300s");
	double first[60], figure;
	size_t count = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		struct search *search = search_new(&settings);
		size_t i = 0;

		while (search_next(search, NULL, 0, &figure)) {
			if (round == 0)
				first[count++] = figure;
			else
				assert_true(!(figure < first[i]) && !(figure > first[i]));
			i++;
			search_answer(search, figure, figure < 77);
		}
		assert_int_equal(i, count);
		search_free(search);
	}
}

static void test_runs_are_a_limit(void **state)
{
	struct search_settings settings = settings_of("1s", "300s");
	struct search *search;
	double figure;
	static const double pending[] = {30, 30, 30};

	(void)state;
	settings.runs = 3;
	search = search_new(&settings);
	assert_true(search_next(search, pending, 2, &figure));
	assert_true(figure < 30 || figure > 30);
	assert_false(search_next(search, pending, 3, &figure));
	for (int i = 0; i < 3; i++)
		search_answer(search, 30, i % 2);
	assert_false(search_next(search, NULL, 0, &figure));
	assert_int_equal(search_result(search).state, SEARCH_IMPRECISE);
	search_free(search);
}

/* Checks the manual's promises on few devices: the bounds are 4 standard deviations below 95 %. */
static void test_promises(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(device_kinds); i++) {
		struct device_runs runs = devices_search(&device_kinds[i], DEVICES, 20261129);

		if (runs.held < DEVICES * (0.95 - share_bound(0.95, DEVICES)))
			fail_msg("%s: %u of %d intervals contain the threshold", device_kinds[i].name,
			    runs.held, DEVICES);
		if (i == 0)
			assert_true(runs.median_runs <= 20);
	}
}

static void test_thresholds_compared(void **state)
{
	double low[SEARCH_QUANTILES], high[SEARCH_QUANTILES];

	(void)state;
	for (int i = 0; i < SEARCH_QUANTILES; i++) {
		low[i] = 10 + i * 0.01;
		high[i] = 13 + i * 0.01;
	}
	assert_near(search_probability_below(low, high), 1, 1e-9);
	assert_near(search_probability_below(high, low), 0, 1e-9);
	assert_near(search_probability_below(low, low), 0.5, 1e-9);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_figures),
	    cmocka_unit_test(test_figure_units),
	    cmocka_unit_test(test_neighbours),
	    cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_spans),
	    cmocka_unit_test(test_target),
	    cmocka_unit_test(test_repeatable),
	    cmocka_unit_test(test_runs_are_a_limit),
	    cmocka_unit_test(test_promises),
	    cmocka_unit_test(test_thresholds_compared),
	};

	return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
