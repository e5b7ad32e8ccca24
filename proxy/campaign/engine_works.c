/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_works: works: which case of which unit is next, and who holds the unit. A work begins with its
 * claim, then reads what other invocations have finished of it; only then is its next case known.
 */
#include "proxy/campaign/engine_inside.h"

#include <stdlib.h>

#include "base/memory.h"
#include "campaign/findings.h"
#include "proxy/campaign/folder.h"
#include "proxy/run/log.h"

bool works_add(struct engine *engine)
{
	size_t before = engine->work_count;

	for (; engine->planned < engine->plan->unit_count; engine->planned++) {
		const struct unit *unit = &engine->plan->units[engine->planned];

		/* A shard's faults may have references that are another's. */
		if (!engine->selects(unit, engine->user) &&
		    !(engine->options->is_shard && unit->kind == UNIT_REFERENCES))
			continue;
		engine->works = memory_grow(engine->works, engine->work_count, sizeof(*engine->works));
		engine->works[engine->work_count++] = (struct work){.unit = engine->planned};
	}
	return engine->work_count > before;
}

/* Returns whether a stored outcome stands: it is not tried again. */
static bool stands(const struct engine *engine, const char *id)
{
	const struct result *result = results_get(engine->results, id);

	return result && result->outcome != OUTCOME_INVALID;
}

void work_finish(struct engine *engine, struct work *work)
{
	work->state = WORK_DONE;
	claim_release(&work->claim, engine->store);
	search_free(work->search);
	work->search = NULL;
	while (
	    engine->first_open < engine->work_count && engine->works[engine->first_open].state != WORK_OPEN)
		engine->first_open++;
}

bool work_goes_on(const struct work *work)
{
	return work->no_points < SEARCH_NO_POINTS_MAX && search_result(work->search).state == SEARCH_OPEN;
}

void work_retry(struct work *work, unsigned run, unsigned tries)
{
	work->retries = memory_grow(work->retries, work->retry_count, sizeof(*work->retries));
	work->retries[work->retry_count++] = (struct retry){run, tries};
}

/* Feeds the search with its finished runs; invalid ones, of earlier invocations, are tried again. */
static void replay_search(struct engine *engine, struct work *work)
{
	const struct unit *unit = engine_unit(engine, work);
	unsigned last = search_last_run(unit, engine->results);

	work->search = search_new(&engine->plan->settings->searches[unit->section].settings);
	for (unsigned run = 1; run <= last; run++) {
		const struct result *result = search_run(unit, engine->results, run);

		if (result && result->outcome == OUTCOME_INVALID)
			work_retry(work, run, 0);
		else if (result)
			work_answer(engine, work, result);
	}
}

void work_answer(struct engine *engine, struct work *work, const struct result *result)
{
	const struct search_section *section =
	    &engine->plan->settings->searches[engine_unit(engine, work)->section];
	struct error error;
	double figure;

	if (!outcome_is_judged(result->outcome) || !result->figure ||
	    figure_read(result->figure, &section->settings.unit, &figure, &error)) {
		search_skip(work->search);
		work->no_points++;
		return;
	}
	work->no_points = 0;
	search_answer(work->search, figure, result->outcome == OUTCOME_PASS);
}

/* Returns the first reference without an outcome that stands, from 1; 0: all have one, or one has failed. */
static unsigned next_reference(const struct engine *engine, const struct unit *unit)
{
	uint64_t wanted = engine->plan->settings->sweeps[unit->section].references;

	if (expansion_cell(engine->expansion, unit->section, unit->cell)->state != SWEEP_WAITS)
		return 0;
	for (unsigned k = 1; k <= wanted; k++) {
		struct text id = {0};
		bool done;

		reference_id(unit, k, &id);
		done = stands(engine, id.at);
		text_free(&id);
		if (!done)
			return k;
	}
	return 0;
}

/* Another job may have finished cases of the unit after the results were read. */
static void reload_unit(struct engine *engine, struct work *work)
{
	const struct unit *unit = engine_unit(engine, work);
	struct text odd = {0};

	work->is_reloaded = true;
	if (unit->kind == UNIT_MATRIX || unit->kind == UNIT_SWEEP) {
		store_load_one(engine->store, unit->id, engine->results, &odd);
	} else {
		size_t before = 0;

		for (unsigned run = 1; run == 1 || engine->results->count > before; run++) {
			struct text id = {0};

			before = engine->results->count;
			if (unit->kind == UNIT_SEARCH)
				search_case_id(unit, run, &id);
			else
				reference_id(unit, run, &id);
			if (results_get(engine->results, id.at))
				before = 0;
			else
				store_load_one(engine->store, id.at, engine->results, &odd);
			text_free(&id);
		}
		expansion_update(engine->expansion, engine->plan, engine->results);
		search_free(work->search);
		work->search = NULL;
	}
	text_free(&odd);
}

/* Takes the unit's claim. Returns false if another job has it. */
static bool claim_work(struct engine *engine, struct work *work, ns_t now)
{
	const struct unit *unit = engine_unit(engine, work);
	struct error error;
	enum claim_result taken;

	if (work->claim.path)
		return true;
	taken = claim_take(engine->store, unit->id, now, &work->claim, &error);
	work->is_held = taken == CLAIM_HELD;
	work->look_again = taken == CLAIM_TAKEN ? 0 : now + ENGINE_LOOK_AGAIN;
	if (taken == CLAIM_FAILED)
		engine_stop(engine, "%s", error.text);
	if (taken == CLAIM_HELD && !work->was_told) {
		log_info("%s: another job runs it", unit->id);
		work->was_told = true;
	}
	if (taken == CLAIM_WATCHED && !work->was_told) {
		log_info("%s: another job may run it; its claim is watched", unit->id);
		work->was_told = true;
	}
	return taken == CLAIM_TAKEN;
}

/* With --again, puts aside what the unit has, once. */
static void put_aside(struct engine *engine, struct work *work)
{
	const struct unit *unit = engine_unit(engine, work);
	struct error error;

	/* The references of a sweep may be another shard's. */
	if (!engine->options->again || work->is_fresh || !engine->selects(unit, engine->user))
		return;
	work->is_fresh = true;
	for (unsigned run = 1;; run++) {
		struct text id = {0};
		bool was_there;

		if (unit->kind == UNIT_SEARCH)
			search_case_id(unit, run, &id);
		else if (unit->kind == UNIT_REFERENCES)
			reference_id(unit, run, &id);
		else
			text_add_word(&id, unit->id);
		was_there = results_get(engine->results, id.at) != NULL;
		if (was_there && store_retire(engine->store, id.at, &error))
			engine_stop(engine, "%s", error.text);
		results_remove(engine->results, id.at);
		text_free(&id);
		if (!was_there || unit->kind == UNIT_MATRIX || unit->kind == UNIT_SWEEP)
			break;
	}
	if (unit->kind == UNIT_REFERENCES)
		expansion_reset(engine->expansion, unit->section, unit->cell);
	search_free(work->search);
	work->search = NULL;
}

/* Collects the points of the work's cases that run; returns how many. */
static unsigned collect_points(const struct engine *engine, const struct work *work, double *points)
{
	unsigned count = 0;

	for (size_t i = 0; i < engine->slot_count && count < SETTINGS_JOBS_MAX; i++)
		if (engine->slots[i].run && engine->slots[i].work == (size_t)(work - engine->works))
			points[count++] = engine->slots[i].point;
	return count;
}

/* Returns the least number of a run that has no result and is not under way. */
static unsigned free_run(const struct engine *engine, const struct work *work)
{
	const struct unit *unit = engine_unit(engine, work);

	for (unsigned run = 1;; run++) {
		bool is_used = search_run(unit, engine->results, run) != NULL;

		for (size_t i = 0; i < engine->slot_count; i++)
			is_used |= engine->slots[i].run &&
			           engine->slots[i].work == (size_t)(work - engine->works) &&
			           engine->slots[i].run_number == run;
		if (!is_used)
			return run;
	}
}

/* Writes search.json beside the cases of a search that has ended. */
static void write_search(struct engine *engine, const struct work *work)
{
	const struct unit *unit = engine_unit(engine, work);
	const struct search_section *section = &engine->plan->settings->searches[unit->section];
	struct search_findings found = {.result = search_result(work->search), .no_points = work->no_points};
	char *path = store_path(engine->store, "units/%s/search.json", unit->id);
	struct text text = {0};
	struct error error;
	json_t *json;

	found.is_incomplete = found.result.state == SEARCH_OPEN;
	findings_search_text(section, &found, &text);
	json = search_result_json(section, &found, text.at);
	if (folder_make_above(path, &error) || store_write_json(path, json, &error))
		engine_stop(engine, "%s", error.text);
	json_decref(json);
	text_free(&text);
	free(path);
}

/* Chooses the next point of a search. Returns false if there is none now; then the work may be done. */
static bool next_point(struct engine *engine, struct work *work, struct slot *slot)
{
	const struct unit *unit = engine_unit(engine, work);
	const struct search_section *section = &engine->plan->settings->searches[unit->section];
	static double points[SETTINGS_JOBS_MAX];
	char written[FIGURE_TEXT_SIZE];
	unsigned pending;

	if (work->running && engine->slot_count == 1)
		return false;
	if (!work->search)
		replay_search(engine, work);
	pending = collect_points(engine, work, points);
	if (!work_goes_on(work) || !search_next(work->search, points, pending, &slot->point)) {
		if (!work->running) {
			write_search(engine, work);
			work_finish(engine, work);
		}
		return false;
	}
	slot->tries = 0;
	if (work->retry_count) {
		slot->run_number = work->retries[--work->retry_count].run;
		slot->tries = work->retries[work->retry_count].tries;
	} else {
		slot->run_number = free_run(engine, work);
	}
	search_case_id(unit, slot->run_number, &slot->id);
	text_add_word(
	    &slot->figure, figure_text(&section->settings.unit, slot->point, written, sizeof(written)));
	plan_search_setting(section, slot->point, &slot->extra);
	return true;
}

/* Prepares the next case of a work whose claim is held: fills the slot's id, extra, figure and fault. Returns
 * false if there is none now; then the work may be done. */
static bool next_case(struct engine *engine, struct work *work, struct slot *slot)
{
	const struct unit *unit = engine_unit(engine, work);
	const struct sweep_place *place;
	struct sweep_place alone = {0};
	unsigned reference;

	text_clear(&slot->id);
	text_clear(&slot->extra);
	text_clear(&slot->figure);
	text_clear(&slot->fault);
	if (unit->kind == UNIT_SEARCH)
		return next_point(engine, work, slot);
	if (work->running)
		return false;
	if (unit->kind == UNIT_REFERENCES) {
		reference = next_reference(engine, unit);
		if (!reference) {
			work_finish(engine, work);
			return false;
		}
		reference_id(unit, reference, &slot->id);
		return true;
	}
	if (!work->invalid && stands(engine, unit->id)) {
		work_finish(engine, work);
		return false;
	}
	text_add_word(&slot->id, unit->id);
	if (unit->kind == UNIT_SWEEP) {
		place = expansion_place(engine->expansion, unit);
		if (!place && sweep_place_of(unit->place, &alone) == 0)
			place = &alone;
		if (place)
			sweep_rule(place, unit->fault, &slot->fault);
		sweep_place_fini(&alone);
	}
	return true;
}

bool work_offer(struct engine *engine, struct work *work, struct slot *slot, ns_t now)
{
	const struct unit *unit = engine_unit(engine, work);

	if (work->look_again > now)
		return false;
	/* Without a claim: what is known to be done is passed quickly. */
	if (!work->claim.path && !engine->options->again && !work->invalid &&
	    (unit->kind == UNIT_MATRIX || unit->kind == UNIT_SWEEP) && stands(engine, unit->id)) {
		claim_clear(engine->store, unit->id, now);
		work_finish(engine, work);
		return false;
	}
	if (!claim_work(engine, work, now))
		return false;
	if (!work->is_reloaded)
		reload_unit(engine, work);
	put_aside(engine, work);
	return next_case(engine, work, slot);
}
