/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk: the walk of every datagram: read, judged, recorded, sent; and the one timer.
 *
 *   relay_run          one round after the other
 *     wait             for what is ready, the timer set for the earliest due time
 *     read_batch       each datagram is judged and recorded, what is due by then is gathered
 *     turn             what is due now; all that was gathered is sent
 */
#include <inttypes.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cache.h"
#include "proxy/relay/inside.h"
#include "proxy/run/log.h"
#include "proxy/run/recording.h"
#include "proxy/run/clock.h"

#define READ_EACH_ROUND 256 /* datagrams of one listener before others get their turn */
/* While a socket is waited for, each datagram that it has sent makes the kernel look who waits for room in
 * it. So with many sessions a listener that so many came to in one round is polled: read in every round,
 * until so many in a row gave nothing, or nothing else is ready either. (With few, more go together as it
 * is.) */
#define POLLED_FROM 32
#define POLLED_EMPTY 8
#define PRECISE_LEAD                                                                                         \
	(150 * NS_US) /* `precise`: awake so much early, then polling; longer would lose the time slice */
#define EVENTS_EACH_SECOND 50 /* lines told on standard error; the capture has all */

ns_t relay_wall(const struct relay *relay, ns_t at)
{
	return at + relay->wall_offset;
}

/* ---- Recording and accounting ---- */

/* Each worker numbers its arrivals; in the capture no two have the same. */
static uint64_t packet_id(const struct relay *relay, uint64_t arrival)
{
	return arrival * relay->workers + relay->index;
}

static const struct address unknown;

/* `cloud_side`: the source port that it came to or left by. */
static struct capture_path path_of(
    const struct relay *relay, const struct session *session, const struct address *cloud_side)
{
	const struct transport *transport = session->transport;

	return (struct capture_path){.device = &session->device,
	    .device_side = transport ? &transport->device_side : &relay->listeners[session->listener].bound,
	    .cloud_side = cloud_side,
	    .cloud = transport ? &transport->cloud : &unknown};
}

/* On its way down a datagram has no source port of its own, and no outlet where it never left: the session's
 * present port stands in its path; an evicted session has none any more. */
static const struct address *cloud_side_of(const struct outlet *out, const struct datagram *datagram)
{
	const struct transport *transport = datagram->session->transport;

	if (out && datagram->way == WAY_UP)
		return &out->local;
	return transport ? &transport->port->out.local : &unknown;
}

static void record_departure(
    struct relay *relay, const struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at)
{
	struct capture_path path;

	if (!relay->recorder)
		return;
	path = path_of(relay, datagram->session, cloud_side_of(out, datagram));
	recording_departed(relay->recorder, &path, datagram, reason, packet_id(relay, datagram->id), at,
	    relay_wall(relay, at));
}

void relay_sent(struct outlet *out, struct datagram *datagram, ns_t at)
{
	struct relay *relay = out->relay;

	/* The kernel's receive stamps and our clock differ by a hair: never sent before it came. */
	if (at < datagram->due)
		at = datagram->due;
	record_departure(relay, out, datagram, REASON_NONE, at);
	core_sent(relay->core, datagram, at);
}

void relay_unsent(struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at)
{
	struct relay *relay = out->relay;

	core_failed(relay->core, datagram, reason);
	record_departure(relay, out, datagram, reason, at);
	core_release(relay->core, datagram);
}

/* Events go into the capture, all of them; on standard error a flood of them is cut short. */
static void tell_event(struct relay *relay, const char *text, ns_t at)
{
	ns_t second = at / NS_S;

	feed_put(relay->feed, text, relay_wall(relay, at));
	if (relay->recorder)
		capture_event(relay->recorder, text, relay_wall(relay, at));
	if (second != relay->event_second) {
		if (relay->event_lines_left_out)
			log_info("… and %u events more", relay->event_lines_left_out);
		relay->event_second = second;
		relay->event_lines = relay->event_lines_left_out = 0;
	}
	if (relay->event_lines++ < EVENTS_EACH_SECOND)
		log_event(text);
	else
		relay->event_lines_left_out++;
}

/* ---- The walk ---- */

static void session_ended(struct relay *relay, struct session *session)
{
	summary_session_ended(relay->summary, session);
	outbox_flush(relay); /* nothing gathered may point to the socket that goes */
	if (session->transport)
		transport_close(relay, session->transport);
	core_session_release(relay->core, session);
}

static void act_on_outcomes(struct relay *relay)
{
	struct outcome outcome;

	while (core_next(relay->core, &outcome)) {
		switch (outcome.kind) {
		case OUTCOME_SEND: outbox_add(relay, outcome.datagram, outcome.mapping); break;
		case OUTCOME_UNSENT:
			record_departure(relay, NULL, outcome.datagram, outcome.reason, outcome.at);
			core_release(relay->core, outcome.datagram);
			break;
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

static ns_t lead(const struct relay *relay)
{
	return relay->setup->proxy.precise ? PRECISE_LEAD : 0;
}

static ns_t next_due(const struct relay *relay)
{
	ns_t due = core_due(relay->core);

	return relay->expiry_first && relay->expiry_first->until < due ? relay->expiry_first->until : due;
}

static void arm(struct relay *relay)
{
	ns_t due = next_due(relay), at;
	struct itimerspec when = {0};

	if (due == relay->armed)
		return;
	relay->armed = due;
	at = due == NS_NEVER ? 0 : due - lead(relay);
	if (at < 1 && due != NS_NEVER)
		at = 1;
	when.it_value.tv_sec = at / NS_S;
	when.it_value.tv_nsec = at % NS_S;
	timerfd_settime(relay->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* What is due leaves. */
static void flush_due(struct relay *relay, ns_t now)
{
	if (core_out_of_memory(relay->core) && !relay->warned_memory) {
		log_error("memory is out: what finds none is refused as overload (told once)");
		relay->warned_memory = true;
	}
	advance(relay, now);
	outbox_flush(relay);
	transports_expire_ports(relay, now);
}

void relay_flush_due(struct relay *relay)
{
	flush_due(relay, clock_now());
	arm(relay);
}

/* The address that the device sent to. */
static struct address local_address_of(const struct listener *listener, const struct received *received)
{
	struct address address = listener->bound;

	if (listener->everywhere && received->to.family) {
		address = received->to;
		address.port = listener->bound.port;
	}
	return address;
}

static void refuse(struct relay *relay, enum reason reason, const char *why, const struct listener *listener,
    const struct received *received, const struct arrival *arrival)
{
	struct address device_side = local_address_of(listener, received);
	struct capture_path path = {.device = &received->from, .device_side = &device_side};
	struct verdict verdict;
	char text[ADDRESS_TEXT_SIZE];

	core_refuse(relay->core, reason, arrival, &verdict);
	if (relay->recorder)
		capture_arrived(relay->recorder, &path, &verdict, arrival->bytes, received->tos,
		    packet_id(relay, core_arrivals(relay->core)), relay_wall(relay, arrival->at));
	if (!relay->warned_refused)
		log_error("device %s is refused: %s (told once; the summary counts all)",
		    address_text(&received->from, text, sizeof(text)), why);
	relay->warned_refused = true;
}

/* One that no session has so far: the session that it opens or continues, or NULL after it was refused. */
static struct session *session_open(struct relay *relay, struct listener *listener,
    const struct received *received, const struct arrival *arrival)
{
	struct session *session = core_follow(relay->core, listener->index, &received->from, arrival);
	enum reason reason = REASON_OVERLOAD;
	const char *why =
	    "more than 1000 sessions a second from its address begin with the same datagram: do two "
	    "proxies lead to each other?";
	bool opened = false;

	if (!session &&
	    core_may_open(relay->core, &received->from, arrival->bytes, arrival->size, arrival->at)) {
		/* Opening a session may end another: what was gathered of that one is on its way already. */
		if (core_is_full(relay->core))
			outbox_flush(relay);
		session = core_session(relay->core, listener->index, &listener->configured, &received->from,
		    arrival->at, &opened);
		reason = core_refusal(relay->core);
		why = reason == REASON_OVERLOAD ? "memory is out" : "max_sessions is reached";
	}
	relay->opened |= opened;
	act_on_outcomes(relay);
	if (!session)
		refuse(relay, reason, why, listener, received, arrival);
	return session;
}

/* The session of a datagram from a device, or NULL after it was refused. */
static struct session *session_for(struct relay *relay, struct listener *listener,
    const struct received *received, const struct arrival *arrival)
{
	struct session *session;
	struct transport *transport;

	if (!patterns_match(&relay->setup->proxy.allow, &received->from)) {
		refuse(relay, REASON_NOT_ALLOWED, "`allow` does not list it", listener, received, arrival);
		return NULL;
	}
	session = core_find(relay->core, listener->index, &received->from);
	if (!session)
		session = session_open(relay, listener, received, arrival);
	if (!session)
		return NULL;
	if (!session->transport)
		transport_open(relay, session);
	transport = session->transport;
	if (listener->everywhere && received->to.family) {
		transport->device_side = local_address_of(listener, received);
		transport->interface = received->interface;
	}
	return session;
}

static void tell_verdict(const struct verdict *verdict)
{
	if (log_level() < LOG_VERBOSE)
		return;
	log_debug("s=%u dir=%s n=%u size=%u %s%s", verdict->session, verdict_ways[verdict->way], verdict->n,
	    verdict->size, verdict->reason ? "drop reason=" : "send",
	    verdict->reason ? verdict_reasons[verdict->reason] : "");
}

/* When it came. The clock is read only if the last reading does not tell. */
static ns_t arrival_time(struct relay *relay, const struct received *received)
{
	if (!received->stamp)
		return relay->now;
	if (received->stamp + relay->stamps.offset > relay->now)
		relay->now = clock_now();
	return stamps_time(&relay->stamps, received->stamp, relay->now);
}

/* One of those that a read gave. */
static void take(struct relay *relay, struct listener *listener, struct port *port,
    const struct received *received, const uint8_t *bytes, size_t size)
{
	const struct transport *transport = port ? port->transport : NULL;
	struct address local = {0}; /* kept: the port may be closed by what becomes due first */

	struct arrival arrival = {.way = listener ? WAY_UP : WAY_DOWN,
	    .tos = received->tos,
	    .bytes = bytes,
	    .size = size,
	    .at = arrival_time(relay, received),
	    .mapping = port ? port->mapping : 0};
	struct session *session = transport ? transport->session : NULL;
	struct verdict verdict;
	struct capture_path path;

	if (port && relay->recorder)
		local = port->out.local;
	advance(relay, arrival.at);
	if (listener)
		session = session_for(relay, listener, received, &arrival);
	if (!session || session->end)
		return;
	core_arrive(relay->core, session, &arrival, &verdict);
	tell_verdict(&verdict);
	if (relay->recorder) {
		transport = session->transport;
		path = path_of(relay, session, port ? &local : &transport->port->out.local);
		capture_arrived(relay->recorder, &path, &verdict, bytes, received->tos,
		    packet_id(relay, core_arrivals(relay->core)), relay_wall(relay, arrival.at));
	}
	/* Due as well, but behind others: out before the next datagram, which may have an earlier stamp and
	 * end a session. */
	if (core_due(relay->core) <= arrival.at)
		advance(relay, arrival.at);
}

/* What one read gave: one datagram, or several that came together. */
static void handle_received(
    struct relay *relay, struct listener *listener, struct port *port, const struct received *received)
{
	const uint8_t *bytes = received->bytes;
	size_t left = received->size;

	if (listener && received->drops_told)
		listener->kernel_drops = received->kernel_drops;
	for (; left > received->segment; left -= received->segment, bytes += received->segment) {
		take(relay, listener, port, received, bytes, received->segment);
		if (relay->reading != port)
			return; /* closed by what became due */
	}
	take(relay, listener, port, received, bytes, left);
}

/* Opening a session takes its time: what has become due meanwhile does not wait for the rest of the batch. */
static void catch_up(struct relay *relay)
{
	relay->opened = false;
	relay->now = clock_now();
	if (core_due(relay->core) <= relay->now)
		flush_due(relay, relay->now);
}

_Static_assert(SOCKET_BATCH <= CORE_PREFETCH_MAX, "a batch is foreseen whole");

/* Before the datagrams of a batch are taken one by one: their sessions, and what carries those. */
static void prefetch_sessions(struct relay *relay, const struct listener *listener, int count)
{
	const struct address *devices[SOCKET_BATCH] = {0};
	struct session *sessions[SOCKET_BATCH];

	for (int i = 0; i < count; i++)
		devices[i] = &batch_get(relay->batch, i)->from;
	if (!core_prefetch_batch(relay->core, listener->index, devices, sessions, (size_t)count))
		return;
	for (int i = 0; i < count; i++)
		if (sessions[i])
			cache_fetch(sessions[i]->room, 0, offsetof(struct transport, used));
}

/* Of what is ready: a port, or NULL. */
static const struct port *ready_port(const struct relay *relay, int index)
{
	const struct source *source = ready_peek(relay->ready, index);

	return source && source->call == loop_on_port ? (const struct port *)source : NULL;
}

/* The same where clouds have answered: from the ports to their sessions. */
static void prefetch_ports(const struct relay *relay, int count)
{
	const struct port *port;

	if (!core_should_prefetch(relay->core))
		return;
	for (int i = 0; i < count; i++)
		cache_fetch(ready_peek(relay->ready, i), 0, offsetof(struct transport, used));
	for (int i = 0; i < count; i++)
		if ((port = ready_port(relay, i)))
			core_prefetch_session(port->transport->session);
}

/* From a listener or a port; the other is NULL. */
static int read_batch(struct relay *relay, struct listener *listener, struct port *port, int max)
{
	int fd = listener ? listener->out.fd : port->out.fd;
	int count = batch_read(relay->batch, fd, listener ? BATCH_UNCONNECTED : BATCH_CONNECTED, max);

	if (count < 0) {
		relay->icmp_errors++; /* ICMP's word on something sent before; it changes nothing */
		return max;
	}
	if (listener && count > 1)
		prefetch_sessions(relay, listener, count);
	for (int i = 0; i < count; i++) {
		handle_received(relay, listener, port, batch_get(relay->batch, i));
		if (relay->reading != port)
			return 0;
		if (relay->opened)
			catch_up(relay);
	}
	return count;
}

/* Gives how many it read. */
static int read_listener(struct relay *relay, struct listener *listener)
{
	int read = 0, count = SOCKET_BATCH;

	while (count == SOCKET_BATCH && read < READ_EACH_ROUND) {
		count = read_batch(relay, listener, NULL, SOCKET_BATCH);
		read += count;
	}
	return read;
}

static bool is_busy(const struct relay *relay, const struct listener *listener, int read)
{
	return read >= POLLED_FROM && core_should_prefetch(relay->core) && !listener->out.full;
}

static void poll_from_here(struct relay *relay, struct listener *listener)
{
	ready_forget(relay->ready, listener->out.fd, &listener->out.source);
	listener->out.polled = true;
	listener->empty_rounds = 0;
	relay->polled++;
}

void loop_wait_for(struct listener *listener)
{
	struct relay *relay = listener->out.relay;

	if (ready_add(relay->ready, listener->out.fd, &listener->out.source, READY_READ))
		return; /* out of memory: polled on */
	listener->out.polled = false;
	relay->polled--;
}

/* Those that are polled, until they are no longer busy. `others`: something else was ready in this round. */
static void read_polled(struct relay *relay, bool others)
{
	for (size_t i = 0; relay->polled && i < relay->listener_count; i++) {
		struct listener *listener = &relay->listeners[i];

		if (!listener->out.polled)
			continue;
		if (read_listener(relay, listener))
			listener->empty_rounds = 0;
		else if (!others || ++listener->empty_rounds == POLLED_EMPTY)
			loop_wait_for(listener);
	}
}

void loop_on_listener(struct source *source, bool readable, bool writable)
{
	struct listener *listener = (struct listener *)source;
	struct relay *relay = listener->out.relay;

	if (writable)
		outlet_resume(&listener->out);
	if (readable && is_busy(relay, listener, read_listener(relay, listener)))
		poll_from_here(relay, listener);
}

/* Of many sessions most have one datagram to read: asking for one saves the kernel's look for a second. */
static int next_max(int max, int count)
{
	int next = count == max ? 2 * max : count;

	return next < 1 ? 1 : next < SOCKET_BATCH ? next : SOCKET_BATCH;
}

static void count_read(struct port *port)
{
	if (port->reads < PORT_BUSY && ++port->reads == PORT_BUSY)
		socket_enable_offload(
		    port->out.fd, (enum family)port->out.local.family, &port->out.relay->socket_options);
}

static void read_port(struct relay *relay, struct port *port)
{
	struct session *session = port->transport->session;
	int count;

	/* A session that ends below stays in memory until this turn is over. */
	core_session_hold(session);
	relay->reading = port;
	count = read_batch(relay, NULL, port, port->max);
	if (relay->reading) {
		port->max = (uint8_t)next_max(port->max, count);
		transport_port_read(port);
		count_read(port);
	}
	relay->reading = NULL;
	core_session_release(relay->core, session);
}

void loop_on_port(struct source *source, bool readable, bool writable)
{
	struct port *port = (struct port *)source;

	if (writable)
		outlet_resume(&port->out);
	if (readable)
		read_port(port->out.relay, port);
}

/* What is due leaves at the end of the round. */
void loop_on_timer(struct source *source, bool readable, bool writable)
{
	struct relay *relay = (struct relay *)source;

	(void)readable;
	(void)writable;
	relay->armed = NS_UNKNOWN;
}

/* The last stretch before something is due, which `precise` spends awake. */
static bool is_soon(const struct relay *relay)
{
	return relay->setup->proxy.precise && core_due(relay->core) - clock_now() <= PRECISE_LEAD;
}

/* Gives how many are ready: none only where something is due soon, or is due by now. */
static int wait(struct relay *relay)
{
	bool awake = relay->polled || is_soon(relay);
	int count = 0;

	/* To look costs less than to program the clock and to sleep. */
	if (awake || next_due(relay) != relay->armed)
		count = ready_wait(relay->ready, READY_LOOK);
	if (count || awake)
		return count;
	arm(relay);
	return ready_wait(relay->ready, READY_SLEEP);
}

static void loop_iteration(struct relay *relay)
{
	int count = wait(relay);
	ns_t before = clock_now(), wall = clock_wall();

	relay->now = clock_now(); /* behind the wall clock: an arrival is never put earlier than it was */
	stamps_round(&relay->stamps, before, wall, relay->now);
	prefetch_ports(relay, count);
	while (ready_next(relay->ready))
		;
	read_polled(relay, count > 0);
	relay->now = clock_now();
	flush_due(relay, relay->now);
}

void relay_run(struct relay *relay)
{
	while (!relay->stopping) {
		/* After a rest comes a round, whatever is asked for next. */
		if (atomic_load_explicit(&relay->paused, memory_order_relaxed))
			relay->rest(relay->rest_user);
		if (!relay->stopping)
			loop_iteration(relay);
	}
}
