/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compare: a worse device is reported as worse, a better one as better, equal ones mostly as neither; pooled
 * campaigns; notes; files that have nothing in common.
 */
#include "test/unit/unit.h"

#include "test/unit/pairs.h"

#define PAIRS 100

static void compare_two(const json_t *old, const json_t *new, struct comparison *comparison)
{
	const json_t *sides[2] = {old, new};
	struct error error;

	assert_int_equal(compare(sides, 2, comparison, &error), 0);
}

/* Returns a campaign of one cell, like the manual's example of 20 cases. */
static json_t *one_cell(unsigned passed, unsigned count)
{
	json_t *cases = json_array();

	for (unsigned i = 0; i < count; i++) {
		char id[32];

		snprintf(id, sizeof(id), "m/gprs/%u", i + 1);
		json_array_append_new(
		    cases, json_pack("{ssss}", "id", id, "outcome", i < passed ? "pass" : "timeout"));
	}
	return json_pack("{so}", "cases", cases);
}

static void test_one_cell(void **state)
{
	json_t *old = one_cell(20, 20), *fifteen = one_cell(15, 20), *sixteen = one_cell(16, 20);
	struct comparison comparison;

	(void)state;
	compare_two(old, fifteen, &comparison);
	assert_int_equal(comparison.count, 1);
	assert_true(comparison.is_worse);
	assert_int_equal(comparison.all[0].largest, 15);
	assert_near(comparison.all[0].p, 0.047124047124047136, 1e-9);
	assert_int_equal(comparison.note_count, 1);
	assert_string_equal(
	    comparison.notes[0], "m/gprs: with the same seed 5 went from pass to fail, 0 from fail to pass");
	comparison_free(&comparison);
	compare_two(old, sixteen, &comparison);
	assert_false(comparison.is_worse);
	comparison_free(&comparison);
	compare_two(fifteen, old, &comparison);
	assert_false(comparison.is_worse);
	assert_true(comparison.is_better);
	comparison_free(&comparison);
	json_decref(old);
	json_decref(fifteen);
	json_decref(sixteen);
}

/* Small differences in many cells are significant together. */
static void test_overall(void **state)
{
	uint64_t draws = 3;
	json_t *old = pair_campaign(&draws, 1, false), *new = pair_campaign(&draws, 0.6, false);
	struct comparison comparison;

	(void)state;
	compare_two(old, new, &comparison);
	assert_true(comparison.overall < COMPARE_LEVEL_OVERALL);
	assert_int_equal(comparison.overall_direction, -1);
	assert_true(comparison.is_worse);
	comparison_free(&comparison);
	json_decref(old);
	json_decref(new);
}

static void test_thresholds(void **state)
{
	uint64_t draws = 9;
	json_t *old = json_pack("{s[]s[o]}", "cases", "searches", pair_search(&draws));
	json_t *new = json_deep_copy(old), *quantiles, *value;
	struct comparison comparison;
	size_t i;

	(void)state;
	quantiles = json_object_get(json_array_get(json_object_get(new, "searches"), 0), "quantiles");
	json_array_foreach(quantiles, i, value) json_real_set(value, json_real_value(value) / 100);
	compare_two(old, new, &comparison);
	assert_int_equal(comparison.count, 1);
	assert_int_equal(comparison.all[0].kind, COMPARED_THRESHOLD);
	assert_true(comparison.is_worse);
	comparison_free(&comparison);
	compare_two(new, old, &comparison);
	assert_true(comparison.is_better && !comparison.is_worse);
	comparison_free(&comparison);
	json_decref(old);
	json_decref(new);
}

static void test_sweeps(void **state)
{
	uint64_t draws = 1;
	json_t *old = json_pack("{s[]s[o]}", "cases", "sweeps", pair_sweep(&draws, 1.1));
	json_t *new = json_pack("{s[]s[o]}", "cases", "sweeps", pair_sweep(&draws, 0));
	struct comparison comparison;

	(void)state;
	compare_two(old, new, &comparison);
	assert_true(comparison.is_worse);
	assert_int_equal(comparison.note_count, PAIR_PLACES);
	assert_near(comparison.all[0].p, 2 * pow(0.5, PAIR_PLACES), 1e-9);
	comparison_free(&comparison);
	json_decref(old);
	json_decref(new);
}

/* Several old campaigns count as one with all their cases. */
static void test_pooled(void **state)
{
	json_t *a = one_cell(10, 10), *b = one_cell(10, 10), *new = one_cell(15, 20);
	const json_t *sides[3] = {a, b, new};
	struct comparison comparison;
	struct error error;

	(void)state;
	assert_int_equal(compare(sides, 3, &comparison, &error), 0);
	assert_int_equal(comparison.all[0].old.count, 20);
	assert_true(comparison.is_worse);
	comparison_free(&comparison);
	json_decref(a);
	json_decref(b);
	json_decref(new);
}

/* A malformed file is refused, and nothing is read beyond what it holds. */
static void test_malformed(void **state)
{
	static const char *const texts[] = {"{}", "[]", "{\"cases\": 3}",
	    "{\"cases\": [1, null, {}, {\"id\": \"m\"}]}",
	    "{\"cases\": [{\"id\": \"m/\", \"outcome\": \"pass\"}, {\"id\": 3, \"outcome\": \"pass\"}]}",
	    "{\"searches\": [{\"quantiles\": [1], \"runs\": 3}], \"sweeps\": [{}], \"measures\": [[]]}"};
	json_t *good = one_cell(3, 3);

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		json_t *malformed = json_loads(texts[i], 0, NULL);
		const json_t *sides[2] = {malformed, good};
		struct comparison comparison;
		struct error error;

		assert_non_null(malformed);
		assert_int_equal(compare(sides, 2, &comparison, &error), -1);
		comparison_free(&comparison);
		json_decref(malformed);
	}
	json_decref(good);
}

/* At most 5 % of equal pairs are reported as worse; the bound is 4 standard deviations above that. */
static void test_equal(void **state)
{
	(void)state;
	assert_true(pairs_worse(PAIRS, 4) <= PAIRS * (0.05 + share_bound(0.05, PAIRS)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_cell),
	    cmocka_unit_test(test_overall),
	    cmocka_unit_test(test_thresholds),
	    cmocka_unit_test(test_sweeps),
	    cmocka_unit_test(test_pooled),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
