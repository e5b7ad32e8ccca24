/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A `work` is one selected unit and how far it has come. Slots look for the first work, in the plan's order,
 * that has a case to run and that their bench may run:
 *
 *   matrix, sweep   one case; an invalid one is tried again, `retry` times
 *   references      its cases one after the other; when all have passed, the faults are added to the plan
 *   search          the next point; with one job only after the outcome of the one before
 *
 * A unit's claim is held from its first case to its last.
 */
#include "proxy/campaign/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "campaign/findings.h"
#include "proxy/campaign/child.h"
#include "proxy/campaign/folder.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"

#define BASELINE_EVERY 50
#define STATUS_PERIOD NS_S
#define WAIT_FOR_CLAIM NS_S /* between looks at a bench's claim that another invocation holds */

enum work_state { WORK_OPEN, WORK_DONE, WORK_HELD /* by another job */ };

struct work {
	size_t unit;
	enum work_state state;
	struct claim claim;
	unsigned running;  /* its cases that run */
	unsigned invalid;  /* tries of the current case that were invalid */
	const struct bench_section *avoided; /* where the last try was invalid */
	struct search *search;
	unsigned next_run;  /* of a search, from 1 */
	unsigned retry_run; /* of a search: an invalid run to try again; 0: none */
	unsigned no_points; /* of a search: cases in a row without an outcome that counts */
};

struct slot {
	const struct bench_section *bench; /* NULL: a job without a bench */
	struct case_run *run;              /* NULL: idle */
	size_t work;                       /* SIZE_MAX: a baseline */
	struct text id, extra, figure, fault;
	char *folder;
	struct claim claim; /* of the bench */
	ns_t look_again;    /* at the bench's claim */
	bool is_set_up, is_out;
	unsigned invalid; /* cases in a row */
	const char **values; /* of each axis with `change`, as last changed here; NULL: never */
	unsigned run_number; /* of the case, in its search or among its references */
};

struct engine {
	struct campaign_plan *plan;
	struct expansion *expansion;
	struct results *results;
	const struct store *store;
	const struct case_context *context;
	const struct engine_options *options;
	engine_selects *selects;
	void *user;
	struct engine_end *end;
	struct work *works;
	size_t work_count, first_open;
	size_t planned; /* units of the plan that have been looked at */
	struct slot *slots;
	size_t slot_count;
	int signals;
	bool stopping; /* no case starts any more */
	unsigned signal_count;
	ns_t began, renewed, shown;
	unsigned started, done, passed, failed, invalid;
	unsigned baselines, baselines_wanted;
	double seconds; /* of all finished cases */
};

static void stop(struct engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void stop(struct engine *engine, const char *format, ...)
{
	va_list list;

	engine->stopping = true;
	if (engine->end->reason[0])
		return; /* the first reason counts */
	va_start(list, format);
	vsnprintf(engine->end->reason, sizeof(engine->end->reason), format, list);
	va_end(list);
}

static const struct campaign_settings *settings_of(const struct engine *engine)
{
	return &engine->plan->settings->campaign;
}

static const struct unit *unit_of(const struct engine *engine, const struct work *work)
{
	return &engine->plan->units[work->unit];
}

/* ---- Works ---- */

/* Adds works for units that the plan has got since the last call. */
static void add_works(struct engine *engine)
{
	for (; engine->planned < engine->plan->unit_count; engine->planned++) {
		const struct unit *unit = &engine->plan->units[engine->planned];

		if (!engine->selects(unit, engine->user))
			continue;
		engine->works = memory_grow(engine->works, engine->work_count, sizeof(*engine->works));
		engine->works[engine->work_count++] = (struct work){.unit = engine->planned, .next_run = 1};
	}
}

/* Returns whether a stored outcome stands: it is not tried again. */
static bool stands(const struct engine *engine, const char *id)
{
	const struct result *result = results_get(engine->results, id);

	return result && result->outcome != OUTCOME_INVALID;
}

static void finish_work(struct engine *engine, struct work *work)
{
	work->state = WORK_DONE;
	claim_release(&work->claim, engine->store);
	search_free(work->search);
	work->search = NULL;
	while (engine->first_open < engine->work_count && engine->works[engine->first_open].state != WORK_OPEN)
		engine->first_open++;
}

/* Returns the first of the invalid runs just before run `next` of a search, or 0. */
static unsigned first_invalid(const struct engine *engine, const struct unit *unit, unsigned next)
{
	unsigned first = 0;

	for (unsigned run = next - 1; run > 0; run--) {
		struct text id = {0};
		const struct result *result;

		search_case_id(unit, run, &id);
		result = results_get(engine->results, id.at);
		text_free(&id);
		if (!result || result->outcome != OUTCOME_INVALID)
			break;
		first = run;
	}
	return first;
}

static bool search_goes_on(const struct work *work)
{
	return work->no_points < SEARCH_NO_POINTS_MAX && search_result(work->search).state == SEARCH_OPEN;
}

/* Feeds the search with its finished points; returns whether it goes on. */
static bool replay_search(struct engine *engine, struct work *work)
{
	const struct unit *unit = unit_of(engine, work);
	const struct search_section *section = &engine->plan->settings->searches[unit->section];
	size_t points;

	work->search = search_new(&section->settings);
	work->next_run = search_replay(
	    unit, engine->results, work->search, section, NULL, &points, &work->no_points);
	/* What an earlier invocation could not have is tried again. */
	if (work->no_points) {
		work->retry_run = first_invalid(engine, unit, work->next_run);
		work->no_points = work->retry_run ? 0 : work->no_points;
	}
	return search_goes_on(work);
}

/* Feeds the search with the outcome of one more case. */
static void answer_search(struct engine *engine, struct work *work, const struct result *result)
{
	const struct search_section *section =
	    &engine->plan->settings->searches[unit_of(engine, work)->section];
	struct error error;
	double figure;

	if (!outcome_is_judged(result->outcome) || !result->figure ||
	    figure_read(result->figure, &section->settings.unit, &figure, &error)) {
		work->no_points++;
		return;
	}
	work->no_points = 0;
	search_answer(work->search, figure, result->outcome == OUTCOME_PASS);
}

/* Returns the first reference without an outcome that stands, from 1; 0: all have one. */
static unsigned next_reference(const struct engine *engine, const struct unit *unit)
{
	uint64_t wanted = engine->plan->settings->sweeps[unit->section].references;

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

/* Takes the unit's claim. Returns false if the work cannot go on now. */
static bool claim_work(struct engine *engine, struct work *work, ns_t now)
{
	const struct unit *unit = unit_of(engine, work);
	struct error error;

	if (work->claim.path)
		return true;
	switch (claim_take(engine->store, unit->id, now, &work->claim, &error)) {
	case CLAIM_TAKEN: return true;
	case CLAIM_HELD:
		log_info("%s: another job runs it", unit->id);
		engine->end->held++;
		work->state = WORK_HELD;
		return false;
	case CLAIM_FAILED: stop(engine, "%s", error.text); return false;
	}
	return false;
}

/* Another job may have finished the unit after its results were read. */
static void reload_result(struct engine *engine, const char *id)
{
	struct text odd = {0};

	store_load_one(engine->store, id, engine->results, &odd);
	text_free(&odd);
}

/* Prepares the next case of a work: fills the slot's id, extra, figure and fault. Returns false if there is
 * none now; then the work may be done. */
static bool next_case(struct engine *engine, struct work *work, struct slot *slot, ns_t now)
{
	const struct unit *unit = unit_of(engine, work);
	const struct settings *settings = engine->plan->settings;
	unsigned reference;
	double figure;
	char written[FIGURE_TEXT_SIZE];

	text_clear(&slot->id);
	text_clear(&slot->extra);
	text_clear(&slot->figure);
	text_clear(&slot->fault);
	switch (unit->kind) {
	case UNIT_MATRIX:
	case UNIT_SWEEP:
		if (work->running)
			return false;
		if (!work->invalid && !engine->options->again && stands(engine, unit->id)) {
			finish_work(engine, work);
			return false;
		}
		text_add_word(&slot->id, unit->id);
		break;
	case UNIT_REFERENCES:
		if (work->running)
			return false;
		reference = next_reference(engine, unit);
		if (!reference) {
			finish_work(engine, work);
			return false;
		}
		reference_id(unit, reference, &slot->id);
		slot->run_number = reference;
		break;
	case UNIT_SEARCH:
		if (work->running && engine->slot_count == 1)
			return false;
		if (!work->search && !replay_search(engine, work) && !work->retry_run) {
			finish_work(engine, work);
			return false;
		}
		if (!search_goes_on(work) || !search_next(work->search, work->running, &figure))
			return false;
		slot->run_number = work->retry_run ? work->retry_run : work->next_run++;
		work->retry_run = 0;
		search_case_id(unit, slot->run_number, &slot->id);
		text_add_word(&slot->figure,
		    figure_text(&settings->searches[unit->section].settings.unit, figure, written, sizeof(written)));
		plan_search_setting(&settings->searches[unit->section], figure, &slot->extra);
		break;
	}
	if (!claim_work(engine, work, now))
		return false;
	if (unit->kind != UNIT_SEARCH && !engine->options->again && !work->invalid) {
		reload_result(engine, slot->id.at);
		if (stands(engine, slot->id.at))
			return false; /* found done at the next look */
	}
	if (unit->kind == UNIT_SWEEP) {
		const struct sweep_place *place = expansion_place(engine->expansion, unit);
		struct sweep_place alone = {0};

		if (!place && sweep_place_of(unit->place, &alone) == 0)
			place = &alone;
		if (place)
			sweep_rule(place, unit->fault, &slot->fault);
		sweep_place_fini(&alone);
	}
	return true;
}

/* ---- Benches ---- */

static bool may_run(const struct engine *engine, const struct slot *slot, const struct work *work)
{
	const struct bench_section *bench = slot->bench;
	const struct cell *cell = &engine->plan->cells[unit_of(engine, work)->cell];
	bool is_other_free = false;

	if (!bench)
		return true;
	for (size_t i = 0; i < bench->only.count; i++)
		if (plan_selects(engine->plan, &bench->only.all[i], cell))
			break;
		else if (i + 1 == bench->only.count)
			return false;
	/* After an invalid case another bench is tried, if there is one. */
	for (size_t i = 0; work->avoided == bench && i < engine->slot_count; i++)
		is_other_free |= engine->slots[i].bench != bench && !engine->slots[i].is_out;
	return !is_other_free;
}

static void take_out(struct engine *engine, struct slot *slot, const char *why)
{
	size_t left = 0;

	slot->is_out = true;
	log_error("bench %s gets no more cases: %s", slot->bench ? slot->bench->name : "(the only one)", why);
	for (size_t i = 0; i < engine->slot_count; i++)
		left += !engine->slots[i].is_out;
	if (!left)
		stop(engine, "no bench is left: %s", why);
}

/* Takes the bench's claim, and sets it up. Returns false if it cannot be used now. */
static bool ready_bench(struct engine *engine, struct slot *slot, ns_t now)
{
	const struct campaign_settings *campaign = settings_of(engine);
	char *log, *ready;
	struct text name = {0};
	struct error error;
	enum claim_result taken;

	if (slot->is_set_up)
		return true;
	if (slot->bench && !slot->claim.path) {
		text_add(&name, "bench/%s", slot->bench->name);
		taken = claim_take(engine->store, name.at, now, &slot->claim, &error);
		text_free(&name);
		if (taken == CLAIM_FAILED)
			stop(engine, "%s", error.text);
		if (taken == CLAIM_HELD)
			slot->look_again = now + WAIT_FOR_CLAIM;
		if (taken != CLAIM_TAKEN)
			return false;
	}
	if (campaign->setup) {
		log = store_path(engine->store, "benches/%s.log", slot->bench ? slot->bench->name : "bench");
		ready = store_path(engine->store, "benches/%s.ready", slot->bench ? slot->bench->name : "bench");
		if (folder_make_above(log, &error) ||
		    (access(ready, F_OK) && case_command(engine->context, slot->bench, NULL, campaign->setup,
		                                campaign->setup_timeout, log, &error))) {
			take_out(engine, slot, error.text);
		} else {
			FILE *out = fopen(ready, "we");

			if (out) {
				fprintf(out, "%s\n", engine->store->owner);
				fclose(out);
			}
		}
		free(log);
		free(ready);
	}
	slot->is_set_up = !slot->is_out;
	return slot->is_set_up;
}

/* Runs the `change` commands of axes whose value is another than the last here. */
static bool change_axes(struct engine *engine, struct slot *slot, const struct cell *cell)
{
	const struct settings *settings = engine->plan->settings;
	bool failed = false;

	for (size_t a = 0; a < settings->axis_count && !failed; a++) {
		const char *value = plan_value(engine->plan, cell, a)->label;
		struct error error;
		char *log;

		if (!settings->axes[a].change || slot->values[a] == value)
			continue;
		log = store_path(engine->store, "benches/%s.log", slot->bench ? slot->bench->name : "bench");
		failed = folder_make_above(log, &error) ||
		         case_command(engine->context, slot->bench, cell, settings->axes[a].change,
		             settings->campaign.setup_timeout, log, &error);
		if (failed)
			take_out(engine, slot, error.text);
		else
			slot->values[a] = value;
		free(log);
	}
	return !failed;
}

static void tear_down(struct engine *engine, struct slot *slot)
{
	const struct campaign_settings *campaign = settings_of(engine);
	struct error error;

	if (campaign->teardown && slot->is_set_up) {
		char *log = store_path(engine->store, "benches/%s.log", slot->bench ? slot->bench->name : "bench");

		if (folder_make_above(log, &error) || case_command(engine->context, slot->bench, NULL, campaign->teardown,
		                                          campaign->setup_timeout, log, &error))
			log_error("teardown: %s", error.text);
		free(log);
	}
	claim_release(&slot->claim, engine->store);
}

/* ---- Cases ---- */

static void start_case(struct engine *engine, struct slot *slot, const struct case_task *task, ns_t now)
{
	struct error error;

	slot->folder = store_begin(engine->store, task->id, &error);
	if (slot->folder) {
		struct case_task full = *task;

		full.folder = slot->folder;
		slot->run = case_new(engine->context, &full, now, &error);
		engine->started++;
	} else {
		stop(engine, "%s", error.text);
	}
}

static void start_work(struct engine *engine, struct slot *slot, size_t index, ns_t now)
{
	struct work *work = &engine->works[index];
	const struct unit *unit = unit_of(engine, work);
	const struct campaign_settings *campaign = settings_of(engine);
	uint64_t seed = unit->kind == UNIT_SEARCH       ? plan_search_seed(engine->plan, slot->run_number)
	                : unit->kind == UNIT_REFERENCES ? campaign->seeds.count ? campaign->seeds.all[0] : 1
	                                                : unit->seed;
	struct case_task task = {.id = slot->id.at,
	    .cell = &engine->plan->cells[unit->cell],
	    .bench = slot->bench,
	    .seed = seed,
	    .extra = slot->extra.size ? slot->extra.at : NULL,
	    .figure = slot->figure.size ? slot->figure.at : NULL,
	    .fault = slot->fault.size ? slot->fault.at : NULL,
	    .places_of =
	        unit->kind == UNIT_REFERENCES ? &engine->plan->settings->sweeps[unit->section] : NULL};

	if (!change_axes(engine, slot, task.cell))
		return;
	slot->work = index;
	start_case(engine, slot, &task, now);
	if (slot->run)
		work->running++;
}

static void start_baseline(struct engine *engine, struct slot *slot, ns_t now)
{
	const struct campaign_settings *campaign = settings_of(engine);
	struct case_task task = {.cell = &engine->plan->cells[0],
	    .bench = slot->bench,
	    .seed = campaign->seeds.count ? campaign->seeds.all[0] : 1,
	    .is_clean = true};

	text_clear(&slot->id);
	text_add(&slot->id, "baseline/%u", ++engine->baselines);
	task.id = slot->id.at;
	slot->work = SIZE_MAX;
	start_case(engine, slot, &task, now);
}

/* Removes what `keep` does not want of a case. */
static void prune(const struct engine *engine, const char *folder, const struct result *result)
{
	static const char *const files[] = {
	    "run.pcapng", "test.log", "proxy.log", "summary.json", "prepared.set", "prepared.env", "measures"};
	enum campaign_keep keep = settings_of(engine)->keep;
	bool has_failed = result->outcome == OUTCOME_FAIL || result->outcome == OUTCOME_TIMEOUT ||
	                  result->outcome == OUTCOME_INVALID;
	bool is_kept = keep == KEEP_ALL || (keep == KEEP_FAILED && has_failed);

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		struct text path = {0};

		text_add(&path, "%s/%s", folder, files[i]);
		/* What the result holds too goes anyway. */
		if (!is_kept || i >= 3)
			unlink(path.at);
		text_free(&path);
	}
}

/* Writes result.json, with the axes and the proxy's summary. */
static int write_result(struct engine *engine, const struct slot *slot, const struct result *result,
    json_t *summary, struct error *error)
{
	const struct case_task *task = case_task(slot->run);
	const struct settings *settings = engine->plan->settings;
	json_t *json = result_json(result), *axes = json_object();
	struct text path = {0};
	int failed;

	for (size_t a = 0; a < settings->axis_count; a++)
		json_object_set_new(
		    axes, settings->axes[a].name, json_string(plan_value(engine->plan, task->cell, a)->label));
	json_object_set_new(json, "axes", axes);
	json_object_set(json, "summary", summary ? summary : json_null());
	text_add(&path, "%s/result.json", slot->folder);
	failed = store_write_json(path.at, json, error);
	json_decref(json);
	text_free(&path);
	return failed;
}

static void report_case(struct engine *engine, const struct result *result)
{
	struct text line = {0};

	engine->done++;
	engine->seconds += result->seconds;
	engine->passed += result->outcome == OUTCOME_PASS;
	engine->failed += result->outcome == OUTCOME_FAIL || result->outcome == OUTCOME_TIMEOUT;
	engine->invalid += result->outcome == OUTCOME_INVALID;
	text_add(&line, "%-7s  %s", outcome_words[result->outcome], result->id);
	if (result->figure)
		text_add(&line, "  at %s", result->figure);
	text_add(&line, "  %.1f s", result->seconds);
	if (result->bench)
		text_add(&line, "  on %s", result->bench);
	if (result->reason) {
		text_add_word(&line, "  ");
		text_add_visible(&line, result->reason, strlen(result->reason));
	}
	log_info("%s", line.at);
	text_free(&line);
}

/* Counts invalid cases of the bench. */
static void judge_bench(struct engine *engine, struct slot *slot, const struct result *result)
{
	bool counts = result->outcome == OUTCOME_INVALID &&
	              !(result->reason && strcmp(result->reason, "the fault never struck") == 0);

	slot->invalid = counts ? slot->invalid + 1 : 0;
	if (slot->bench && slot->invalid >= settings_of(engine)->bench_out)
		take_out(engine, slot, result->reason ? result->reason : "its cases are invalid");
}

/* Decides what becomes of the work after one of its cases. */
static void conclude_work(struct engine *engine, struct slot *slot, const struct result *result)
{
	struct work *work = &engine->works[slot->work];
	const struct unit *unit = unit_of(engine, work);
	bool is_invalid = result->outcome == OUTCOME_INVALID;

	work->invalid = is_invalid ? work->invalid + 1 : 0;
	work->avoided = is_invalid ? slot->bench : NULL;
	if (is_invalid && work->invalid <= settings_of(engine)->retry && !engine->stopping) {
		if (unit->kind == UNIT_SEARCH)
			work->retry_run = slot->run_number;
		return;
	}
	switch (unit->kind) {
	case UNIT_MATRIX:
	case UNIT_SWEEP: finish_work(engine, work); break;
	case UNIT_REFERENCES:
		work->invalid = 0;
		expansion_update(engine->expansion, engine->plan, engine->results);
		/* A reference that failed or cannot be had ends the sweep in this cell. */
		if (result->outcome != OUTCOME_PASS) {
			log_error("%s: the test fails on an untouched network; the sweep ends", result->id);
			finish_work(engine, work);
		}
		add_works(engine);
		break;
	case UNIT_SEARCH:
		work->invalid = 0;
		answer_search(engine, work, result);
		if (!work->running && !search_goes_on(work))
			finish_work(engine, work);
		break;
	}
}

static void check_first(struct engine *engine, const struct result *result)
{
	if (engine->done != 1 || result->outcome != OUTCOME_INVALID ||
	    (result->status != STATUS_NOT_EXECUTABLE && result->status != STATUS_NOT_FOUND))
		return;
	engine->end->is_usage = !engine->options->is_partial;
	stop(engine, "the first case exited with status %d: `test` cannot be run", result->status);
}

static void finish_baseline(struct engine *engine, struct slot *slot, const struct result *result)
{
	struct error error;

	if (store_finish(engine->store, "baseline", strchr(slot->id.at, '/') + 1, slot->folder, &error))
		stop(engine, "%s", error.text);
	if (result->outcome != OUTCOME_PASS)
		stop(engine, "a run over a clean network did not pass (%s): the bench is broken",
		    result->reason ? result->reason : outcome_words[result->outcome]);
}

static void finish_case(struct engine *engine, struct slot *slot)
{
	bool is_baseline = slot->work == SIZE_MAX;
	const struct campaign_settings *campaign = settings_of(engine);
	struct result result;
	struct error error;
	json_t *summary;

	case_judge(slot->run, &result, &summary);
	if (!is_baseline)
		engine->works[slot->work].running--;
	if (case_was_interrupted(slot->run)) {
		store_discard(engine->store, slot->id.at, slot->folder);
		slot->folder = NULL;
		result_fini(&result);
	} else if (write_result(engine, slot, &result, summary, &error)) {
		stop(engine, "%s: %s", slot->id.at, error.text);
		result_fini(&result);
	} else {
		prune(engine, slot->folder, &result);
		report_case(engine, &result);
		if (is_baseline) {
			finish_baseline(engine, slot, &result);
			result_fini(&result);
		} else if (store_retire(engine->store, result.id, &error) ||
		           store_finish(engine->store, "units", result.id, slot->folder, &error)) {
			stop(engine, "%s", error.text);
			result_fini(&result);
		} else {
			const struct result *kept;
			char *id = memory_text(result.id, strlen(result.id));

			results_put(engine->results, &result);
			kept = results_get(engine->results, id);
			free(id);
			check_first(engine, kept);
			judge_bench(engine, slot, kept);
			conclude_work(engine, slot, kept);
			if (campaign->stop_after && engine->failed >= campaign->stop_after)
				stop(engine, "stop_after: %u cases failed", engine->failed);
		}
		if (campaign->baseline && !engine->options->is_partial && !is_baseline &&
		    engine->done % BASELINE_EVERY == 0)
			engine->baselines_wanted += (unsigned)campaign->baseline;
	}
	json_decref(summary);
	case_free(slot->run);
	slot->run = NULL;
	free(slot->folder);
	slot->folder = NULL;
}

/* ---- The loop ---- */

static void fill_slot(struct engine *engine, struct slot *slot, ns_t now)
{
	if (slot->run || slot->is_out || engine->stopping || now < slot->look_again)
		return;
	if (engine->baselines < engine->baselines_wanted) {
		if (ready_bench(engine, slot, now))
			start_baseline(engine, slot, now);
		return;
	}
	for (size_t i = engine->first_open; i < engine->work_count && !engine->stopping; i++) {
		struct work *work = &engine->works[i];

		if (work->state != WORK_OPEN || !may_run(engine, slot, work))
			continue;
		if (!next_case(engine, work, slot, now))
			continue;
		if (!ready_bench(engine, slot, now)) {
			if (unit_of(engine, work)->kind == UNIT_SEARCH)
				work->retry_run = slot->run_number;
			return;
		}
		start_work(engine, slot, i, now);
		return;
	}
}

static size_t count_running(const struct engine *engine)
{
	size_t running = 0;

	for (size_t i = 0; i < engine->slot_count; i++)
		running += engine->slots[i].run != NULL;
	return running;
}

static bool waits_for_bench(const struct engine *engine, ns_t now)
{
	for (size_t i = 0; i < engine->slot_count; i++)
		if (engine->slots[i].look_again > now && !engine->slots[i].is_out)
			return true;
	return false;
}

static void handle_signal(struct engine *engine, ns_t now)
{
	struct signalfd_siginfo info;

	if (read(engine->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	engine->signal_count++;
	stop(engine, "%s", info.ssi_signo == SIGINT ? "interrupted" : "terminated");
	for (size_t i = 0; i < engine->slot_count; i++) {
		struct slot *slot = &engine->slots[i];

		if (!slot->run)
			continue;
		if (engine->signal_count > 1)
			case_kill(slot->run);
		else
			case_interrupt(slot->run, now);
	}
}

static void show_status(struct engine *engine, ns_t now)
{
	size_t running = count_running(engine), open = 0;
	struct text line = {0};
	double elapsed = (double)(now - engine->began) / 1e9;

	if (!log_is_terminal() || now < engine->shown + STATUS_PERIOD)
		return;
	engine->shown = now;
	for (size_t i = engine->first_open; i < engine->work_count; i++)
		open += engine->works[i].state == WORK_OPEN;
	text_add(&line, "%u done, %zu left  pass %u  fail %u  invalid %u  running %zu  %d:%02d:%02d", engine->done,
	    open, engine->passed, engine->failed, engine->invalid, running, (int)elapsed / 3600,
	    (int)elapsed / 60 % 60, (int)elapsed % 60);
	if (engine->done) {
		double left = elapsed / engine->done * (double)open;

		text_add(&line, ", about %d:%02d:%02d to go", (int)left / 3600, (int)left / 60 % 60, (int)left % 60);
	}
	log_status(line.at);
	text_free(&line);
}

static void renew_claims(struct engine *engine, ns_t now)
{
	if (now < engine->renewed + STORE_RENEWAL)
		return;
	engine->renewed = now;
	for (size_t i = engine->first_open; i < engine->work_count; i++)
		claim_renew(&engine->works[i].claim, engine->store);
	for (size_t i = 0; i < engine->slot_count; i++)
		claim_renew(&engine->slots[i].claim, engine->store);
}

/* Waits for the next end of a child, signal or due time. */
static void wait_for_event(struct engine *engine)
{
	struct pollfd *fds = memory_new(engine->slot_count * CASE_FDS + 1, sizeof(*fds));
	size_t count = 0;
	ns_t now = clock_now(), due = now + NS_S;

	fds[count++] = (struct pollfd){.fd = engine->signals, .events = POLLIN};
	for (size_t i = 0; i < engine->slot_count; i++) {
		ns_t own;

		if (!engine->slots[i].run)
			continue;
		count += case_fds(engine->slots[i].run, fds + count);
		own = case_due(engine->slots[i].run);
		due = own && own < due ? own : due;
	}
	poll(fds, count, due > now ? (int)((due - now + NS_MS - 1) / NS_MS) : 0);
	if (fds[0].revents)
		handle_signal(engine, clock_now());
	free(fds);
}

static void check_budget(struct engine *engine, ns_t now)
{
	ns_t budget = settings_of(engine)->budget;

	if (budget && now - engine->began >= budget && !engine->stopping)
		stop(engine, "the budget is used up");
}

static void loop(struct engine *engine)
{
	for (;;) {
		ns_t now = clock_now();

		check_budget(engine, now);
		for (size_t i = 0; i < engine->slot_count; i++) {
			struct slot *slot = &engine->slots[i];

			if (slot->run)
				case_poll(slot->run, now);
			if (slot->run && case_is_over(slot->run))
				finish_case(engine, slot);
			fill_slot(engine, slot, now);
		}
		renew_claims(engine, now);
		show_status(engine, now);
		if (!count_running(engine) && (engine->stopping || !waits_for_bench(engine, now))) {
			/* A slot that finished last may have made work for one that came before it. */
			for (size_t i = 0; i < engine->slot_count && !count_running(engine); i++)
				fill_slot(engine, &engine->slots[i], now);
			if (!count_running(engine))
				return;
		}
		wait_for_event(engine);
	}
}

static void open_slots(struct engine *engine)
{
	const struct settings *settings = engine->plan->settings;
	size_t jobs = engine->options->jobs ? engine->options->jobs : (size_t)settings->campaign.jobs;

	engine->slot_count = settings->bench_count ? settings->bench_count : jobs;
	engine->slots = memory_new(engine->slot_count, sizeof(*engine->slots));
	for (size_t i = 0; i < engine->slot_count; i++) {
		engine->slots[i].bench = settings->bench_count ? &settings->benches[i] : NULL;
		engine->slots[i].values = memory_new(settings->axis_count + 1, sizeof(const char *));
	}
}

static void close_slots(struct engine *engine)
{
	for (size_t i = 0; i < engine->slot_count; i++) {
		struct slot *slot = &engine->slots[i];

		tear_down(engine, slot);
		text_free(&slot->id);
		text_free(&slot->extra);
		text_free(&slot->figure);
		text_free(&slot->fault);
		free(slot->values);
	}
	free(engine->slots);
	for (size_t i = 0; i < engine->work_count; i++) {
		claim_release(&engine->works[i].claim, engine->store);
		search_free(engine->works[i].search);
	}
	free(engine->works);
}

static int open_signals(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, before);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void engine_run(struct campaign_plan *plan, struct expansion *expansion, struct results *results,
    const struct store *store, const struct case_context *context, const struct engine_options *options,
    engine_selects *selects, void *user, struct engine_end *end)
{
	struct engine engine = {.plan = plan,
	    .expansion = expansion,
	    .results = results,
	    .store = store,
	    .context = context,
	    .options = options,
	    .selects = selects,
	    .user = user,
	    .end = end,
	    .began = clock_now()};
	sigset_t before;

	*end = (struct engine_end){0};
	child_adopt_orphans();
	engine.signals = open_signals(&before);
	engine.baselines_wanted = options->is_partial ? 0 : (unsigned)plan->settings->campaign.baseline;
	expansion_update(expansion, plan, results);
	add_works(&engine);
	open_slots(&engine);
	loop(&engine);
	close_slots(&engine);
	log_status("");
	child_kill_orphans(NULL);
	close(engine.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	claims_forget();
}
