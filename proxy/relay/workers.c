/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * workers_pause sets `paused` and wakes all workers. Each calls wait_while_paused between two rounds, adds
 * itself to `paused_count`, and sleeps until workers_resume clears `paused`.
 */
#include "proxy/relay/workers.h"
#include "proxy/run/clock.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/gateway/gateway.h"
#include "proxy/relay/limits.h"
#include "proxy/run/log.h"
#include "proxy/relay/relay.h"

struct worker {
	struct relay *relay;
	pthread_t thread;
	char name[32]; /* as top and ps show it */
};

struct workers {
	struct worker *workers;
	struct core **cores;
	struct core_group core_group; /* of `cores` */
	struct shared *shared;
	struct summary *summary;
	struct gateway *gateway;
	struct capture *capture;
	const struct setup *setup;
	size_t count;
	size_t started;       /* threads */
	unsigned pause_depth; /* nesting depth of workers_pause */
	ns_t began, wall_started;
	/* Protected by `lock`: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t paused_count; /* workers that are paused now */
	bool paused;
};

/* ---- Pausing ---- */

static void wait_while_paused(void *user)
{
	struct workers *workers = user;

	pthread_mutex_lock(&workers->lock);
	workers->paused_count++;
	pthread_cond_broadcast(&workers->changed);
	while (workers->paused)
		pthread_cond_wait(&workers->changed, &workers->lock);
	workers->paused_count--;
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}

void workers_pause(struct workers *workers)
{
	if (workers->pause_depth++ || !workers->started)
		return;
	pthread_mutex_lock(&workers->lock);
	while (workers->paused_count) /* of the previous pause: each must leave it first */
		pthread_cond_wait(&workers->changed, &workers->lock);
	workers->paused = true;
	for (size_t i = 0; i < workers->started; i++)
		relay_pause(workers->workers[i].relay);
	while (workers->paused_count < workers->started)
		pthread_cond_wait(&workers->changed, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
}

void workers_resume(struct workers *workers)
{
	assert(workers->pause_depth);
	if (--workers->pause_depth || !workers->started)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->paused = false;
	for (size_t i = 0; i < workers->started; i++)
		relay_resume(workers->workers[i].relay);
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}

unsigned workers_pause_depth(const struct workers *workers)
{
	return workers->pause_depth;
}

/* A task walks the sessions while the workers are paused, so no walk is left if the depth is the same. */
void workers_recover(struct workers *workers, unsigned depth)
{
	if (workers->pause_depth == depth)
		return;
	for (size_t i = 0; i < workers->count; i++)
		core_cursors_end(workers->cores[i]);
	while (workers->pause_depth > depth)
		workers_resume(workers);
}

/* ---- Opening and closing ---- */

/* A thread names itself: naming another one takes a file in /proc, which the sandbox hides. */
static void *worker_thread(void *user)
{
	struct worker *worker = user;

	pthread_setname_np(pthread_self(), worker->name);
	memory_set_nonfatal(true);
	relay_run(worker->relay);
	return NULL;
}

/* A blackout of a whole device: the gateway darkens what does not come through here. */
static void on_dark(void *user, const struct outcome *outcome)
{
	struct workers *workers = user;
	struct darkness darkness = {.address = outcome->session->device,
	    .ways = {outcome->dark[WAY_UP], outcome->dark[WAY_DOWN]},
	    .is_end = outcome->is_end,
	    .until = outcome->at};

	if (workers->gateway)
		gateway_dark(workers->gateway, &darkness);
}

static int worker_open(
    struct workers *workers, size_t index, const struct workers_options *options, struct error *error)
{
	struct relay_options relay = {.names = options->names,
	    .summary = options->summary,
	    .feed = options->feed,
	    .seed = options->seed,
	    .shared = workers->shared,
	    .first = index ? workers->workers[0].relay : NULL,
	    .index = (unsigned)index,
	    .workers = (unsigned)workers->count,
	    .began = workers->began,
	    .wall_offset = workers->wall_started - workers->began,
	    .on_dark = on_dark,
	    .on_dark_user = workers,
	    .on_pause = wait_while_paused,
	    .on_pause_user = workers};

	workers->workers[index].relay = relay_new(&relay, workers->setup, error);
	if (!workers->workers[index].relay)
		return -1;
	workers->cores[index] = relay_core(workers->workers[index].relay);
	return 0;
}

struct workers *workers_new(
    const struct workers_options *options, const struct setup *setup, struct error *error)
{
	struct workers *workers = memory_new(1, sizeof(*workers));

	workers->count = setup->proxy.workers;
	workers->workers = memory_new(workers->count, sizeof(*workers->workers));
	workers->cores = memory_new(workers->count, sizeof(*workers->cores));
	workers->core_group = (struct core_group){.all = workers->cores, .count = workers->count};
	workers->shared = shared_new();
	workers->summary = options->summary;
	workers->gateway = options->gateway;
	workers->setup = setup;
	workers->wall_started = clock_wall();
	workers->began = clock_now();
	limits_sessions(setup, LIMITS_LOG);
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->changed, NULL);
	for (size_t i = 0; i < workers->count; i++)
		if (worker_open(workers, i, options, error)) {
			workers_free(workers);
			return NULL;
		}
	if (workers->count > 1)
		relay_spread(workers->workers[0].relay, (unsigned)workers->count);
	return workers;
}

void workers_free(struct workers *workers)
{
	if (!workers)
		return;
	assert(!workers->started);
	for (size_t i = 0; i < workers->count; i++)
		relay_free(workers->workers[i].relay);
	pthread_mutex_destroy(&workers->lock);
	pthread_cond_destroy(&workers->changed);
	shared_free(workers->shared);
	free(workers->workers);
	free(workers->cores);
	free(workers);
}

void workers_capture(struct workers *workers, struct capture *capture)
{
	workers->capture = capture;
	for (size_t i = 0; i < workers->count; i++)
		relay_record(workers->workers[i].relay, capture_recorder(capture, (unsigned)i));
}

int workers_start(struct workers *workers, struct error *error)
{
	sigset_t all, before;
	int failure = 0;

	/* Signals are for the calling thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (size_t i = 0; i < workers->count; i++)
		relay_start(workers->workers[i].relay);
	while (!failure && workers->started < workers->count) {
		struct worker *worker = &workers->workers[workers->started];

		snprintf(worker->name, sizeof(worker->name), "worker-%zu", workers->started + 1);
		failure = pthread_create(&worker->thread, NULL, worker_thread, worker);
		if (!failure)
			workers->started++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure)
		return error_set(error, "no thread can be started for a worker: %s", strerror(failure));
	return 0;
}

void workers_stop(struct workers *workers)
{
	size_t started = workers->started;
	bool nonfatal = memory_set_nonfatal(true);

	workers_pause(workers);
	for (size_t i = 0; i < workers->count; i++)
		relay_stop(workers->workers[i].relay);
	workers_resume(workers);
	memory_set_nonfatal(nonfatal);
	workers->started = 0;
	for (size_t i = 0; i < started; i++)
		pthread_join(workers->workers[i].thread, NULL);
}

/* ---- All workers ---- */

size_t workers_listener_count(const struct workers *workers)
{
	return relay_listener_count(workers->workers[0].relay);
}

const struct address *workers_listener(const struct workers *workers, size_t index)
{
	return relay_listener(workers->workers[0].relay, index);
}

void workers_flush_due(struct workers *workers)
{
	bool nonfatal = memory_set_nonfatal(true);

	workers_pause(workers);
	for (size_t i = 0; i < workers->count; i++)
		relay_flush_due(workers->workers[i].relay);
	workers_resume(workers);
	memory_set_nonfatal(nonfatal);
}

void workers_add_upstream(struct workers *workers, const struct live_target *target, const char *text)
{
	workers_pause(workers);
	for (size_t i = 0; i < workers->count; i++)
		if (core_live_concerns(workers->cores[i], target))
			relay_add_upstream(workers->workers[i].relay, text);
	workers_resume(workers);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

void workers_log_kept(const struct workers *workers, const struct setup *setup)
{
	const struct setup *old = workers->setup;
	const struct addresses *before = &old->proxy.listen, *after = &setup->proxy.listen;

	if (before->count != after->count ||
	    memcmp(before->all, after->all, before->count * sizeof(*before->all)) != 0)
		log_info("reload: `listen` keeps its value until the next start");
	if (!same_text(setup->capture.file, old->capture.file))
		log_info("reload: [capture] keeps its values until the next start");
	if (setup->proxy.is_original != old->proxy.is_original)
		log_info("reload: `upstream` keeps its value until the next start: original and an address "
		         "cannot be exchanged");
	if (setup->proxy.workers != old->proxy.workers)
		log_info("reload: `workers` keeps its value until the next start");
	if (setup->proxy.seed_given && (!old->proxy.seed_given || setup->proxy.seed != old->proxy.seed))
		log_info("reload: `seed` keeps its value until the next start");
	limits_sessions(setup, LIMITS_LOG);
}

struct workers_change {
	const struct setup *setup;
	size_t count;
	struct core_change *each[];
};

struct workers_change *workers_change_new(const struct workers *workers, const struct setup *setup)
{
	struct workers_change *change = memory_new(
	    1, sizeof(*change) + workers->count * sizeof(*change->each));

	change->setup = setup;
	change->count = workers->count;
	for (size_t i = 0; i < workers->count; i++)
		change->each[i] = core_change_new(workers->setup->config, setup->config);
	return change;
}

void workers_change_free(struct workers_change *change)
{
	for (size_t i = 0; i < change->count; i++)
		core_change_free(change->each[i]);
	free(change);
}

int workers_exchange(struct workers *workers, struct workers_change *change, uint64_t seed)
{
	bool prepared = true, nonfatal = memory_set_nonfatal(true);

	workers_pause(workers);
	/* Prepare all before exchanging the first, so that either all workers change or none. */
	for (size_t i = 0; i < workers->count && prepared; i++)
		prepared = relay_prepare(workers->workers[i].relay, change->each[i], change->setup) == 0;
	for (size_t i = 0; i < workers->count && prepared; i++)
		relay_reload(workers->workers[i].relay, change->each[i], change->setup, seed);
	if (prepared)
		workers->setup = change->setup;
	workers_resume(workers);
	memory_set_nonfatal(nonfatal);
	return prepared ? 0 : -1;
}

const struct core_group *workers_cores(const struct workers *workers)
{
	return &workers->core_group;
}

void workers_walk(struct workers *workers, workers_visit *visit, void *user)
{
	for (size_t i = 0; i < workers->count; i++) {
		struct core_cursor cursor;
		bool more = true;

		workers_pause(workers);
		core_cursor_begin(workers->cores[i], &cursor);
		while (cursor.next && more) {
			for (int k = 0; k < WORKERS_PIECE && cursor.next && more; k++)
				more = visit(user, core_cursor_next(&cursor));
			workers_resume(workers);
			workers_pause(workers);
		}
		core_cursor_end(workers->cores[i], &cursor);
		workers_resume(workers);
	}
}

static void add_kernel_drops(struct workers *workers, uint64_t drops[WAYS])
{
	for (size_t i = 0; i < workers->count; i++)
		relay_kernel_drops(workers->workers[i].relay, drops);
}

void workers_facts(struct workers *workers, struct summary_facts *facts)
{
	uint64_t drops[WAYS] = {0};

	workers_pause(workers);
	facts->icmp_errors = 0;
	add_kernel_drops(workers, drops);
	for (size_t i = 0; i < workers->count; i++)
		facts->icmp_errors += relay_icmp_errors(workers->workers[i].relay);
	workers_resume(workers);
	facts->started = workers->wall_started;
	facts->began = workers->began;
	facts->now = clock_now();
	facts->kernel_drops = drops[WAY_UP] + drops[WAY_DOWN];
	if (workers->capture) {
		facts->capture_written = capture_written(workers->capture);
		facts->capture_lost = capture_lost(workers->capture);
	}
}

void workers_closing(
    struct workers *workers, const struct summary_snapshot *now, struct capture_closing *closing)
{
	closing->kernel_drops[WAY_UP] = closing->kernel_drops[WAY_DOWN] = 0;
	workers_pause(workers);
	add_kernel_drops(workers, closing->kernel_drops);
	workers_resume(workers);
	closing->kernel_drops[WAY_DOWN] += now->kernel_drops;
	for (int way = 0; way < WAYS; way++)
		closing->totals[way] = now->totals[way];
}

ns_t workers_wall(const struct workers *workers, ns_t at)
{
	return at + workers->wall_started - workers->began;
}
