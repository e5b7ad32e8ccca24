/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_inside: shared by the parts of the engine, from the top down:
 *
 *   engine.c          the loop: waits, fills slots, the end
 *   engine_cases.c    cases: how one begins, and what follows from its outcome
 *   engine_benches.c  benches: claims, setup, change, teardown
 *   engine_works.c    works: which case of which unit is next, and who holds it
 *   engine_state.c    the end, signals, renewal of claims
 *
 * A `work` is one selected unit and how far it has come. Slots look for the first work, in the plan's order,
 * that has a case to run and that their bench may run:
 *
 *   matrix, sweep   one case; an invalid one is tried again, `retry` times
 *   references      its cases one after the other; when all have passed, the faults are added to the plan
 *   search          the next point; with one job only after the outcome of the one before
 *
 * A unit's claim is held from its first case to its last. What another job holds is looked at again every
 * ENGINE_LOOK_AGAIN; at the end, claims of which it is not known whether their holder lives are waited for
 * until they are renewed or stale.
 *
 * A bench is `busy` while the commands that concern it (setup, change) run, as the first steps of a case;
 * then no other case starts on it. Baselines run alone.
 */
#ifndef PROXY_CAMPAIGN_ENGINE_INSIDE_H
#define PROXY_CAMPAIGN_ENGINE_INSIDE_H

#include "proxy/campaign/claims.h"
#include "proxy/campaign/engine.h"

#define ENGINE_LOOK_AGAIN NS_S /* at a claim that another job holds */

enum work_state { WORK_OPEN, WORK_DONE };

struct work {
	size_t unit;
	enum work_state state;
	struct claim claim;
	unsigned running;            /* its cases that run */
	unsigned invalid;            /* tries of the current case that were invalid */
	const struct bench *avoided; /* where the last try was invalid */
	struct search *search;
	struct retry {
		unsigned run, tries; /* number, and how often it was invalid in this invocation */
	} * retries;                 /* of a search: runs to try again */
	size_t retry_count;
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
	bool is_used;        /* a case has begun on it: teardown runs in the end */
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
	unsigned tries;      /* of that number that were invalid */
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

/* engine_state.c */
/* No case starts any more. The first reason counts. */
void engine_stop(struct engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));
const struct campaign_settings *engine_settings(const struct engine *engine);
const struct unit *engine_unit(const struct engine *engine, const struct work *work);
void engine_renew_claims(struct engine *engine, ns_t now);
/* Reads a signal, if there is one. The first ends tests and lets cleanup run; the second kills. */
void engine_handle_signal(struct engine *engine, ns_t now);

/* engine_works.c */
/* Adds works for units that the plan has got since the last call; returns whether there were any. Pointers to
 * works are invalid afterwards. */
bool works_add(struct engine *engine);
/* Takes the work's claim and prepares its next case: the slot's id, extra, figure and fault. Returns false if
 * there is none for this slot now; then the work may be done. */
bool work_offer(struct engine *engine, struct work *work, struct slot *slot, ns_t now);
void work_finish(struct engine *engine, struct work *work);
/* Notes that a run of a search, which was invalid `tries` times, is to be tried again. */
void work_retry(struct work *work, unsigned run, unsigned tries);
/* Feeds a search with the outcome of one more case. */
void work_answer(struct engine *engine, struct work *work, const struct result *result);
/* Returns whether a search needs more points. */
bool work_goes_on(const struct work *work);

/* engine_benches.c */
/* Returns whether the slot's bench may run cases of the work. */
bool bench_may_run(const struct engine *engine, const struct slot *slot, const struct work *work);
/* The bench gets no more cases; without any bench left, the campaign ends. */
void bench_take_out(struct engine *engine, struct bench *bench, const char *why);
/* Takes the bench's claim. Returns false if another invocation has it. */
bool bench_claim(struct engine *engine, struct bench *bench, ns_t now);
/* Collects the commands that the bench needs before a case of this cell. Returns false if it cannot run one
 * now: other cases must end first. */
bool bench_ready(struct engine *engine, struct slot *slot, const struct cell *cell, ns_t now);
/* Notes which of the commands that bench_ready has collected have run; after the last one, the bench is free
 * for other cases. */
void bench_progress(struct engine *engine, struct slot *slot);
/* Runs `teardown` and releases the claim. */
void bench_tear_down(struct engine *engine, struct bench *bench);

/* engine_cases.c */
/* Starts the case that work_offer has prepared for the slot. */
void engine_start_work(struct engine *engine, struct slot *slot, size_t index, ns_t now);
void engine_start_baseline(struct engine *engine, struct slot *slot, ns_t now);
/* Stores the result of the slot's case, which is over, and decides what follows. */
void engine_finish_case(struct engine *engine, struct slot *slot);

#endif
