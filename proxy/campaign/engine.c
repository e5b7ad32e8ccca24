/* SPDX-License-Identifier: BSD-2-Clause */
/* engine: the loop: waits for children and signals, fills slots, and ends. */
#include "proxy/campaign/engine_inside.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/campaign/child.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"

#define STATUS_PERIOD NS_S

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
			engine_start_baseline(engine, slot, now);
		return;
	}
	if (runs_baseline(engine))
		return;
	for (size_t i = engine->first_open; i < engine->work_count && !engine->stopping; i++) {
		struct work *work = &engine->works[i];

		if (work->state != WORK_OPEN || !bench_may_run(engine, slot, work))
			continue;
		if (work->running && engine_unit(engine, work)->kind != UNIT_SEARCH)
			continue; /* its bench need not be claimed for nothing */
		if (!bench_claim(engine, bench, now))
			return;
		if (!work_offer(engine, work, slot, now))
			continue;
		if (!bench_ready(engine, slot, &engine->plan->cells[engine_unit(engine, work)->cell], now)) {
			if (engine_unit(engine, work)->kind == UNIT_SEARCH)
				work_retry(work, slot->run_number, slot->tries);
			return;
		}
		engine_start_work(engine, slot, i, now);
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
		if (engine->options->is_shard && engine_unit(engine, work)->kind == UNIT_REFERENCES)
			return true;
	}
	return false;
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

/* Notes in the claims which process group works under them. */
static void note_groups(struct engine *engine)
{
	for (size_t i = 0; i < engine->slot_count; i++) {
		struct slot *slot = &engine->slots[i];
		pid_t group = slot->run ? case_group(slot->run) : 0;

		if (!group)
			continue;
		if (slot->work != SIZE_MAX)
			claim_set_group(&engine->works[slot->work].claim, group);
		claim_set_group(&slot->bench->claim, group);
	}
}

/* Waits for the next end of a child, signal or due time. */
static void wait_for_event(struct engine *engine)
{
	struct pollfd *fds = memory_new(engine->slot_count * CASE_FDS + 1, sizeof(*fds));
	size_t count = 0;
	ns_t now = clock_now(), due = now + (count_running(engine) ? NS_S : ENGINE_LOOK_AGAIN / 4);

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
		engine_handle_signal(engine, clock_now());
	free(fds);
}

/* Returns whether there is a case that could start, now or later. */
static bool may_start(const struct engine *engine)
{
	for (size_t i = engine->first_open; i < engine->work_count; i++) {
		const struct work *work = &engine->works[i];

		if (work->state == WORK_OPEN &&
		    (!work->running || engine_unit(engine, work)->kind == UNIT_SEARCH ||
		        engine_unit(engine, work)->kind == UNIT_REFERENCES))
			return true;
	}
	return false;
}

static void check_budget(struct engine *engine, ns_t now)
{
	ns_t budget = engine_settings(engine)->budget;

	bool is_left = engine->first_open < engine->work_count;

	/* Cases that run go on; if nothing else is left, the campaign is complete all the same. */
	if (budget && now - engine->began >= budget && !engine->stopping && is_left && may_start(engine))
		engine_stop(engine, "the budget is used up");
}

static void loop(struct engine *engine)
{
	for (;;) {
		ns_t now = clock_now();

		check_budget(engine, now);
		for (size_t i = 0; i < engine->slot_count; i++) {
			struct slot *slot = &engine->slots[i];

			if (slot->run) {
				case_poll(slot->run, now);
				bench_progress(engine, slot);
			}
			if (slot->run && case_is_over(slot->run))
				engine_finish_case(engine, slot);
			fill_slot(engine, slot, now);
		}
		/* A slot that came last may have made work for those before it. */
		for (size_t i = 0; i < engine->slot_count; i++)
			fill_slot(engine, &engine->slots[i], now);
		note_groups(engine);
		engine_renew_claims(engine, now);
		show_status(engine, now);
		/* References that another job has run bring faults, too. */
		if (works_add(engine))
			continue;
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
		bench_tear_down(engine, &engine->benches[i]);
		free(engine->benches[i].values);
	}
	free(engine->benches);
	for (size_t i = 0; i < engine->work_count; i++) {
		engine->end->held += engine->works[i].state == WORK_OPEN && engine->works[i].is_held;
		claim_release(&engine->works[i].claim, engine->store);
		search_free(engine->works[i].search);
		free(engine->works[i].retries);
	}
	free(engine->works);
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

	*end = (struct engine_end){0};
	child_adopt_orphans();
	engine.signals = child_signals();
	engine.baselines_wanted = options->is_by_unit ? 0 : (unsigned)plan->settings->campaign.baseline;
	expansion_update(expansion, plan, results);
	works_add(&engine);
	open_slots(&engine);
	loop(&engine);
	close_slots(&engine);
	log_status("");
	child_kill_orphans(NULL);
	close(engine.signals);
	claims_forget();
}
