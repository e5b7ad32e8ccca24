/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens, reloads and closes a relay, and reports its counters; the loop is in worker_loop.c. */
#include "proxy/relay/relay.h"
#include "proxy/run/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/relay/inside.h"
#include "proxy/relay/limits.h"
#include "proxy/run/log.h"

/* ---- Opening and closing ---- */

static int listener_open(struct relay *relay, unsigned index, const struct relay *first, struct error *error)
{
	struct listener *listener = &relay->listeners[index];

	*listener = (struct listener){.out = {.source.call = loop_on_listener, .relay = relay, .fd = -1},
	    .index = index,
	    .configured = relay->setup->proxy.listen.all[index]};
	listener->out.fd = socket_listen(first ? &first->listeners[index].bound : &listener->configured,
	    &relay->socket_options,
	    first                ? LISTEN_JOINED
	    : relay->workers > 1 ? LISTEN_FIRST
	                         : LISTEN_ALONE,
	    &listener->bound, error);
	if (listener->out.fd < 0)
		return -1;
	listener->everywhere = address_is_any(&listener->bound);
	listener->is_transparent = relay->is_original;
	if (!index && !first) /* it is the same for all listeners */
		outlet_check_buffer(&listener->out, "a listener");
	if (ready_add(relay->ready, listener->out.fd, &listener->out.source, READY_READ))
		return error_set(error, "cannot wait for a listener: %s", strerror(errno));
	return 0;
}

static int listeners_open(struct relay *relay, const struct relay *first, struct error *error)
{
	size_t count = relay->setup->proxy.listen.count;
	struct address *bound = memory_new(count, sizeof(*bound));

	relay->listeners = memory_new(count, sizeof(*relay->listeners));
	for (size_t i = 0; i < count; i++) {
		relay->listener_count = i + 1;
		if (listener_open(relay, (unsigned)i, first, error)) {
			free(bound);
			return -1;
		}
		bound[i] = relay->listeners[i].bound;
	}
	upstreams_refuse(relay->upstreams, bound, count);
	inlets_open(relay);
	free(bound);
	return 0;
}

/* Checks source addresses now; otherwise a wrong one would only be noticed with the first session. */
static int sources_check(const struct relay *relay, struct error *error)
{
	const struct addresses *source = &relay->setup->proxy.source;

	for (size_t i = 0; i < source->count; i++)
		if (socket_check_source(&source->all[i], &relay->socket_options, error))
			return -1;
	return 0;
}

static struct core_limits core_limits_of(const struct setup *setup, uint64_t seed)
{
	return (struct core_limits){.seed = seed,
	    .idle_timeout = setup->proxy.idle_timeout,
	    .max_sessions = limits_sessions(setup, LIMITS_QUIET),
	    .max_queued = setup->proxy.max_queued,
	    .real_time = true,
	    .reports_dark = setup->gateway.given && setup->gateway.dark == GATEWAY_DARK_ALL,
	    .transport_size = sizeof(struct transport)};
}

void relay_add_upstream(struct relay *relay, const char *text)
{
	if (text)
		upstreams_get(relay->upstreams, text);
}

struct adding {
	struct relay *relay;
	const struct setup *setup;
};

/* Adds the servers that a setup names. */
static void add_upstreams(void *user)
{
	const struct adding *adding = user;
	const struct config *config = adding->setup->config;
	struct relay *relay = adding->relay;

	if (!relay->is_original && !adding->setup->proxy.is_original)
		relay_add_upstream(relay, adding->setup->proxy.upstream);
	for (size_t i = 0; i < config->device_count; i++)
		relay_add_upstream(relay, config->devices[i].upstream);
	for (size_t i = 0; i < config->rule_count; i++)
		for (size_t k = 0; k < config->rules[i].actions.count; k++)
			if (config->rules[i].actions.all[k].upstream)
				relay_add_upstream(
				    relay, names_get(relay->names, config->rules[i].actions.all[k].upstream));
}

/* Whether it is original cannot change during the run. */
static void use_upstream(struct relay *relay)
{
	if (!relay->is_original && !relay->setup->proxy.is_original)
		relay->upstream = upstreams_get(relay->upstreams, relay->setup->proxy.upstream);
}

static struct socket_options socket_options_of(const struct setup *setup)
{
	return (struct socket_options){.receive_buffer = setup->proxy.receive_buffer,
	    .offload = setup->proxy.offload && socket_can_offload() ? OFFLOAD_YES : OFFLOAD_NO,
	    .whole = setup->proxy.offload && socket_discovers_mtu(),
	    .is_transparent = setup->proxy.is_original};
}

/* The eventfd only wakes the thread, which then checks whether it is paused. */
static void on_wakeup(struct source *source, bool readable, bool writable)
{
	(void)source;
	(void)readable;
	(void)writable;
}

static int event_sources_open(struct relay *relay, struct error *error)
{
	relay->ready = ready_new();
	relay->timer.call = loop_on_timer;
	relay->on_port = loop_on_port;
	relay->wakeup.call = on_wakeup;
	relay->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	relay->wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!relay->ready || relay->timer_fd < 0 || relay->wakeup_fd < 0 ||
	    ready_add(relay->ready, relay->timer_fd, &relay->timer, READY_EDGE) ||
	    ready_add(relay->ready, relay->wakeup_fd, &relay->wakeup, READY_EDGE))
		return error_set(error, "no timer can be opened: %s", strerror(errno));
	return 0;
}

struct relay *relay_new(const struct relay_options *options, const struct setup *setup, struct error *error)
{
	struct relay *relay = memory_new(1, sizeof(*relay));
	struct core_limits limits = core_limits_of(setup, options->seed);

	relay->summary = options->summary;
	relay->feed = options->feed;
	relay->names = options->names;
	relay->setup = setup;
	relay->is_original = setup->proxy.is_original;
	relay->is_by_device = setup->gateway.given && setup->gateway.source == GATEWAY_SOURCE_DEVICE;
	relay->batch = batch_new();
	relay->index = options->index;
	relay->workers = options->workers;
	relay->on_dark = options->on_dark;
	relay->on_dark_user = options->on_dark_user;
	relay->on_pause = options->on_pause;
	relay->on_pause_user = options->on_pause_user;
	relay->wall_offset = options->wall_offset;
	limits.shared = options->shared;
	relay->reports_dark = limits.reports_dark;
	relay->core = core_new(setup->config, options->names, &limits, options->began);
	relay->socket_options = socket_options_of(setup);
	if (event_sources_open(relay, error)) {
		relay_free(relay);
		return NULL;
	}
	relay->upstreams = upstreams_new(relay->ready, transport_on_resolved, relay);
	if (sources_check(relay, error) || listeners_open(relay, options->first, error)) {
		relay_free(relay);
		return NULL;
	}
	relay->armed = NS_UNKNOWN;
	return relay;
}

void relay_start(struct relay *relay)
{
	add_upstreams(&(struct adding){relay, relay->setup});
	use_upstream(relay);
	relay_flush_due(relay);
}

void relay_record(struct relay *relay, struct recorder *recorder)
{
	relay->recorder = recorder;
}

size_t relay_listener_count(const struct relay *relay)
{
	return relay->listener_count;
}

const struct address *relay_listener(const struct relay *relay, size_t index)
{
	return &relay->listeners[index].bound;
}

void relay_spread(const struct relay *relay, unsigned count)
{
	for (size_t i = 0; i < relay->listener_count; i++)
		socket_spread(
		    relay->listeners[i].out.fd, (enum family)relay->listeners[i].bound.family, count);
}

void relay_pause(struct relay *relay)
{
	atomic_store(&relay->paused, true);
	eventfd_write(relay->wakeup_fd, 1);
}

void relay_resume(struct relay *relay)
{
	atomic_store(&relay->paused, false);
}

void relay_stop(struct relay *relay)
{
	relay->stopping = true;
	outlets_flush(relay);
}

int relay_prepare(struct relay *relay, struct core_change *change, const struct setup *setup)
{
	struct adding adding = {relay, setup};

	/* Handle what is due first: it may end sessions, which must not be prepared. */
	relay_flush_due(relay);
	if (!memory_try(add_upstreams, &adding))
		return -1;
	return core_prepare(relay->core, change, relay->entrances);
}

void relay_reload(struct relay *relay, struct core_change *change, const struct setup *setup, uint64_t seed)
{
	struct core_limits limits = core_limits_of(setup, seed);

	if (!setup->gateway.given) /* [gateway] stays until the next start */
		limits.reports_dark = relay->reports_dark;
	relay->reports_dark = limits.reports_dark;
	relay->setup = setup;
	relay->socket_options = socket_options_of(setup);
	core_exchange(relay->core, change, &limits, clock_now());
	use_upstream(relay);
	relay->armed = NS_UNKNOWN; /* `precise` may have changed */
	relay_flush_due(relay);
}

#define RANGE_TRIED 1024 /* ports */

static bool is_dhcp(unsigned port)
{
	for (int i = 0; i < GATEWAY_DHCP_PORTS; i++)
		if (port == gateway_dhcp_ports[i])
			return true;
	return false;
}

int relay_check_answers(const struct setup *setup, struct error *error)
{
	static const struct port_range coaps = {5684, 5684};
	const struct port_range *ranges = setup->gateway.ports.count ? setup->gateway.ports.all : &coaps;
	size_t count = setup->gateway.ports.count ? setup->gateway.ports.count : 1;
	const struct socket_options options = {.receive_buffer = 4096};

	for (size_t i = 0; i < count; i++)
		for (unsigned port = ranges[i].low;
		     port <= ranges[i].high && ranges[i].high - ranges[i].low < RANGE_TRIED; port++)
			for (size_t k = 0; k < setup->proxy.listen.count && !is_dhcp(port); k++) {
				int fd = socket_answer((enum family)setup->proxy.listen.all[k].family,
				    (uint16_t)port, &options, error);

				if (fd < 0)
					return -1;
				close(fd);
			}
	return 0;
}

struct core *relay_core(struct relay *relay)
{
	return relay->core;
}

static uint32_t latest_drops(int fd, uint32_t reported)
{
	uint32_t now = fd >= 0 ? socket_kernel_drops(fd) : 0;

	return now > reported ? now : reported;
}

void relay_kernel_drops(const struct relay *relay, uint64_t drops[WAYS])
{
	drops[WAY_DOWN] += relay->closed_drops;
	for (size_t i = 0; i < relay->listener_count; i++)
		drops[WAY_UP] += latest_drops(relay->listeners[i].out.fd, relay->listeners[i].kernel_drops);
}

uint64_t relay_session_drops(const struct session *session)
{
	const struct transport *transport = session->transport;
	uint64_t drops = 0;

	for (const struct port *port = transport ? transport->port : NULL; port; port = port->older)
		drops += socket_kernel_drops(port->out.fd);
	return drops;
}

uint64_t relay_icmp_errors(const struct relay *relay)
{
	return relay->icmp_errors;
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	relay->recorder = NULL;
	for (size_t i = 0; i < relay->listener_count; i++)
		outlet_drop(
		    &relay->listeners[i].out, REASON_ERROR); /* while their sessions have transports */
	for (struct session *s = relay->core ? core_oldest(relay->core) : NULL; s; s = s->newer)
		if (s->transport)
			transport_close(relay, s->transport);
	for (size_t i = 0; i < relay->listener_count; i++)
		outlet_close(&relay->listeners[i].out);
	inlets_close(relay);
	upstreams_free(relay->upstreams);
	if (relay->timer_fd >= 0)
		close(relay->timer_fd);
	if (relay->wakeup_fd >= 0)
		close(relay->wakeup_fd);
	ready_free(relay->ready);
	core_free(relay->core);
	batch_free(relay->batch);
	free(relay->listeners);
	free(relay);
}
