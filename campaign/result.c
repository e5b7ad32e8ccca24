/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results are kept in the order in which they come, until they are sorted, with a dictionary from ids to
 * them. result_read reads what result_json writes.
 */
#include "campaign/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static void free_strings(char **strings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(strings[i]);
	free(strings);
}

void result_fini(struct result *result)
{
	free(result->id);
	free(result->reason);
	free(result->bench);
	free(result->figure);
	for (size_t i = 0; i < result->measure_count; i++)
		free(result->measures[i].name);
	free(result->measures);
	free_strings(result->unmet, result->unmet_count);
	free_strings(result->places, result->place_count);
	*result = (struct result){0};
}

void result_measure(struct result *result, const char *name, double value)
{
	for (size_t i = 0; i < result->measure_count; i++)
		if (strcmp(result->measures[i].name, name) == 0) {
			result->measures[i].value = value;
			return;
		}
	result->measures = memory_grow(result->measures, result->measure_count, sizeof(*result->measures));
	result->measures[result->measure_count++] = (struct measured){memory_text(name, strlen(name)), value};
}

double result_value(const struct result *result, const char *name)
{
	for (size_t i = 0; i < result->measure_count; i++)
		if (strcmp(result->measures[i].name, name) == 0)
			return result->measures[i].value;
	return NAN;
}

void result_unmet(struct result *result, const char *text)
{
	result->unmet = memory_grow(result->unmet, result->unmet_count, sizeof(*result->unmet));
	result->unmet[result->unmet_count++] = memory_text(text, strlen(text));
}

void result_place(struct result *result, const char *place)
{
	result->places = memory_grow(result->places, result->place_count, sizeof(*result->places));
	result->places[result->place_count++] = memory_text(place, strlen(place));
}

/* ---- JSON ---- */

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text)
		json_object_set_new(object, key, json_string(text));
}

static json_t *strings_json(char *const *strings, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(strings[i]));
	return list;
}

json_t *result_json(const struct result *result)
{
	json_t *object = json_object(), *measures = json_object();

	set_text(object, "id", result->id);
	set_text(object, "outcome", outcome_words[result->outcome]);
	set_text(object, "reason", result->reason);
	json_object_set_new(object, "seconds", json_real(round(result->seconds * 1e3) / 1e3));
	if (result->status >= 0 && !result->signal)
		json_object_set_new(object, "status", json_integer(result->status));
	if (result->signal)
		json_object_set_new(object, "signal", json_integer(result->signal));
	json_object_set_new(object, "seed", json_integer((json_int_t)result->seed));
	set_text(object, "bench", result->bench);
	set_text(object, "figure", result->figure);
	if (result->struck)
		json_object_set_new(object, "struck", json_integer((json_int_t)result->struck));
	for (size_t i = 0; i < result->measure_count; i++)
		json_object_set_new(measures, result->measures[i].name, json_real(result->measures[i].value));
	json_object_set_new(object, "measures", measures);
	if (result->unmet_count)
		json_object_set_new(object, "unmet", strings_json(result->unmet, result->unmet_count));
	if (result->place_count)
		json_object_set_new(object, "places", strings_json(result->places, result->place_count));
	if (result->is_resumed)
		json_object_set_new(object, "resumed", json_true());
	if (isfinite(result->lateness_p99_us))
		json_object_set_new(object, "lateness_p99_us", json_real(result->lateness_p99_us));
	return object;
}

static char *get_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? memory_text(text, strlen(text)) : NULL;
}

static uint64_t get_count(const json_t *object, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(object, key));

	return number > 0 ? (uint64_t)number : 0;
}

static int get_small(const json_t *object, const char *key, int missing)
{
	const json_t *value = json_object_get(object, key);
	json_int_t number = json_integer_value(value);

	return json_is_integer(value) && number >= 0 && number < 1024 ? (int)number : missing;
}

int result_read(const json_t *json, struct result *result, struct error *error)
{
	const char *word = json_string_value(json_object_get(json, "outcome"));
	const json_t *late = json_object_get(json, "lateness_p99_us"), *item;
	const char *name;
	json_t *value;
	size_t i;

	*result = (struct result){.id = get_text(json, "id")};
	if (!word || outcome_read(word) < 0 || !result->id) {
		result_fini(result);
		return error_set(error, "it has no `id` and `outcome` of a case");
	}
	result->outcome = (enum case_outcome)outcome_read(word);
	result->reason = get_text(json, "reason");
	result->seconds = json_number_value(json_object_get(json, "seconds"));
	result->status = get_small(json, "status", -1);
	result->signal = get_small(json, "signal", 0);
	result->seed = get_count(json, "seed");
	result->bench = get_text(json, "bench");
	result->figure = get_text(json, "figure");
	result->struck = get_count(json, "struck");
	result->is_resumed = json_is_true(json_object_get(json, "resumed"));
	result->lateness_p99_us = json_is_number(late) ? json_number_value(late) : NAN;
	json_object_foreach(json_object_get(json, "measures"), name, value) if (json_is_number(value))
	    result_measure(result, name, json_number_value(value));
	json_array_foreach(json_object_get(json, "unmet"), i, item) if (json_is_string(item))
	    result_unmet(result, json_string_value(item));
	json_array_foreach(json_object_get(json, "places"), i, item) if (json_is_string(item))
	    result_place(result, json_string_value(item));
	return 0;
}

/* ---- All results ---- */

void results_put(struct results *results, const struct result *result)
{
	struct result *known = dictionary_get(&results->by_id, NULL, result->id), old;

	if (known) {
		/* The dictionary's key is the id of the entry that stays. */
		old = *known;
		char *id = known->id;
		char *unused = result->id;

		*known = *result;
		known->id = id;
		old.id = unused;
		result_fini(&old);
		return;
	}
	known = memory_new(1, sizeof(*known));
	*known = *result;
	results->all = memory_grow(results->all, results->count, sizeof(*results->all));
	results->all[results->count++] = known;
	dictionary_put(&results->by_id, NULL, known->id, known);
}

void results_remove(struct results *results, const char *id)
{
	struct result *result = dictionary_get(&results->by_id, NULL, id);
	size_t i = 0;

	if (!result)
		return;
	while (results->all[i] != result)
		i++;
	results->all[i] = results->all[--results->count];
	/* The dictionary cannot forget a name, which must live on. */
	dictionary_put(&results->by_id, NULL, result->id, NULL);
	results->removed = memory_grow(results->removed, results->removed_count, sizeof(*results->removed));
	results->removed[results->removed_count++] = result;
}

/* Numbers in ids are compared as numbers: m/gprs/10 comes after m/gprs/9. */
static int by_id(const void *a, const void *b)
{
	return strverscmp((*(struct result *const *)a)->id, (*(struct result *const *)b)->id);
}

void results_sort(struct results *results)
{
	if (results->count)
		qsort(results->all, results->count, sizeof(*results->all), by_id);
}

const struct result *results_get(const struct results *results, const char *id)
{
	return dictionary_get(&results->by_id, NULL, id);
}

void results_free(struct results *results)
{
	for (size_t i = 0; i < results->count; i++) {
		result_fini(results->all[i]);
		free(results->all[i]);
	}
	for (size_t i = 0; i < results->removed_count; i++) {
		result_fini(results->removed[i]);
		free(results->removed[i]);
	}
	free(results->removed);
	free(results->all);
	dictionary_free(&results->by_id);
	*results = (struct results){0};
}
