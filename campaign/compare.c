/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each side is read into items by key ("m/gprs", "s/outage/gprs", …); then each key that both sides have
 * makes one test.
 */
#include "campaign/compare.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/dictionary.h"
#include "base/memory.h"
#include "campaign/outcome.h"
#include "campaign/search.h"

struct numbers {
	double *all;
	size_t count;
};

/* The results of one side under one key. */
struct item {
	char *key;
	enum compared_kind kind;
	struct passes passes;
	struct numbers values; /* of a measure; quantiles of a threshold */
	bool less_is_worse;    /* of a threshold */
	int better;            /* of a measure: 1 less, 2 more, 0 unknown */
	char *text;            /* of a threshold */
	struct item_case {
		char *id; /* of a matrix case or a fault */
		bool passed;
	} * cases;
	size_t case_count;
};

struct side {
	struct item **all;
	size_t count;
	struct dictionary by_key;
};

static struct item *item_of(struct side *side, enum compared_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static struct item *item_of(struct side *side, enum compared_kind kind, const char *format, ...)
{
	struct text key = {0};
	struct item *item;
	va_list list;

	va_start(list, format);
	text_add_list(&key, format, list);
	va_end(list);
	item = dictionary_get(&side->by_key, NULL, key.at);
	if (item) {
		text_free(&key);
		return item;
	}
	item = memory_new(1, sizeof(*item));
	*item = (struct item){.key = key.at, .kind = kind};
	side->all = memory_grow(side->all, side->count, sizeof(*side->all));
	side->all[side->count++] = item;
	dictionary_put(&side->by_key, NULL, item->key, item);
	return item;
}

static void numbers_add(struct numbers *numbers, double value)
{
	numbers->all = memory_grow(numbers->all, numbers->count, sizeof(*numbers->all));
	numbers->all[numbers->count++] = value;
}

static void add_case(struct item *item, const char *id, bool passed)
{
	item->cases = memory_grow(item->cases, item->case_count, sizeof(*item->cases));
	item->cases[item->case_count++] = (struct item_case){memory_text(id, strlen(id)), passed};
}

static const char *word_at(const json_t *object, const char *key)
{
	const char *word = json_string_value(json_object_get(object, key));

	return word ? word : "";
}

/* ---- Reading ---- */

/* Reads one case of the matrix: "m/CELL/SEED". */
static void read_case(struct side *side, const json_t *object, const json_t *measures)
{
	const char *id = word_at(object, "id"), *last = strrchr(id, '/'), *name;
	int outcome = outcome_read(word_at(object, "outcome"));
	struct item *item;
	json_t *value;

	if (id[0] != 'm' || id[1] != '/' || !last || last == id + 1 || outcome < 0 ||
	    !outcome_is_judged((enum case_outcome)outcome))
		return;
	item = item_of(side, COMPARED_CELL, "%.*s", (int)(last - id), id);
	item->passes.count++;
	item->passes.passed += outcome == OUTCOME_PASS;
	add_case(item, id, outcome == OUTCOME_PASS);
	if (outcome != OUTCOME_PASS)
		return;
	json_object_foreach(json_object_get(object, "measures"), name, value)
	{
		const json_t *better = json_object_get(measures, name);

		if (!json_is_number(value) || !better)
			continue;
		item = item_of(side, COMPARED_MEASURE, "%.*s %s", (int)(last - id) - 2, id + 2, name);
		item->better = strcmp(json_string_value(better), "less") == 0 ? 1 : 2;
		numbers_add(&item->values, json_number_value(value));
	}
}

static void read_search(struct side *side, const json_t *search)
{
	const json_t *quantiles = json_object_get(search, "quantiles"), *quantile;
	/* Two campaigns may write the same figure in different units. */
	double base = json_is_number(json_object_get(search, "unit_base"))
	                  ? json_number_value(json_object_get(search, "unit_base"))
	                  : 1;
	struct item *item;
	size_t i;

	if (json_array_size(quantiles) != SEARCH_QUANTILES ||
	    !json_integer_value(json_object_get(search, "runs")))
		return;
	item = item_of(side, COMPARED_THRESHOLD, "s/%s/%s", word_at(search, "name"), word_at(search, "cell"));
	item->less_is_worse = strcmp(word_at(search, "worse"), "less") == 0;
	if (!item->text)
		item->text = memory_text(word_at(search, "text"), strlen(word_at(search, "text")));
	json_array_foreach(quantiles, i, quantile)
	    numbers_add(&item->values, base * (json_is_number(quantile) ? json_number_value(quantile) : 0));
}

static void read_sweep(struct side *side, const json_t *sweep)
{
	const json_t *fault;
	size_t i;

	json_array_foreach(json_object_get(sweep, "faults"), i, fault)
	{
		int outcome = outcome_read(word_at(fault, "outcome"));
		struct item *item;

		if (outcome < 0 || !outcome_is_judged((enum case_outcome)outcome))
			continue;
		item = item_of(
		    side, COMPARED_SWEEP, "w/%s/%s", word_at(sweep, "name"), word_at(sweep, "cell"));
		add_case(item, word_at(fault, "id"), outcome == OUTCOME_PASS);
		item->passes.count++;
		item->passes.passed += outcome == OUTCOME_PASS;
	}
}

static void read_side(struct side *side, const json_t *campaign)
{
	json_t *better = json_object();
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(campaign, "measures"), i, item) if (*word_at(item, "better"))
	    json_object_set_new(better, word_at(item, "name"), json_string(word_at(item, "better")));
	json_array_foreach(json_object_get(campaign, "cases"), i, item) read_case(side, item, better);
	json_array_foreach(json_object_get(campaign, "searches"), i, item) read_search(side, item);
	json_array_foreach(json_object_get(campaign, "sweeps"), i, item) read_sweep(side, item);
	json_decref(better);
}

static void side_free(struct side *side)
{
	for (size_t i = 0; i < side->count; i++) {
		struct item *item = side->all[i];

		for (size_t k = 0; k < item->case_count; k++)
			free(item->cases[k].id);
		free(item->cases);
		free(item->values.all);
		free(item->text);
		free(item->key);
		free(item);
	}
	free(side->all);
	dictionary_free(&side->by_key);
}

/* ---- Tests ---- */

static void add_note(struct comparison *comparison, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_note(struct comparison *comparison, const char *format, ...)
{
	struct text text = {0};
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	comparison->notes = memory_grow(
	    comparison->notes, comparison->note_count, sizeof(*comparison->notes));
	comparison->notes[comparison->note_count++] = text.at;
}

static const struct item_case *case_of(const struct item *item, const char *id)
{
	for (size_t i = 0; i < item->case_count; i++)
		if (strcmp(item->cases[i].id, id) == 0)
			return &item->cases[i];
	return NULL;
}

/* Counts cases with the same id whose outcome differs. */
static void count_pairs(const struct item *old, const struct item *new, unsigned *to_fail, unsigned *to_pass)
{
	*to_fail = *to_pass = 0;
	for (size_t i = 0; i < new->case_count; i++) {
		const struct item_case *before = case_of(old, new->cases[i].id);

		*to_fail += before && before->passed && !new->cases[i].passed;
		*to_pass += before && !before->passed && new->cases[i].passed;
	}
}

static void compare_cells(struct comparison *comparison, const struct item *old, const struct item *new,
    struct compared *compared, struct text *text)
{
	struct interval a = statistics_wilson(old->passes), b = statistics_wilson(new->passes);
	double share_old = (double)old->passes.passed / old->passes.count;
	double share_new = (double)new->passes.passed / new->passes.count;
	unsigned to_fail, to_pass;

	compared->old = old->passes;
	compared->new = new->passes;
	compared->p = statistics_fisher(old->passes, new->passes);
	compared->direction = share_new < share_old ? -1 : share_new > share_old;
	text_add(text, "%u of %u (%.0f to %.0f %%) → %u of %u (%.0f to %.0f %%)", old->passes.passed,
	    old->passes.count, a.low * 100, a.high * 100, new->passes.passed, new->passes.count, b.low * 100,
	    b.high * 100);
	count_pairs(old, new, &to_fail, &to_pass);
	if (to_fail || to_pass)
		add_note(comparison, "%s: with the same seed %u went from pass to fail, %u from fail to pass",
		    new->key, to_fail, to_pass);
}

static void compare_thresholds(
    const struct item *old, const struct item *new, struct compared *compared, struct text *text)
{
	double below = 0;
	size_t pools = old->values.count / SEARCH_QUANTILES;

	/* Several old campaigns are a mixture of their posteriors. */
	for (size_t i = 0; i < pools; i++)
		below += search_probability_below(new->values.all, old->values.all + i * SEARCH_QUANTILES) /
		         (double)pools;
	compared->p = fmin(1, 2 * fmin(below, 1 - below));
	compared->direction = below > 0.5 ? -1 : below < 0.5;
	if (new->less_is_worse)
		compared->direction = -compared->direction;
	text_add(text, "%s → %s", old->text, new->text);
}

static void compare_measures(
    const struct item *old, const struct item *new, struct compared *compared, struct text *text)
{
	int higher;

	compared->p = statistics_mann_whitney(
	    new->values.all, new->values.count, old->values.all, old->values.count, &higher);
	compared->direction = new->better == 1 ? -higher : higher;
	text_add(text, "median %g of %zu → %g of %zu",
	    statistics_quantile(old->values.all, old->values.count, 0.5), old->values.count,
	    statistics_quantile(new->values.all, new->values.count, 0.5), new->values.count);
}

static void compare_sweeps(struct comparison *comparison, const struct item *old, const struct item *new,
    struct compared *compared, struct text *text)
{
	unsigned to_fail, to_pass;

	count_pairs(old, new, &to_fail, &to_pass);
	compared->p = statistics_sign(to_fail, to_pass);
	compared->direction = to_fail > to_pass ? -1 : to_fail < to_pass;
	text_add(text, "%u of %u faults survived → %u of %u; %u went from pass to fail, %u from fail to pass",
	    old->passes.passed, old->passes.count, new->passes.passed, new->passes.count, to_fail, to_pass);
	for (size_t i = 0; i < new->case_count; i++) {
		const struct item_case *before = case_of(old, new->cases[i].id);

		if (before && before->passed && !new->cases[i].passed)
			add_note(comparison, "%s passed and now fails", new->cases[i].id);
	}
}

static void compare_items(struct comparison *comparison, const struct item *old, const struct item *new)
{
	struct compared compared = {.kind = new->kind, .largest = -1};
	struct text text = {0};

	switch (new->kind) {
	case COMPARED_CELL: compare_cells(comparison, old, new, &compared, &text); break;
	case COMPARED_THRESHOLD: compare_thresholds(old, new, &compared, &text); break;
	case COMPARED_MEASURE: compare_measures(old, new, &compared, &text); break;
	case COMPARED_SWEEP: compare_sweeps(comparison, old, new, &compared, &text); break;
	}
	compared.name = memory_text(new->key, strlen(new->key));
	compared.text = text.at;
	comparison->all = memory_grow(comparison->all, comparison->count, sizeof(*comparison->all));
	comparison->all[comparison->count++] = compared;
}

static void test_overall(struct comparison *comparison)
{
	struct stratum *strata = memory_new(comparison->count + 1, sizeof(*strata));
	size_t count = 0;

	for (size_t i = 0; i < comparison->count; i++)
		if (comparison->all[i].kind == COMPARED_CELL)
			strata[count++] = (struct stratum){comparison->all[i].new, comparison->all[i].old};
	comparison->overall = count ? statistics_cmh(strata, count, &comparison->overall_direction) : 1;
	free(strata);
}

int compared_verdict(const struct compared *compared)
{
	return compared->adjusted < COMPARE_LEVEL ? compared->direction : 0;
}

static void conclude(struct comparison *comparison)
{
	double *p = memory_new(comparison->count + 1, sizeof(*p));

	for (size_t i = 0; i < comparison->count; i++)
		p[i] = comparison->all[i].p;
	statistics_holm(p, comparison->count);
	for (size_t i = 0; i < comparison->count; i++) {
		struct compared *compared = &comparison->all[i];

		compared->adjusted = p[i];
		if (compared->kind == COMPARED_CELL)
			compared->largest = statistics_largest_significant(
			    compared->old, compared->new.count, COMPARE_LEVEL / (double)comparison->count);
		comparison->is_worse |= compared_verdict(compared) < 0;
		comparison->is_better |= compared_verdict(compared) > 0;
	}
	free(p);
	if (comparison->overall < COMPARE_LEVEL_OVERALL) {
		comparison->is_worse |= comparison->overall_direction < 0;
		comparison->is_better |= comparison->overall_direction > 0;
	}
}

int compare(const json_t *const *sides, size_t count, struct comparison *comparison, struct error *error)
{
	struct side old = {0}, new = {0};

	*comparison = (struct comparison){.overall = 1};
	for (size_t i = 0; i + 1 < count; i++)
		read_side(&old, sides[i]);
	read_side(&new, sides[count - 1]);
	for (size_t i = 0; i < new.count; i++) {
		const struct item *before = dictionary_get(&old.by_key, NULL, new.all[i]->key);

		if (before && before->kind == new.all[i]->kind)
			compare_items(comparison, before, new.all[i]);
	}
	side_free(&old);
	side_free(&new);
	if (!comparison->count)
		return error_set(error, "the campaigns have no cell, search or sweep in common");
	test_overall(comparison);
	conclude(comparison);
	return 0;
}

void comparison_free(struct comparison *comparison)
{
	for (size_t i = 0; i < comparison->count; i++) {
		free(comparison->all[i].name);
		free(comparison->all[i].text);
	}
	for (size_t i = 0; i < comparison->note_count; i++)
		free(comparison->notes[i]);
	free(comparison->all);
	free(comparison->notes);
	*comparison = (struct comparison){0};
}
