/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A `work` is one selected unit and how far it has come. Slots look for the first work, in the plan's order,
 * that has a case to run and that their bench may run:
 *
 *   matrix, sweep   one case; an invalid one is tried again, `retry` times
 *   references      its cases one after the other; when all have passed, the faults are added to the plan
 *   search          the next point; with one job only after the outcome of the one before
 *
 * A unit's claim is held from its first case to its last. What another job holds is looked at again every
 * LOOK_AGAIN; at the end, claims of which it is not known whether their holder lives are waited for until
 * they are renewed or stale.
 *
 * A bench is `busy` while the commands that concern it (setup, change) run, as the first steps of a case;
 * then no other case starts on it. Baselines run alone.
 */
#include "proxy/campaign/engine.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "base/regular.h"
#include "campaign/findings.h"
#include "proxy/campaign/child.h"
#include "proxy/campaign/folder.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"

#define BASELINE_EVERY 50
#define STATUS_PERIOD NS_S
#define LOOK_AGAIN NS_S /* at a claim that another job holds */

enum work_state { WORK_OPEN, WORK_DONE };

struct work {
	size_t unit;
	enum work_state state;
	struct claim claim;
	unsigned running;            /* its cases that run */
	unsigned invalid;            /* tries of the current case that were invalid */
	const struct bench *avoided; /* where the last try was invalid */
	struct search *search;
	unsigned next_run;  /* of a search, from 1 */
	unsigned retry_run; /* of a search: an invalid run to try again; 0: none */
	unsigned no_points; /* of a search: cases in a row without an outcome that counts */
	ns_t look_again;    /* another job holds it; 0: no */
	bool is_held;       /* its holder is known to live */
	bool is_reloaded;   /* since the claim was taken */
	bool was_told;      /* that another job holds it */
	bool is_fresh;      /* with --again: what was there has been put aside */
};

struct bench {
	const struct bench_section *section; /* NULL: the only one, without a name */
	struct claim claim;
	ns_t look_again; /* at its claim */
	bool was_told, is_set_up, is_out, is_busy;
	unsigned running;    /* cases */
	unsigned invalid;    /* cases in a row */
	const char **values; /* of each axis with `change`, as last changed here; NULL: never */
};

#define BEFORE_MAX 32 /* commands of the bench before one case */

struct slot {
	struct bench *bench;
	struct case_run *run; /* NULL: idle */
	size_t work;          /* SIZE_MAX: a baseline */
	struct text id, extra, figure, fault;
	double point; /* of a search */
	char *folder, *bench_log;
	unsigned run_number; /* of the case, in its search */
	struct case_command before[BEFORE_MAX];
	size_t before_count;
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
	struct bench *benches;
	size_t bench_count;
	struct slot *slots;
	size_t slot_count;
	int signals;
	bool stopping; /* no case starts any more */
	unsigned signal_count;
	ns_t began, renewed, shown;
	unsigned done, passed, failed, invalid;
	unsigned baselines, baselines_wanted;
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

		/* A shard's faults may have references that are another's. */
		if (!engine->selects(unit, engine->user) &&
		    !(engine->options->is_shard && unit->kind == UNIT_REFERENCES))
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
	while (
	    engine->first_open < engine->work_count && engine->works[engine->first_open].state != WORK_OPEN)
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
	const struct unit *unit = unit_of(engine, work);
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
	const struct unit *unit = unit_of(engine, work);
	struct error error;
	enum claim_result taken;

	if (work->claim.path)
		return true;
	taken = claim_take(engine->store, unit->id, now, &work->claim, &error);
	work->is_held = taken == CLAIM_HELD;
	work->look_again = taken == CLAIM_TAKEN ? 0 : now + LOOK_AGAIN;
	if (taken == CLAIM_FAILED)
		stop(engine, "%s", error.text);
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
	const struct unit *unit = unit_of(engine, work);
	struct error error;

	if (!engine->options->again || work->is_fresh)
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
			stop(engine, "%s", error.text);
		results_remove(engine->results, id.at);
		text_free(&id);
		if (!was_there || unit->kind == UNIT_MATRIX || unit->kind == UNIT_SWEEP)
			break;
	}
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

/* Chooses the next point of a search. Returns false if there is none now; then the work may be done. */
static bool next_point(struct engine *engine, struct work *work, struct slot *slot)
{
	const struct unit *unit = unit_of(engine, work);
	const struct search_section *section = &engine->plan->settings->searches[unit->section];
	static double points[SETTINGS_JOBS_MAX];
	char written[FIGURE_TEXT_SIZE];
	unsigned pending;

	if (work->running && engine->slot_count == 1)
		return false;
	if (!work->search && !replay_search(engine, work) && !work->retry_run) {
		finish_work(engine, work);
		return false;
	}
	pending = collect_points(engine, work, points);
	if (!search_goes_on(work) || !search_next(work->search, points, pending, &slot->point))
		return false;
	slot->run_number = work->retry_run ? work->retry_run : work->next_run++;
	work->retry_run = 0;
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
	const struct unit *unit = unit_of(engine, work);
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
			finish_work(engine, work);
			return false;
		}
		reference_id(unit, reference, &slot->id);
		return true;
	}
	if (!work->invalid && stands(engine, unit->id)) {
		finish_work(engine, work);
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

/* Returns whether the work has a case for this slot, with its claim taken. */
static bool offer(struct engine *engine, struct work *work, struct slot *slot, ns_t now)
{
	const struct unit *unit = unit_of(engine, work);

	if (work->look_again > now)
		return false;
	/* Without a claim: what is known to be done is passed quickly. */
	if (!work->claim.path && !engine->options->again && !work->invalid &&
	    (unit->kind == UNIT_MATRIX || unit->kind == UNIT_SWEEP) && stands(engine, unit->id)) {
		finish_work(engine, work);
		return false;
	}
	if (!claim_work(engine, work, now))
		return false;
	if (!work->is_reloaded)
		reload_unit(engine, work);
	put_aside(engine, work);
	return next_case(engine, work, slot);
}

/* ---- Benches ---- */

static const char *bench_name(const struct bench *bench)
{
	return bench->section ? bench->section->name : "bench";
}

static bool fits_cell(const struct engine *engine, const struct bench *bench, const struct cell *cell)
{
	if (!bench->section || !bench->section->only.count)
		return true;
	for (size_t i = 0; i < bench->section->only.count; i++)
		if (plan_selects(engine->plan, &bench->section->only.all[i], cell))
			return true;
	return false;
}

static bool may_run(const struct engine *engine, const struct slot *slot, const struct work *work)
{
	const struct cell *cell = &engine->plan->cells[unit_of(engine, work)->cell];

	if (!fits_cell(engine, slot->bench, cell))
		return false;
	/* After an invalid case another bench is tried, if there is one. */
	for (size_t i = 0; work->avoided == slot->bench && i < engine->bench_count; i++) {
		const struct bench *other = &engine->benches[i];

		if (other != slot->bench && !other->is_out && fits_cell(engine, other, cell))
			return false;
	}
	return true;
}

static void take_out(struct engine *engine, struct bench *bench, const char *why)
{
	size_t left = 0;

	bench->is_out = true;
	if (engine->bench_count > 1)
		log_error("bench %s gets no more cases: %s", bench_name(bench), why);
	for (size_t i = 0; i < engine->bench_count; i++)
		left += !engine->benches[i].is_out;
	if (!left)
		stop(engine, "no bench is left: %s", why);
}

/* Takes the bench's claim. Returns false if another invocation has it. */
static bool claim_bench(struct engine *engine, struct bench *bench, ns_t now)
{
	struct text name = {0};
	struct error error;
	enum claim_result taken;

	if (!bench->section || bench->claim.path)
		return true;
	text_add(&name, "bench/%s", bench->section->name);
	taken = claim_take(engine->store, name.at, now, &bench->claim, &error);
	text_free(&name);
	if (taken == CLAIM_FAILED)
		stop(engine, "%s", error.text);
	if (taken == CLAIM_TAKEN)
		return true;
	bench->look_again = now + LOOK_AGAIN;
	if (!bench->was_told)
		log_info("bench %s is in use by another campaign: waiting for it", bench->section->name);
	bench->was_told = true;
	return false;
}

/* Returns the path of the file that says that the bench is set up, and for which subject and host. */
static char *ready_file(const struct engine *engine, const struct bench *bench)
{
	return store_path(engine->store, "benches/%s.ready", bench_name(bench));
}

static void ready_text(const struct engine *engine, struct text *out)
{
	text_add(out, "%s %.*s\n", engine->context->subject ? engine->context->subject : "",
	    (int)strcspn(engine->store->owner, " "), engine->store->owner);
}

/* Returns whether an earlier invocation has set the bench up, for this subject and on this host. */
static bool was_set_up(const struct engine *engine, const struct bench *bench)
{
	char *path = ready_file(engine, bench);
	struct text want = {0}, got = {0};
	struct error error;
	int fd = regular_open(path, false, &error);
	bool fits = false;

	ready_text(engine, &want);
	if (fd >= 0) {
		fits = regular_read(fd, path, 4096, &got, &error) == 0 && got.size == want.size &&
		       memcmp(got.at, want.at, want.size) == 0;
		close(fd);
	}
	text_free(&want);
	text_free(&got);
	free(path);
	return fits;
}

static void note_set_up(struct engine *engine, struct bench *bench)
{
	char *path = ready_file(engine, bench);
	struct text text = {0};
	struct output_file file;
	struct error error;

	bench->is_set_up = true;
	ready_text(engine, &text);
	if (settings_of(engine)->setup && output_file_open(&file, path, &error) == 0) {
		fwrite(text.at, 1, text.size, file.out);
		output_file_close(&file, path, &error);
	}
	text_free(&text);
	free(path);
}

static void add_before(struct slot *slot, const char *command, ns_t timeout)
{
	if (slot->before_count < BEFORE_MAX)
		slot->before[slot->before_count++] = (struct case_command){command, timeout};
}

/* Collects the commands that the bench needs before a case of this cell. Returns false if it cannot run one
 * now: other cases must end first. */
static bool ready_bench(struct engine *engine, struct slot *slot, const struct cell *cell, ns_t now)
{
	const struct settings *settings = engine->plan->settings;
	struct bench *bench = slot->bench;
	struct error error;

	slot->before_count = 0;
	if (!claim_bench(engine, bench, now))
		return false;
	if (settings->campaign.setup && !bench->is_set_up && !was_set_up(engine, bench))
		add_before(slot, settings->campaign.setup, settings->campaign.setup_timeout);
	for (size_t a = 0; a < settings->axis_count; a++)
		if (settings->axes[a].change && bench->values[a] != plan_value(engine->plan, cell, a)->label)
			add_before(slot, settings->axes[a].change, settings->campaign.setup_timeout);
	if (!slot->before_count)
		return true;
	if (bench->running)
		return false;
	free(slot->bench_log);
	slot->bench_log = store_path(engine->store, "benches/%s.log", bench_name(bench));
	if (folder_make_above(slot->bench_log, &error)) {
		stop(engine, "%s", error.text);
		return false;
	}
	bench->is_busy = true;
	return true;
}

/* The commands of the bench have run: it is set up, and has the values of this cell. */
static void note_changes(struct engine *engine, struct slot *slot, const struct cell *cell)
{
	const struct settings *settings = engine->plan->settings;

	slot->bench->is_busy = false;
	if (!slot->bench->is_set_up)
		note_set_up(engine, slot->bench);
	for (size_t a = 0; a < settings->axis_count; a++)
		if (settings->axes[a].change)
			slot->bench->values[a] = plan_value(engine->plan, cell, a)->label;
}

static void renew_claims(struct engine *engine, ns_t now);
static void handle_signal(struct engine *engine, ns_t now);

/* While a teardown runs: claims are renewed, and a second signal ends it. */
static bool tick(void *user)
{
	struct engine *engine = user;

	renew_claims(engine, clock_now());
	handle_signal(engine, clock_now());
	return engine->signal_count < 2;
}

static void tear_down(struct engine *engine, struct bench *bench)
{
	const struct campaign_settings *campaign = settings_of(engine);
	struct case_command command = {campaign->teardown, campaign->setup_timeout};
	struct error error;

	if (campaign->teardown && bench->is_set_up && engine->signal_count < 2) {
		char *log = store_path(engine->store, "benches/%s.log", bench_name(bench));
		char *ready = ready_file(engine, bench);

		if (folder_make_above(log, &error) ||
		    case_command(engine->context, bench->section, &command, log, false, tick, engine, &error))
			log_error("teardown: %s", error.text);
		unlink(ready);
		free(log);
		free(ready);
	}
	claim_release(&bench->claim, engine->store);
}

/* ---- Cases ---- */

static void start_case(struct engine *engine, struct slot *slot, const struct case_task *task, ns_t now)
{
	struct error error;

	slot->folder = store_begin(engine->store, task->id, &error);
	if (slot->folder) {
		struct case_task full = *task;

		full.folder = slot->folder;
		full.bench = slot->bench->section;
		full.before = slot->before;
		full.before_count = slot->before_count;
		full.bench_log = slot->bench_log;
		slot->run = case_new(engine->context, &full, now);
		slot->bench->running++;
	} else {
		slot->bench->is_busy = false;
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
	    .seed = seed,
	    .extra = slot->extra.size ? slot->extra.at : NULL,
	    .figure = slot->figure.size ? slot->figure.at : NULL,
	    .fault = slot->fault.size ? slot->fault.at : NULL,
	    .places_of = unit->kind == UNIT_REFERENCES ? &engine->plan->settings->sweeps[unit->section]
	                                               : NULL};

	slot->work = index;
	start_case(engine, slot, &task, now);
	if (slot->run)
		work->running++;
}

static void start_baseline(struct engine *engine, struct slot *slot, ns_t now)
{
	const struct campaign_settings *campaign = settings_of(engine);
	struct case_task task = {.cell = &engine->plan->cells[0],
	    .seed = campaign->seeds.count ? campaign->seeds.all[0] : 1,
	    .is_clean = true};

	if (!ready_bench(engine, slot, task.cell, now))
		return;
	text_clear(&slot->id);
	text_add(&slot->id, "baseline/%u", ++engine->baselines);
	task.id = slot->id.at;
	slot->work = SIZE_MAX;
	start_case(engine, slot, &task, now);
}

/* Removes the copies of tables and traces, which are named "1-NAME". */
static void remove_copies(const char *folder)
{
	struct text pattern = {0};
	glob_t found;

	for (const char *c = folder; *c; c++)
		text_add(&pattern, strchr("*?[\\", *c) ? "\\%c" : "%c", *c);
	text_add_word(&pattern, "/[0-9]*-*");
	if (glob(pattern.at, GLOB_NOSORT, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
		globfree(&found);
	}
	text_free(&pattern);
}

/* Removes what `keep` does not want of a case. */
static void prune(const struct engine *engine, const char *folder, const struct result *result)
{
	static const char *const files[] = {"run.pcapng", "test.log", "proxy.log", "summary.json",
	    "prepared.set", "prepared.env", "measures"};
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
	if (!is_kept)
		remove_copies(folder);
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
	if (bench->invalid >= settings_of(engine)->bench_out)
		take_out(engine, bench, result->reason ? result->reason : "its cases are invalid");
}

/* Writes search.json beside the cases of a search that has ended. */
static void write_search(struct engine *engine, const struct work *work)
{
	const struct unit *unit = unit_of(engine, work);
	const struct search_section *section = &engine->plan->settings->searches[unit->section];
	struct search_findings found = {.result = search_result(work->search), .no_points = work->no_points};
	char *path = store_path(engine->store, "units/%s/search.json", unit->id);
	struct text text = {0};
	struct error error;
	json_t *json;

	found.is_incomplete = found.result.state == SEARCH_OPEN;
	findings_search_text(section, &found, &text);
	json = search_result_json(section, &found, text.at);
	if (store_write_json(path, json, &error))
		stop(engine, "%s", error.text);
	json_decref(json);
	text_free(&text);
	free(path);
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
		/* A reference that did not pass ends the sweep in this cell. */
		if (result->outcome != OUTCOME_PASS) {
			log_error("%s: %s; the sweep ends", result->id,
			    outcome_is_judged(result->outcome) ? "the test fails on an untouched network"
			                                       : "a reference must pass");
			finish_work(engine, work);
		}
		add_works(engine);
		break;
	case UNIT_SEARCH:
		work->invalid = 0;
		answer_search(engine, work, result);
		if (!work->running && !search_goes_on(work)) {
			write_search(engine, work);
			finish_work(engine, work);
		}
		break;
	}
}

static void check_first(struct engine *engine, const struct result *result)
{
	if (engine->done != 1 || result->outcome != OUTCOME_INVALID ||
	    (result->status != STATUS_NOT_EXECUTABLE && result->status != STATUS_NOT_FOUND))
		return;
	engine->end->is_usage = !engine->options->is_by_unit && !engine->options->is_shard;
	stop(engine, "the first case exited with status %d: `test` cannot be run", result->status);
}

static void finish_baseline(struct engine *engine, struct slot *slot, const struct result *result)
{
	char *to = store_path(engine->store, "%s", result->id);
	struct error error;

	/* That of an earlier invocation is replaced. */
	if (folder_remove(to, &error) ||
	    store_finish(engine->store, "baseline", strchr(slot->id.at, '/') + 1, slot->folder, &error))
		stop(engine, "%s", error.text);
	if (result->outcome != OUTCOME_PASS)
		stop(engine, "a run over a clean network did not pass (%s): the bench is broken",
		    result->reason ? result->reason : outcome_words[result->outcome]);
	free(to);
}

/* Puts the folder of a case of the plan in its place, and goes on from there. */
static void finish_unit(struct engine *engine, struct slot *slot, struct result *result)
{
	const struct campaign_settings *campaign = settings_of(engine);
	const struct result *before = results_get(engine->results, result->id);
	const struct result *kept;
	struct error error;
	char *id;

	/* An invalid one makes room; any other that has come meanwhile stays. */
	if ((before && before->outcome == OUTCOME_INVALID &&
	        store_retire(engine->store, result->id, &error)) ||
	    store_finish(engine->store, "units", result->id, slot->folder, &error)) {
		stop(engine, "%s", error.text);
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
		stop(engine, "stop_after: %u cases failed", engine->failed);
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
		stop(engine, "%s: %s", slot->id.at, error.text);
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

static void finish_case(struct engine *engine, struct slot *slot)
{
	struct work *work = slot->work == SIZE_MAX ? NULL : &engine->works[slot->work];
	const char *failure = case_bench_failure(slot->run);
	bool is_retried = work && unit_of(engine, work)->kind == UNIT_SEARCH;

	slot->bench->running--;
	if (work)
		work->running--;
	if (slot->before_count && !failure && !case_was_interrupted(slot->run))
		note_changes(engine, slot, case_task(slot->run)->cell);
	slot->bench->is_busy = false;
	if (failure || case_was_interrupted(slot->run)) {
		if (failure)
			take_out(engine, slot->bench, failure);
		if (is_retried)
			work->retry_run = slot->run_number;
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

/* ---- The loop ---- */

static size_t count_running(const struct engine *engine)
{
	size_t running = 0;

	for (size_t i = 0; i < engine->slot_count; i++)
		running += engine->slots[i].run != NULL;
	return running;
}

static bool runs_baseline(const struct engine *engine)
{
	for (size_t i = 0; i < engine->slot_count; i++)
		if (engine->slots[i].run && engine->slots[i].work == SIZE_MAX)
			return true;
	return false;
}

static void fill_slot(struct engine *engine, struct slot *slot, ns_t now)
{
	struct bench *bench = slot->bench;

	if (slot->run || bench->is_out || bench->is_busy || engine->stopping || now < bench->look_again)
		return;
	if (engine->baselines < engine->baselines_wanted) {
		if (!count_running(engine)) /* they come alone */
			start_baseline(engine, slot, now);
		return;
	}
	if (runs_baseline(engine))
		return;
	for (size_t i = engine->first_open; i < engine->work_count && !engine->stopping; i++) {
		struct work *work = &engine->works[i];

		if (work->state != WORK_OPEN || !may_run(engine, slot, work))
			continue;
		if (!claim_bench(engine, bench, now))
			return;
		if (!offer(engine, work, slot, now))
			continue;
		work = &engine->works[i]; /* the array may have grown */
		if (!ready_bench(engine, slot, &engine->plan->cells[unit_of(engine, work)->cell], now)) {
			if (unit_of(engine, work)->kind == UNIT_SEARCH)
				work->retry_run = slot->run_number;
			return;
		}
		start_work(engine, slot, i, now);
		return;
	}
}

/* Returns whether something may yet become free: a bench, or a unit whose holder is not known to live. */
static bool waits_for_claim(const struct engine *engine)
{
	if (engine->stopping)
		return false;
	for (size_t i = 0; i < engine->bench_count; i++)
		if (engine->benches[i].look_again && !engine->benches[i].claim.path &&
		    !engine->benches[i].is_out && engine->first_open < engine->work_count)
			return true;
	for (size_t i = engine->first_open; i < engine->work_count && !engine->options->is_by_unit; i++) {
		const struct work *work = &engine->works[i];

		if (work->state != WORK_OPEN || !work->look_again)
			continue;
		if (!work->is_held)
			return true;
		/* A shard's faults are not known before the references are done, whoever runs them. */
		if (engine->options->is_shard && unit_of(engine, work)->kind == UNIT_REFERENCES)
			return true;
	}
	return false;
}

/* The first signal ends tests and lets cleanup run; the second kills. */
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
	text_add(&line, "%u/%zu  pass %u  fail %u  invalid %u  running %zu  %d:%02d:%02d", engine->done,
	    engine->done + open, engine->passed, engine->failed, engine->invalid, running,
	    (int)elapsed / 3600, (int)elapsed / 60 % 60, (int)elapsed % 60);
	if (engine->done) {
		double left = elapsed / engine->done * (double)open;

		text_add(&line, ", about %d:%02d:%02d to go", (int)left / 3600, (int)left / 60 % 60,
		    (int)left % 60);
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
	for (size_t i = 0; i < engine->bench_count; i++)
		claim_renew(&engine->benches[i].claim, engine->store);
}

/* Notes in the claims which process group works under them. */
static void note_groups(struct engine *engine)
{
	for (size_t i = 0; i < engine->slot_count; i++) {
		struct slot *slot = &engine->slots[i];
		pid_t group = slot->run ? case_group(slot->run) : 0;

		if (!group)
			continue;
		if (slot->work != SIZE_MAX)
			claim_set_group(&engine->works[slot->work].claim, engine->store, group);
		claim_set_group(&slot->bench->claim, engine->store, group);
	}
}

/* Waits for the next end of a child, signal or due time. */
static void wait_for_event(struct engine *engine)
{
	struct pollfd *fds = memory_new(engine->slot_count * CASE_FDS + 1, sizeof(*fds));
	size_t count = 0;
	ns_t now = clock_now(), due = now + (count_running(engine) ? NS_S : LOOK_AGAIN / 4);

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
		/* A slot that came last may have made work for those before it. */
		for (size_t i = 0; i < engine->slot_count; i++)
			fill_slot(engine, &engine->slots[i], now);
		note_groups(engine);
		renew_claims(engine, now);
		show_status(engine, now);
		if (!count_running(engine) && !waits_for_claim(engine))
			return;
		wait_for_event(engine);
	}
}

static void open_slots(struct engine *engine)
{
	const struct settings *settings = engine->plan->settings;
	size_t jobs = engine->options->jobs ? engine->options->jobs : (size_t)settings->campaign.jobs;

	engine->bench_count = settings->bench_count ? settings->bench_count : 1;
	engine->benches = memory_new(engine->bench_count, sizeof(*engine->benches));
	engine->slot_count = settings->bench_count ? settings->bench_count : jobs;
	engine->slots = memory_new(engine->slot_count, sizeof(*engine->slots));
	for (size_t i = 0; i < engine->bench_count; i++) {
		engine->benches[i].section = settings->bench_count ? &settings->benches[i] : NULL;
		engine->benches[i].values = memory_new(settings->axis_count + 1, sizeof(const char *));
	}
	for (size_t i = 0; i < engine->slot_count; i++)
		engine->slots[i].bench = &engine->benches[settings->bench_count ? i : 0];
}

static void close_slots(struct engine *engine)
{
	for (size_t i = 0; i < engine->slot_count; i++) {
		struct slot *slot = &engine->slots[i];

		text_free(&slot->id);
		text_free(&slot->extra);
		text_free(&slot->figure);
		text_free(&slot->fault);
		free(slot->bench_log);
	}
	free(engine->slots);
	engine->slots = NULL;
	engine->slot_count = 0;
	for (size_t i = 0; i < engine->bench_count; i++) {
		tear_down(engine, &engine->benches[i]);
		free(engine->benches[i].values);
	}
	free(engine->benches);
	for (size_t i = 0; i < engine->work_count; i++) {
		engine->end->held += engine->works[i].state == WORK_OPEN && engine->works[i].is_held;
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
	engine.baselines_wanted = options->is_by_unit ? 0 : (unsigned)plan->settings->campaign.baseline;
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
