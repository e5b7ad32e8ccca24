/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_benches: benches: their claims, and the commands that concern them. A bench is set up and changed by
 * the first steps of a case (bench_ready collects them), so that the engine's loop goes on meanwhile;
 * `teardown` is run at the end, when there is nothing else to do.
 */
#include "proxy/campaign/engine_inside.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/regular.h"
#include "proxy/campaign/folder.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"

static const char *bench_name(const struct bench *bench)
{
	return bench->section ? bench->section->name : "bench";
}

bool bench_may_run(const struct engine *engine, const struct slot *slot, const struct work *work)
{
	const struct cell *cell = &engine->plan->cells[engine_unit(engine, work)->cell];

	if (!plan_bench_fits(engine->plan, slot->bench->section, cell))
		return false;
	/* After an invalid case another bench is tried, if there is one. */
	for (size_t i = 0; work->avoided == slot->bench && i < engine->bench_count; i++) {
		const struct bench *other = &engine->benches[i];

		/* One that another invocation holds is none: it may be waiting for ours. */
		if (other != slot->bench && !other->is_out && (other->claim.path || !other->look_again) &&
		    plan_bench_fits(engine->plan, other->section, cell))
			return false;
	}
	return true;
}

void bench_take_out(struct engine *engine, struct bench *bench, const char *why)
{
	size_t left = 0;

	bench->is_out = true;
	if (engine->bench_count > 1)
		log_error("bench %s gets no more cases: %s", bench_name(bench), why);
	for (size_t i = 0; i < engine->bench_count; i++)
		left += !engine->benches[i].is_out;
	if (!left)
		engine_stop(engine, "no bench is left: %s", why);
}

bool bench_claim(struct engine *engine, struct bench *bench, ns_t now)
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
		engine_stop(engine, "%s", error.text);
	if (taken == CLAIM_TAKEN)
		return true;
	bench->look_again = now + ENGINE_LOOK_AGAIN;
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
	    (int)strcspn(claims_owner(), " "), claims_owner());
}

/* Returns whether an earlier invocation has set the bench up, for this subject and on this host. */
static bool was_set_up(const struct engine *engine, const struct bench *bench)
{
	char *path = ready_file(engine, bench);
	struct text want = {0}, got = {0};
	struct error error;
	bool fits;

	ready_text(engine, &want);
	fits = regular_load(path, 4096, &got, &error) == 0 && got.size == want.size &&
	       memcmp(got.at, want.at, want.size) == 0;
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

	if (bench->is_set_up) {
		free(path);
		return;
	}
	bench->is_set_up = true;
	ready_text(engine, &text);
	if (engine_settings(engine)->setup && output_file_open(&file, path, &error) == 0) {
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

bool bench_ready(struct engine *engine, struct slot *slot, const struct cell *cell, ns_t now)
{
	const struct settings *settings = engine->plan->settings;
	struct bench *bench = slot->bench;
	struct error error;

	slot->before_count = 0;
	if (!bench_claim(engine, bench, now))
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
		engine_stop(engine, "%s", error.text);
		return false;
	}
	bench->is_busy = true;
	return true;
}

void bench_progress(struct engine *engine, struct slot *slot)
{
	const struct settings *settings = engine->plan->settings;
	struct bench *bench = slot->bench;
	size_t done = case_bench_done(slot->run);

	if (done && slot->before[0].command == settings->campaign.setup)
		note_set_up(engine, bench);
	if (done < slot->before_count)
		return;
	for (size_t a = 0; a < settings->axis_count; a++)
		if (settings->axes[a].change)
			bench->values[a] = plan_value(engine->plan, case_task(slot->run)->cell, a)->label;
	slot->before_count = 0; /* noted */
	bench->is_busy = false;
}

/* While a teardown runs: claims are renewed, and a second signal ends it. */
static bool tick(void *user)
{
	struct engine *engine = user;

	engine_renew_claims(engine, clock_now());
	engine_handle_signal(engine, clock_now());
	return engine->signal_count < 2;
}

void bench_tear_down(struct engine *engine, struct bench *bench)
{
	const struct campaign_settings *campaign = engine_settings(engine);
	struct case_command command = {campaign->teardown, campaign->setup_timeout};
	struct error error;

	if (campaign->teardown && bench->is_used && engine->signal_count < 2) {
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
