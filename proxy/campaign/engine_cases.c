/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases: how one begins, what is stored of it, and what follows from its outcome. */
#include "proxy/campaign/engine_inside.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "campaign/findings.h"
#include "proxy/campaign/folder.h"
#include "proxy/run/log.h"

#define BASELINE_EVERY 50 /* cases */

/* `place`: of the case's folder while it runs. */
static void start_case(
    struct engine *engine, struct slot *slot, const struct case_task *task, const char *place, ns_t now)
{
	struct error error;

	slot->folder = store_begin(engine->store, place, &error);
	if (slot->folder) {
		struct case_task full = *task;

		full.folder = slot->folder;
		full.bench = slot->bench->section;
		full.before = slot->before;
		full.before_count = slot->before_count;
		full.bench_log = slot->bench_log;
		slot->run = case_new(engine->context, &full, now);
		slot->bench->running++;
		slot->bench->is_used = true;
	} else {
		slot->bench->is_busy = false;
		engine_stop(engine, "%s", error.text);
	}
}

void engine_start_work(struct engine *engine, struct slot *slot, size_t index, ns_t now)
{
	struct work *work = &engine->works[index];
	const struct unit *unit = engine_unit(engine, work);
	const struct campaign_settings *campaign = engine_settings(engine);
	uint64_t seed = unit->kind == UNIT_SEARCH       ? plan_search_seed(engine->plan, slot->run_number)
	                : unit->kind == UNIT_REFERENCES ? campaign->seeds.count ? campaign->seeds.all[0] : 1
	                                                : unit->seed;
	struct case_task task = {.id = slot->id.at,
	    .cell = &engine->plan->cells[unit->cell],
	    .seed = seed,
	    .extra = slot->extra.size ? slot->extra.at : NULL,
	    .figure = slot->figure.size ? slot->figure.at : NULL,
	    .fault = slot->fault.size ? slot->fault.at : NULL,
	    .places_of = unit->kind == UNIT_REFERENCES ? &engine->plan->settings->sweeps[unit->section]
	                                               : NULL};

	slot->work = index;
	start_case(engine, slot, &task, task.id, now);
	if (slot->run)
		work->running++;
}

void engine_start_baseline(struct engine *engine, struct slot *slot, ns_t now)
{
	const struct campaign_settings *campaign = engine_settings(engine);
	struct case_task task = {
	    .seed = campaign->seeds.count ? campaign->seeds.all[0] : 1, .is_clean = true};
	struct text place = {0};

	for (size_t i = 0; i < engine->plan->cell_count && !task.cell; i++)
		if (plan_bench_fits(engine->plan, slot->bench->section, &engine->plan->cells[i]))
			task.cell = &engine->plan->cells[i];
	if (!task.cell || !bench_ready(engine, slot, task.cell, now))
		return;
	text_clear(&slot->id);
	text_add(&slot->id, "baseline/%u", ++engine->baselines);
	task.id = slot->id.at;
	slot->work = SIZE_MAX;
	/* Another invocation may run its own at the same time. */
	text_add(&place, "baseline-%d/%u", (int)getpid(), engine->baselines);
	start_case(engine, slot, &task, place.at, now);
	text_free(&place);
}

/* Removes what `keep` does not want of a case; what is kept gets its tables and traces beside it. */
static void prune(const struct engine *engine, const char *folder, const struct result *result)
{
	static const char *const files[] = {"run.pcapng", "test.log", "proxy.log", "summary.json",
	    "prepared.set", "prepared.env", "measures"};
	enum campaign_keep keep = engine_settings(engine)->keep;
	bool has_failed = result->outcome == OUTCOME_FAIL || result->outcome == OUTCOME_TIMEOUT ||
	                  result->outcome == OUTCOME_INVALID;
	struct error error;
	bool is_kept = keep == KEEP_ALL || (keep == KEEP_FAILED && has_failed);

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		struct text path = {0};

		text_add(&path, "%s/%s", folder, files[i]);
		/* Files whose contents the result holds too are removed anyway. */
		if (!is_kept || i >= 3)
			unlink(path.at);
		text_free(&path);
	}
	if (is_kept && network_keep(folder, &error))
		log_error("%s: %s", result->id, error.text);
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
		json_object_set_new(axes, settings->axes[a].name,
		    json_string(plan_value(engine->plan, task->cell, a)->label));
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
static void judge_bench(struct engine *engine, struct bench *bench, const struct result *result)
{
	bool counts = result->outcome == OUTCOME_INVALID &&
	              !(result->reason && strcmp(result->reason, "the fault never struck") == 0);

	bench->invalid = counts ? bench->invalid + 1 : 0;
	if (bench->invalid >= engine_settings(engine)->bench_out)
		bench_take_out(engine, bench, result->reason ? result->reason : "its cases are invalid");
}

/* Decides what becomes of the work after one of its cases. */
static void conclude_work(struct engine *engine, struct slot *slot, const struct result *result)
{
	struct work *work = &engine->works[slot->work];
	const struct unit *unit = engine_unit(engine, work);
	bool is_invalid = result->outcome == OUTCOME_INVALID;
	unsigned tries = is_invalid ? (unit->kind == UNIT_SEARCH ? slot->tries : work->invalid) + 1 : 0;

	work->invalid = tries;
	work->avoided = is_invalid ? slot->bench : NULL;
	if (is_invalid && tries <= engine_settings(engine)->retry && !engine->stopping) {
		if (unit->kind == UNIT_SEARCH)
			work_retry(work, slot->run_number, tries);
		return;
	}
	switch (unit->kind) {
	case UNIT_MATRIX:
	case UNIT_SWEEP: work_finish(engine, work); break;
	case UNIT_REFERENCES:
		work->invalid = 0;
		expansion_update(engine->expansion, engine->plan, engine->results);
		/* A reference that did not pass ends the sweep in this cell. */
		if (result->outcome != OUTCOME_PASS) {
			log_error("%s: %s; the sweep ends", result->id,
			    outcome_is_judged(result->outcome) ? "the test fails on an untouched network"
			                                       : "a reference must pass");
			work_finish(engine, work);
		}
		works_add(engine);
		break;
	case UNIT_SEARCH:
		/* The next offer finds out whether it goes on. */
		work->invalid = 0;
		work_answer(engine, work, result);
		break;
	}
}

static void check_first(struct engine *engine, const struct result *result)
{
	if (engine->done != 1 || result->outcome != OUTCOME_INVALID ||
	    (result->status != STATUS_NOT_EXECUTABLE && result->status != STATUS_NOT_FOUND))
		return;
	engine->end->is_usage = !engine->options->is_by_unit && !engine->options->is_shard;
	engine_stop(engine, "the first case exited with status %d: `test` cannot be run", result->status);
}

static void finish_baseline(struct engine *engine, struct slot *slot, const struct result *result)
{
	char *to = store_path(engine->store, "%s", result->id);
	struct error error;

	/* That of an earlier invocation is replaced. */
	if (folder_remove(to, &error) ||
	    store_finish(engine->store, "baseline", strchr(slot->id.at, '/') + 1, slot->folder, &error))
		engine_stop(engine, "%s", error.text);
	if (result->outcome != OUTCOME_PASS)
		engine_stop(engine, "a run over a clean network did not pass (%s): the bench is broken",
		    result->reason ? result->reason : outcome_words[result->outcome]);
	free(to);
}

/* Puts the folder of a case of the plan in its place, and goes on from there. */
static void finish_unit(struct engine *engine, struct slot *slot, struct result *result)
{
	const struct campaign_settings *campaign = engine_settings(engine);
	const struct result *before = results_get(engine->results, result->id);
	const struct result *kept;
	struct error error;
	char *id;

	/* An invalid one makes room; any other that has come meanwhile stays. */
	if ((before && before->outcome == OUTCOME_INVALID &&
	        store_retire(engine->store, result->id, &error)) ||
	    store_finish(engine->store, "units", result->id, slot->folder, &error)) {
		engine_stop(engine, "%s", error.text);
		result_fini(result);
		return;
	}
	id = memory_text(result->id, strlen(result->id));
	results_put(engine->results, result);
	kept = results_get(engine->results, id);
	free(id);
	engine->done++;
	check_first(engine, kept);
	judge_bench(engine, slot->bench, kept);
	conclude_work(engine, slot, kept);
	if (campaign->stop_after && engine->failed >= campaign->stop_after)
		engine_stop(engine, "stop_after: %u cases failed", engine->failed);
	if (campaign->baseline && !engine->options->is_by_unit && engine->done % BASELINE_EVERY == 0)
		engine->baselines_wanted += (unsigned)campaign->baseline;
}

static void store_case(struct engine *engine, struct slot *slot)
{
	struct result result;
	struct error error;
	json_t *summary;

	case_take_result(slot->run, &result, &summary);
	/* A test that has removed its folder is invalid, and its result needs one. */
	if (folder_make(slot->folder, &error) || write_result(engine, slot, &result, summary, &error)) {
		engine_stop(engine, "%s: %s", slot->id.at, error.text);
		result_fini(&result);
	} else {
		prune(engine, slot->folder, &result);
		report_case(engine, &result);
		if (slot->work == SIZE_MAX) {
			finish_baseline(engine, slot, &result);
			result_fini(&result);
		} else {
			finish_unit(engine, slot, &result);
		}
	}
	json_decref(summary);
}

void engine_finish_case(struct engine *engine, struct slot *slot)
{
	struct work *work = slot->work == SIZE_MAX ? NULL : &engine->works[slot->work];
	const char *failure = case_bench_failure(slot->run);
	bool is_retried = work && engine_unit(engine, work)->kind == UNIT_SEARCH;

	slot->bench->running--;
	if (work)
		work->running--;
	bench_progress(engine, slot);
	slot->bench->is_busy &= !slot->before_count; /* its commands did not come to their end */
	if (failure || case_was_interrupted(slot->run)) {
		if (failure)
			bench_take_out(engine, slot->bench, failure);
		if (is_retried)
			work_retry(work, slot->run_number, slot->tries);
		store_discard(engine->store, slot->folder);
		slot->folder = NULL;
	} else {
		store_case(engine, slot);
	}
	case_free(slot->run);
	slot->run = NULL;
	free(slot->folder);
	slot->folder = NULL;
}
