#include "proxy/relay.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "proxy/inside.h"
#include "proxy/log.h"

/* ---- Opening and closing ---- */

void relay_check_buffer(struct relay *relay, int fd)
{
	uint64_t given = socket_receive_buffer(fd), wanted = relay->setup->proxy.receive_buffer;

	if (given >= wanted || relay->told_buffer)
		return;
	relay->told_buffer = true;
	log_error("receive_buffer: the kernel gives %" PRIu64 " of %" PRIu64
	          " bytes; raise net.core.rmem_max, or run as root",
	    given, wanted);
}

static int listener_open(struct relay *relay, struct listener *listener, unsigned index, struct error *error)
{
	*listener = (struct listener){.relay = relay,
	    .index = index,
	    .configured = relay->setup->proxy.listen.all[index],
	    .out = {.relay = relay, .listener = listener}};
	listener->out.fd = socket_listen(
	    &listener->configured, &relay->socket_options, &listener->bound, error);
	if (listener->out.fd < 0)
		return -1;
	listener->everywhere = address_is_any(&listener->bound);
	relay_check_buffer(relay, listener->out.fd);
	if (ready_add(relay->ready, listener->out.fd, &listener->out))
		return error_set(error, "a listener cannot be waited for: %s", strerror(errno));
	return 0;
}

static int listeners_open(struct relay *relay, struct error *error)
{
	size_t count = relay->setup->proxy.listen.count;
	struct address *own = calloc(count, sizeof(*own));

	relay->listeners = calloc(count, sizeof(*relay->listeners));
	assert(own && relay->listeners);
	for (size_t i = 0; i < count; i++) {
		relay->listener_count = i + 1;
		if (listener_open(relay, &relay->listeners[i], (unsigned)i, error)) {
			free(own);
			return -1;
		}
		own[i] = relay->listeners[i].bound;
	}
	upstreams_refuse(relay->upstreams, own, count);
	free(own);
	return 0;
}

static struct core_limits limits_of(const struct setup *setup, uint64_t seed)
{
	return (struct core_limits){.seed = seed,
	    .idle_timeout = setup->proxy.idle_timeout,
	    .max_sessions = setup->proxy.max_sessions,
	    .max_queued = setup->proxy.max_queued};
}

static void upstreams_know(struct relay *relay)
{
	relay->upstream = upstreams_get(relay->upstreams, relay->setup->proxy.upstream);
	for (size_t i = 0; i < relay->setup->config->device_count; i++)
		if (relay->setup->config->devices[i].upstream)
			upstreams_get(relay->upstreams, relay->setup->config->devices[i].upstream);
}

static struct socket_options socket_options_of(const struct setup *setup)
{
	return (struct socket_options){.receive_buffer = setup->proxy.receive_buffer,
	    .offload = setup->proxy.offload ? OFFLOAD_YES : OFFLOAD_NO};
}

/* The set of sockets and the timer among them, and the loop's event for all of it. */
static int waiting_open(struct relay *relay, struct error *error)
{
	relay->ready = ready_new();
	relay->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (!relay->ready || relay->timer_fd < 0 || ready_add(relay->ready, relay->timer_fd, relay))
		return error_set(error, "no timer can be opened: %s", strerror(errno));
	relay->wake = event_new(relay->base, ready_fd(relay->ready), EV_READ | EV_PERSIST, relay_wake, relay);
	assert(relay->wake);
	event_add(relay->wake, NULL);
	return 0;
}

struct relay *relay_new(const struct relay_options *options, const struct setup *setup, struct error *error)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	struct core_limits limits = limits_of(setup, options->seed);

	assert(relay);
	relay->base = options->base;
	relay->summary = options->summary;
	relay->feed = options->feed;
	relay->setup = setup;
	relay->batch = batch_new();
	relay->began = relay_now();
	relay->wall_started = relay_wall_now();
	relay->wall_offset = relay->wall_started - relay->began;
	relay->core = core_new(setup->config, options->names, &limits, relay->began);
	relay->upstreams = upstreams_new(relay->base, carrier_news, relay);
	relay->socket_options = socket_options_of(setup);
	if (waiting_open(relay, error) || listeners_open(relay, error)) {
		relay_free(relay);
		return NULL;
	}
	upstreams_know(relay);
	relay->armed = NS_UNKNOWN;
	relay_turn(relay);
	return relay;
}

void relay_capture(struct relay *relay, struct capture *capture)
{
	relay->capture = capture;
}

size_t relay_listener_count(const struct relay *relay)
{
	return relay->listener_count;
}

const struct address *relay_listener(const struct relay *relay, size_t index)
{
	return &relay->listeners[index].bound;
}

void relay_stop(struct relay *relay)
{
	relay->stopping = true;
	outbox_flush(relay);
	event_del(relay->wake);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void tell_kept(const struct relay *relay, const struct setup *setup)
{
	const struct addresses *before = &relay->setup->proxy.listen, *after = &setup->proxy.listen;

	if (before->count != after->count ||
	    memcmp(before->all, after->all, before->count * sizeof(*before->all)) != 0)
		log_tell("reload: `listen` keeps its value until the next start");
	if (!same_text(setup->capture.file, relay->setup->capture.file))
		log_tell("reload: [capture] keeps its values until the next start");
	if (setup->proxy.workers != relay->setup->proxy.workers)
		log_tell("reload: `workers` keeps its value until the next start");
	if (setup->proxy.seed_given &&
	    (!relay->setup->proxy.seed_given || setup->proxy.seed != relay->setup->proxy.seed))
		log_tell("reload: `seed` keeps its value until the next start");
}

void relay_reload(struct relay *relay, const struct setup *setup, uint64_t seed)
{
	struct core_limits limits = limits_of(setup, seed);
	struct address *listening = calloc(relay->listener_count, sizeof(*listening));

	assert(listening);
	for (size_t i = 0; i < relay->listener_count; i++)
		listening[i] = relay->listeners[i].configured;
	tell_kept(relay, setup);
	relay->setup = setup;
	relay->socket_options = socket_options_of(setup);
	core_reload(relay->core, setup->config, &limits, listening, relay_now());
	free(listening);
	upstreams_know(relay);
	relay_turn(relay);
}

struct core *relay_core(struct relay *relay)
{
	return relay->core;
}

static uint32_t drops_of(int fd, uint32_t told)
{
	uint32_t now = fd >= 0 ? socket_kernel_drops(fd) : 0;

	return now > told ? now : told;
}

static void kernel_drops(const struct relay *relay, uint64_t drops[WAYS])
{
	drops[WAY_UP] = 0;
	drops[WAY_DOWN] = relay->closed_drops;
	for (size_t i = 0; i < relay->listener_count; i++)
		drops[WAY_UP] += drops_of(relay->listeners[i].out.fd, relay->listeners[i].kernel_drops);
	for (struct session *s = core_oldest(relay->core); s; s = s->newer) {
		const struct carrier *carrier = s->carrier;

		for (const struct port *port = carrier ? carrier->port : NULL; port; port = port->older)
			drops[WAY_DOWN] += drops_of(port->out.fd, port->kernel_drops);
	}
}

void relay_facts(struct relay *relay, struct summary_facts *facts)
{
	uint64_t drops[WAYS];

	kernel_drops(relay, drops);
	facts->started = relay->wall_started;
	facts->began = relay->began;
	facts->now = relay_now();
	facts->kernel_drops = drops[WAY_UP] + drops[WAY_DOWN];
	facts->network_news = relay->network_news;
	if (relay->capture) {
		facts->capture_written = capture_written(relay->capture);
		facts->capture_lost = capture_lost(relay->capture);
	}
}

void relay_closing(struct relay *relay, struct capture_closing *closing)
{
	kernel_drops(relay, closing->kernel_drops);
	summary_totals(relay->summary, relay->core, closing->totals);
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	relay->capture = NULL;
	for (struct session *s = relay->core ? core_oldest(relay->core) : NULL; s; s = s->newer)
		if (s->carrier)
			carrier_close(relay, s->carrier);
	for (size_t i = 0; i < relay->listener_count; i++)
		outlet_close(&relay->listeners[i].out);
	if (relay->wake)
		event_free(relay->wake);
	if (relay->timer_fd >= 0)
		close(relay->timer_fd);
	ready_free(relay->ready);
	upstreams_free(relay->upstreams);
	core_free(relay->core);
	batch_free(relay->batch);
	free(relay->listeners);
	free(relay);
}
