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

#define READS_EACH_WAKE 4 /* batches of one socket before others get their turn */
#define PRECISE_LEAD                                                                                         \
	(80 * NS_US) /* `precise`: armed so much early, then polled; longer would lose the time slice */
#define EVENTS_EACH_SECOND 50 /* lines told on standard error; the capture has all */

ns_t relay_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_S + now.tv_nsec;
}

static ns_t wall_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NS_S + now.tv_nsec;
}

ns_t relay_wall(const struct relay *relay, ns_t at)
{
	return at + relay->wall_offset;
}

/* ---- Recording and accounting ---- */

/* `cloud_side`: the source port that it came to or left by. */
static struct capture_path path_of(
    const struct relay *relay, const struct session *session, const struct address *cloud_side)
{
	const struct carrier *carrier = session->carrier;
	struct capture_path path = {
	    .device = session->device, .device_side = relay->listeners[session->listener].bound};

	if (carrier) {
		path.device_side = carrier->device_side;
		path.cloud_side = *cloud_side;
		path.cloud = carrier->cloud;
	}
	/* Where the cloud is not known yet its headers hold zeros, of the device's family. */
	if (!path.cloud.family || !path.cloud_side.family)
		path.cloud.family = path.cloud_side.family = session->device.family;
	return path;
}

static void record_departure(struct relay *relay, const struct address *cloud_side, struct datagram *datagram,
    enum reason reason, ns_t at)
{
	struct departure departure;
	struct capture_path path;

	if (!relay->capture)
		return;
	path = path_of(relay, datagram->session, cloud_side);
	departure_fill(&departure, datagram, datagram->session->number, reason, at);
	capture_departed(relay->capture, &path, &departure, datagram->bytes, datagram->size, datagram->tos,
	    datagram->id, relay_wall(relay, at));
}

/* On its way down a datagram has no source port of its own: the present one stands in the session's path. */
static const struct address *cloud_side_of(const struct outlet *out, const struct datagram *datagram)
{
	const struct carrier *carrier = datagram->session->carrier;

	return datagram->way == WAY_UP ? &out->local : &carrier->port->out.local;
}

void relay_sent(struct outlet *out, struct datagram *datagram, ns_t at)
{
	struct relay *relay = out->relay;

	/* The kernel's receive stamps and our clock differ by a hair: never sent before it came. */
	if (at < datagram->due)
		at = datagram->due;
	record_departure(relay, cloud_side_of(out, datagram), datagram, REASON_NONE, at);
	core_sent(relay->core, datagram, at);
}

void relay_unsent(struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at)
{
	struct relay *relay = out->relay;

	core_failed(relay->core, datagram, reason);
	record_departure(relay, cloud_side_of(out, datagram), datagram, reason, at);
	core_release(relay->core, datagram);
}

/* Events go into the capture, all of them; on standard error a flood of them is cut short. */
static void tell_event(struct relay *relay, const char *text, ns_t at)
{
	ns_t second = at / NS_S;

	feed_put(relay->feed, text, relay_wall(relay, at));
	if (relay->capture)
		capture_event(relay->capture, text, relay_wall(relay, at));
	if (second != relay->told_second) {
		if (relay->untold)
			log_tell("… and %u events more", relay->untold);
		relay->told_second = second;
		relay->told_count = relay->untold = 0;
	}
	if (relay->told_count++ < EVENTS_EACH_SECOND)
		log_tell("%s", text);
	else
		relay->untold++;
}

/* ---- The walk ---- */

static void session_ended(struct relay *relay, struct session *session)
{
	summary_session_ended(relay->summary, session);
	outbox_flush(relay); /* nothing gathered may point to the socket that goes */
	if (session->carrier)
		carrier_close(relay, session->carrier);
	core_session_release(relay->core, session);
}

/* An evicted session has no carrier any more when what it still had on its way dies. */
static void unsent(struct relay *relay, struct datagram *datagram, enum reason reason, ns_t at)
{
	static const struct address none;
	const struct carrier *carrier = datagram->session->carrier;

	record_departure(relay, carrier ? &carrier->port->out.local : &none, datagram, reason, at);
	core_release(relay->core, datagram);
}

static void act_on_outcomes(struct relay *relay)
{
	struct outcome outcome;

	while (core_next(relay->core, &outcome)) {
		switch (outcome.kind) {
		case OUTCOME_SEND: outbox_add(relay, outcome.datagram, outcome.mapping); break;
		case OUTCOME_UNSENT: unsent(relay, outcome.datagram, outcome.reason, outcome.at); break;
		case OUTCOME_EVENT: tell_event(relay, outcome.text, outcome.at); break;
		case OUTCOME_ENDED: session_ended(relay, outcome.session); break;
		}
	}
}

static void advance(struct relay *relay, ns_t now)
{
	core_advance(relay->core, now);
	act_on_outcomes(relay);
}

static void arm(struct relay *relay)
{
	ns_t due = core_due(relay->core), at;
	struct itimerspec when = {0};

	if (due == relay->armed)
		return;
	relay->armed = due;
	at = due == NS_NEVER ? 0 : due - (relay->setup->proxy.precise ? PRECISE_LEAD : 0);
	if (at < 1 && due != NS_NEVER)
		at = 1;
	when.it_value.tv_sec = at / NS_S;
	when.it_value.tv_nsec = at % NS_S;
	timerfd_settime(relay->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void relay_turn(struct relay *relay)
{
	advance(relay, relay_now());
	outbox_flush(relay);
	arm(relay);
}

static void timer_due(evutil_socket_t fd, short what, void *user)
{
	struct relay *relay = user;
	ns_t due = core_due(relay->core);
	uint64_t expired;

	(void)what;
	if (read(fd, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		return;
	relay->armed = NS_UNKNOWN;
	while (relay->setup->proxy.precise && due - relay_now() > 0 && due - relay_now() <= 2 * PRECISE_LEAD)
		;
	relay_turn(relay);
}

static void refuse(struct relay *relay, enum reason reason, const struct listener *listener,
    const struct received *received, const struct arrival *arrival)
{
	struct capture_path path = {.device = received->from, .device_side = listener->bound};
	struct verdict verdict;
	char text[ADDRESS_TEXT_ROOM];

	if (address_is_any(&listener->bound) && received->to.family) {
		path.device_side = received->to;
		path.device_side.port = listener->bound.port;
	}
	core_refuse(relay->core, reason, arrival, &verdict);
	if (relay->capture)
		capture_arrived(relay->capture, &path, &verdict, received->bytes, received->tos,
		    core_arrivals(relay->core), relay_wall(relay, arrival->at));
	if (!relay->told_refused)
		log_error("device %s is refused: %s (told once; the summary counts all)",
		    address_text(&received->from, text, sizeof(text)),
		    reason == REASON_NOT_ALLOWED ? "`allow` does not list it" : "max_sessions is reached");
	relay->told_refused = true;
}

/* The session of a datagram from a device, or NULL where it was refused. */
static struct session *session_for(struct relay *relay, struct listener *listener,
    const struct received *received, const struct arrival *arrival)
{
	enum reason reason = REASON_MAX_SESSIONS;
	struct session *session = NULL;
	struct carrier *carrier;
	bool opened;

	/* Opening a session may end another: what was gathered of that one is on its way already. */
	if (core_session_count(relay->core) >= relay->setup->proxy.max_sessions)
		outbox_flush(relay);
	if (!patterns_match(&relay->setup->proxy.allow, &received->from))
		reason = REASON_NOT_ALLOWED;
	else if (!(session = core_follow(relay->core, listener->index, &received->from, arrival)))
		session = core_session(relay->core, listener->index, &listener->configured, &received->from,
		    arrival->at, &opened);
	act_on_outcomes(relay);
	if (!session) {
		refuse(relay, reason, listener, received, arrival);
		return NULL;
	}
	if (!session->carrier)
		carrier_open(relay, session);
	carrier = session->carrier;
	if (address_is_any(&listener->bound) && received->to.family) {
		carrier->device_side = received->to;
		carrier->device_side.port = listener->bound.port;
		carrier->interface = received->interface;
	}
	return session;
}

static void tell_verdict(const struct verdict *verdict)
{
	if (log_level() < LOG_VERBOSE)
		return;
	log_detail("s=%u dir=%s n=%u size=%u %s%s", verdict->session, verdict_ways[verdict->way], verdict->n,
	    verdict->size, verdict->reason ? "drop reason=" : "send",
	    verdict->reason ? verdict_reasons[verdict->reason] : "");
}

static void take(struct relay *relay, struct listener *listener, struct port *port,
    const struct received *received, ns_t offset, ns_t now)
{
	const struct carrier *carrier = port ? port->carrier : NULL;
	struct address local = {0}; /* kept: the port may be closed by what becomes due first */

	struct arrival arrival = {.way = listener ? WAY_UP : WAY_DOWN,
	    .tos = received->tos,
	    .bytes = received->bytes,
	    .size = received->size,
	    .at = received->stamp ? received->stamp + offset : now,
	    .mapping = port ? port->mapping : 0};
	struct session *session = carrier ? carrier->session : NULL;
	struct verdict verdict;
	struct capture_path path;

	if (port)
		local = port->out.local;
	if (arrival.at > now)
		arrival.at = now;
	advance(relay, arrival.at);
	if (listener)
		session = session_for(relay, listener, received, &arrival);
	if (!session || session->end)
		return;
	core_arrive(relay->core, session, &arrival, &verdict);
	tell_verdict(&verdict);
	if (relay->capture) {
		carrier = session->carrier;
		path = path_of(relay, session, port ? &local : &carrier->port->out.local);
		capture_arrived(relay->capture, &path, &verdict, received->bytes, received->tos,
		    core_arrivals(relay->core), relay_wall(relay, arrival.at));
	}
	advance(relay, arrival.at);
}

void relay_read(struct relay *relay, int fd, struct listener *listener, struct port *port)
{
	struct session *session = port ? port->carrier->session : NULL;

	/* A session that ends below stays in memory until this turn is over. */
	if (session)
		core_session_hold(session);
	relay->reading = port;
	for (int reads = 0; reads < READS_EACH_WAKE && !relay->stopping; reads++) {
		int count = batch_read(relay->batch, fd);
		ns_t now = relay_now(), offset = now - wall_now();

		if (count < 0) {
			relay->network_news++; /* ICMP's word on something sent before; it changes nothing */
			continue;
		}
		for (int i = 0; i < count; i++) {
			const struct received *received = batch_get(relay->batch, i);

			if (received->drops_told)
				*(listener ? &listener->kernel_drops
				           : &port->kernel_drops) = received->kernel_drops;
			take(relay, listener, port, received, offset, now);
			if (relay->reading != port)
				break;
		}
		if (count < SOCKET_BATCH || relay->reading != port)
			break;
		outbox_flush(relay);
	}
	relay->reading = NULL;
	relay_turn(relay);
	if (session)
		core_session_release(relay->core, session);
}

/* ---- Opening and closing ---- */

static void listener_readable(evutil_socket_t fd, short what, void *user)
{
	struct listener *listener = user;

	(void)what;
	relay_read(listener->relay, fd, listener, NULL);
}

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
	    .out = {.relay = relay}};
	listener->out.fd = socket_listen(
	    &listener->configured, relay->setup->proxy.receive_buffer, &listener->bound, error);
	if (listener->out.fd < 0)
		return -1;
	relay_check_buffer(relay, listener->out.fd);
	listener->readable = event_new(
	    relay->base, listener->out.fd, EV_READ | EV_PERSIST, listener_readable, listener);
	assert(listener->readable);
	event_add(listener->readable, NULL);
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
	relay->wall_started = wall_now();
	relay->wall_offset = relay->wall_started - relay->began;
	relay->core = core_new(setup->config, options->names, &limits, relay->began);
	relay->upstreams = upstreams_new(relay->base, carrier_news, relay);
	relay->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (relay->timer_fd < 0)
		error_set(error, "no timer can be opened: %s", strerror(errno));
	if (relay->timer_fd < 0 || listeners_open(relay, error)) {
		relay_free(relay);
		return NULL;
	}
	upstreams_know(relay);
	relay->timer = event_new(relay->base, relay->timer_fd, EV_READ | EV_PERSIST, timer_due, relay);
	assert(relay->timer);
	event_add(relay->timer, NULL);
	relay->armed = NS_UNKNOWN;
	arm(relay);
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
	for (size_t i = 0; i < relay->listener_count; i++)
		event_del(relay->listeners[i].readable);
	event_del(relay->timer);
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
	for (size_t i = 0; i < relay->listener_count; i++) {
		if (relay->listeners[i].readable)
			event_free(relay->listeners[i].readable);
		outlet_close(&relay->listeners[i].out);
	}
	if (relay->timer)
		event_free(relay->timer);
	if (relay->timer_fd >= 0)
		close(relay->timer_fd);
	upstreams_free(relay->upstreams);
	core_free(relay->core);
	batch_free(relay->batch);
	free(relay->listeners);
	free(relay);
}
