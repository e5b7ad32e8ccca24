#include "proxy/relay/crew.h"
#include "proxy/run/clock.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/relay/limits.h"
#include "proxy/run/log.h"
#include "proxy/relay/relay.h"

struct worker {
	struct relay *relay;
	pthread_t thread;
};

struct crew {
	struct worker *workers;
	struct core **cores;
	struct cores view;
	struct common *common;
	struct summary *summary;
	struct capture *capture;
	const struct setup *setup;
	size_t count;
	size_t started; /* threads */
	unsigned halts; /* nested */
	ns_t began, wall_started;
	/* Under the lock: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t still;
	bool halted;
};

/* ---- Standing still ---- */

static void stand_still(void *user)
{
	struct crew *crew = user;

	pthread_mutex_lock(&crew->lock);
	crew->still++;
	pthread_cond_broadcast(&crew->changed);
	while (crew->halted)
		pthread_cond_wait(&crew->changed, &crew->lock);
	crew->still--;
	pthread_cond_broadcast(&crew->changed);
	pthread_mutex_unlock(&crew->lock);
}

void crew_halt(struct crew *crew)
{
	if (crew->halts++ || !crew->started)
		return;
	pthread_mutex_lock(&crew->lock);
	while (crew->still) /* from the halt before: each goes through a round in between */
		pthread_cond_wait(&crew->changed, &crew->lock);
	crew->halted = true;
	for (size_t i = 0; i < crew->started; i++)
		relay_halt(crew->workers[i].relay);
	while (crew->still < crew->started)
		pthread_cond_wait(&crew->changed, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
}

void crew_go(struct crew *crew)
{
	assert(crew->halts);
	if (--crew->halts || !crew->started)
		return;
	pthread_mutex_lock(&crew->lock);
	crew->halted = false;
	for (size_t i = 0; i < crew->started; i++)
		relay_go(crew->workers[i].relay);
	pthread_cond_broadcast(&crew->changed);
	pthread_mutex_unlock(&crew->lock);
}

unsigned crew_halts(const struct crew *crew)
{
	return crew->halts;
}

/* ---- Opening and closing ---- */

static void *work(void *user)
{
	memory_go_on();
	relay_run(user);
	return NULL;
}

static int worker_open(
    struct crew *crew, size_t index, const struct crew_options *options, struct error *error)
{
	struct relay_options relay = {.names = options->names,
	    .summary = options->summary,
	    .feed = options->feed,
	    .seed = options->seed,
	    .common = crew->common,
	    .first = index ? crew->workers[0].relay : NULL,
	    .index = (unsigned)index,
	    .workers = (unsigned)crew->count,
	    .began = crew->began,
	    .wall_offset = crew->wall_started - crew->began,
	    .rest = stand_still,
	    .rest_user = crew};

	crew->workers[index].relay = relay_new(&relay, crew->setup, error);
	if (!crew->workers[index].relay)
		return -1;
	crew->cores[index] = relay_core(crew->workers[index].relay);
	return 0;
}

struct crew *crew_new(const struct crew_options *options, const struct setup *setup, struct error *error)
{
	struct crew *crew = memory_new(1, sizeof(*crew));

	crew->count = setup->proxy.workers;
	crew->workers = memory_new(crew->count, sizeof(*crew->workers));
	crew->cores = memory_new(crew->count, sizeof(*crew->cores));
	crew->view = (struct cores){.all = crew->cores, .count = crew->count};
	crew->common = common_new();
	crew->summary = options->summary;
	crew->setup = setup;
	crew->wall_started = clock_wall();
	crew->began = clock_now();
	limits_sessions(setup, LIMITS_TELL);
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->changed, NULL);
	for (size_t i = 0; i < crew->count; i++)
		if (worker_open(crew, i, options, error)) {
			crew_free(crew);
			return NULL;
		}
	if (crew->count > 1)
		relay_spread(crew->workers[0].relay, (unsigned)crew->count);
	return crew;
}

void crew_free(struct crew *crew)
{
	if (!crew)
		return;
	assert(!crew->started);
	for (size_t i = 0; i < crew->count; i++)
		relay_free(crew->workers[i].relay);
	pthread_mutex_destroy(&crew->lock);
	pthread_cond_destroy(&crew->changed);
	common_free(crew->common);
	free(crew->workers);
	free(crew->cores);
	free(crew);
}

void crew_capture(struct crew *crew, struct capture *capture)
{
	crew->capture = capture;
	for (size_t i = 0; i < crew->count; i++)
		relay_record(crew->workers[i].relay, capture_recorder(capture, (unsigned)i));
}

int crew_start(struct crew *crew, struct error *error)
{
	sigset_t all, before;
	char name[16];
	int failure = 0;

	/* Signals are the caller's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!failure && crew->started < crew->count) {
		struct worker *worker = &crew->workers[crew->started];

		failure = pthread_create(&worker->thread, NULL, work, worker->relay);
		if (failure)
			break;
		snprintf(name, sizeof(name), "worker-%zu", ++crew->started);
		pthread_setname_np(worker->thread, name);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure)
		return error_set(error, "no thread can be started for a worker: %s", strerror(failure));
	return 0;
}

void crew_stop(struct crew *crew)
{
	size_t started = crew->started;

	crew_halt(crew);
	for (size_t i = 0; i < crew->count; i++)
		relay_stop(crew->workers[i].relay);
	crew_go(crew);
	crew->started = 0;
	for (size_t i = 0; i < started; i++)
		pthread_join(crew->workers[i].thread, NULL);
}

/* ---- All of them ---- */

size_t crew_listener_count(const struct crew *crew)
{
	return relay_listener_count(crew->workers[0].relay);
}

const struct address *crew_listener(const struct crew *crew, size_t index)
{
	return relay_listener(crew->workers[0].relay, index);
}

void crew_turn(struct crew *crew)
{
	crew_halt(crew);
	for (size_t i = 0; i < crew->count; i++)
		relay_turn(crew->workers[i].relay);
	crew_go(crew);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

void crew_tell_kept(const struct crew *crew, const struct setup *setup)
{
	const struct setup *old = crew->setup;
	const struct addresses *before = &old->proxy.listen, *after = &setup->proxy.listen;

	if (before->count != after->count ||
	    memcmp(before->all, after->all, before->count * sizeof(*before->all)) != 0)
		log_tell("reload: `listen` keeps its value until the next start");
	if (!same_text(setup->capture.file, old->capture.file))
		log_tell("reload: [capture] keeps its values until the next start");
	if (setup->proxy.workers != old->proxy.workers)
		log_tell("reload: `workers` keeps its value until the next start");
	if (setup->proxy.seed_given && (!old->proxy.seed_given || setup->proxy.seed != old->proxy.seed))
		log_tell("reload: `seed` keeps its value until the next start");
	limits_sessions(setup, LIMITS_TELL);
}

struct crew_change {
	const struct setup *setup;
	size_t count;
	struct core_change *each[];
};

struct crew_change *crew_change_new(const struct crew *crew, const struct setup *setup)
{
	struct crew_change *change = memory_new(1, sizeof(*change) + crew->count * sizeof(*change->each));

	change->setup = setup;
	change->count = crew->count;
	for (size_t i = 0; i < crew->count; i++)
		change->each[i] = core_change_new(crew->setup->config, setup->config);
	return change;
}

void crew_change_free(struct crew_change *change)
{
	for (size_t i = 0; i < change->count; i++)
		core_change_free(change->each[i]);
	free(change);
}

int crew_exchange(struct crew *crew, struct crew_change *change, uint64_t seed)
{
	bool prepared = true;

	crew_halt(crew);
	/* All before the first: all of them go over, or none. */
	for (size_t i = 0; i < crew->count && prepared; i++)
		prepared = relay_prepare(crew->workers[i].relay, change->each[i]) == 0;
	for (size_t i = 0; i < crew->count && prepared; i++)
		relay_reload(crew->workers[i].relay, change->each[i], change->setup, seed);
	if (prepared)
		crew->setup = change->setup;
	crew_go(crew);
	return prepared ? 0 : -1;
}

const struct cores *crew_cores(const struct crew *crew)
{
	return &crew->view;
}

void crew_walk(struct crew *crew, crew_visit *visit, void *user)
{
	for (size_t i = 0; i < crew->count; i++) {
		struct core_cursor cursor;
		bool more = true;

		crew_halt(crew);
		core_cursor_begin(crew->cores[i], &cursor);
		while (cursor.next && more) {
			for (int k = 0; k < CREW_PIECE && cursor.next && more; k++)
				more = visit(user, core_cursor_next(&cursor));
			crew_go(crew);
			crew_halt(crew);
		}
		core_cursor_end(crew->cores[i], &cursor);
		crew_go(crew);
	}
}

static void closed_drops(struct crew *crew, uint64_t drops[WAYS])
{
	for (size_t i = 0; i < crew->count; i++)
		relay_kernel_drops(crew->workers[i].relay, drops);
}

void crew_facts(struct crew *crew, struct summary_facts *facts)
{
	uint64_t drops[WAYS] = {0};

	crew_halt(crew);
	facts->network_news = 0;
	closed_drops(crew, drops);
	for (size_t i = 0; i < crew->count; i++)
		facts->network_news += relay_network_news(crew->workers[i].relay);
	crew_go(crew);
	facts->started = crew->wall_started;
	facts->began = crew->began;
	facts->now = clock_now();
	facts->kernel_drops = drops[WAY_UP] + drops[WAY_DOWN];
	if (crew->capture) {
		facts->capture_written = capture_written(crew->capture);
		facts->capture_lost = capture_lost(crew->capture);
	}
}

void crew_closing(struct crew *crew, const struct summary_now *now, struct capture_closing *closing)
{
	closing->kernel_drops[WAY_UP] = closing->kernel_drops[WAY_DOWN] = 0;
	crew_halt(crew);
	closed_drops(crew, closing->kernel_drops);
	crew_go(crew);
	closing->kernel_drops[WAY_DOWN] += now->kernel_drops;
	for (int way = 0; way < WAYS; way++)
		closing->totals[way] = now->totals[way];
}

ns_t crew_wall(const struct crew *crew, ns_t at)
{
	return at + crew->wall_started - crew->began;
}
