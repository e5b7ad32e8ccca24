/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker_loop: reads, judges, records and sends every datagram; and the one timer.
 *
 *   relay_run            one loop_iteration after the other
 *     wait_for_sources   until something is ready, with the timer armed for the earliest due time
 *     read_batch         judges and records each datagram, gathers datagrams that are due by then
 *     flush_due          gathers datagrams that are due now, sends all gathered ones
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

#define READ_EACH_ROUND 256 /* datagrams read from one listener before other sources get their turn */
/* As long as a socket is in an epoll set, the kernel checks after each datagram that it has sent whether
 * somebody waits for room. So with many sessions, a listener from which a round has read at least POLLED_FROM
 * datagrams is taken out of the set and polled: read in every round, until POLLED_EMPTY rounds in a row found
 * nothing, or until nothing else is ready either. (With few sessions, sends are in longer runs anyway.) */
#define POLLED_FROM 32
#define POLLED_EMPTY 8
/* `precise`: wake up this much early, then poll; polling for longer would use up the time slice. */
#define PRECISE_LEAD (150 * NS_US)
#define DRAIN_ROUNDS 64       /* after the stop; each reads a batch of every socket that is ready */
#define EVENTS_EACH_SECOND 50 /* lines on standard error; the capture has all events */

ns_t relay_wall(const struct relay *relay, ns_t at)
{
	return at + relay->wall_offset;
}

/* ---- Recording and accounting ---- */

/* Makes a worker's arrival number unique among all workers, for the capture. */
static uint64_t packet_id(const struct relay *relay, uint64_t arrival)
{
	return arrival * relay->workers + relay->index;
}

static const struct address unknown_address;

/* `cloud_side`: the upstream socket's address that the datagram came to or left from. */
static struct capture_path path_of(const struct session *session, const struct address *cloud_side)
{
	const struct transport *transport = session->transport;
	/* What was on its way when the session ended keeps the address that it came to. */
	const struct transport *latest = (const struct transport *)session->room;

	return (struct capture_path){.device = &session->device,
	    .device_side = &latest->device_side,
	    .cloud_side = cloud_side,
	    .cloud = transport ? &session->cloud : &unknown_address};
}

/* Returns the cloud side to record for a departure. A datagram on its way down, or one that never reached an
 * outlet, has no port of its own: the session's current port is used. An evicted session has none. */
static const struct address *cloud_side_of(const struct outlet *out, const struct datagram *datagram)
{
	const struct transport *transport = datagram->session->transport;

	if (out && datagram->way == WAY_UP)
		return &out->local;
	return transport ? &transport->port->out.local : &unknown_address;
}

static void record_departure(
    struct relay *relay, const struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at)
{
	struct capture_path path;

	if (!relay->recorder)
		return;
	path = path_of(datagram->session, cloud_side_of(out, datagram));
	recording_add_departure(relay->recorder, &path, datagram, reason, packet_id(relay, datagram->id), at,
	    relay_wall(relay, at));
}

void relay_sent(struct outlet *out, struct datagram *datagram, ns_t at)
{
	struct relay *relay = out->relay;

	/* Receive timestamps and our clock may differ slightly: never record it as sent before it was due. */
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

/* All events go into the feed and the capture; their number on standard error is limited. */
static void publish_event(struct relay *relay, const char *text, ns_t at)
{
	ns_t second = at / NS_S;

	feed_put(relay->feed, text, relay_wall(relay, at));
	if (relay->recorder)
		capture_event(relay->recorder, text, relay_wall(relay, at));
	if (second != relay->event_second) {
		if (relay->event_lines_left_out)
			log_info("… and %u more events", relay->event_lines_left_out);
		relay->event_second = second;
		relay->event_lines = relay->event_lines_left_out = 0;
	}
	if (relay->event_lines++ < EVENTS_EACH_SECOND)
		log_event(text);
	else
		relay->event_lines_left_out++;
}

/* ---- Handling datagrams ---- */

static void session_ended(struct relay *relay, struct session *session)
{
	summary_session_ended(relay->summary, session);
	outbox_flush(relay); /* no gathered datagram may refer to a socket that is closed */
	if (session->transport)
		transport_close(relay, session->transport);
	inlet_release(relay, session->entrance);
	core_session_release(relay->core, session);
}

static void handle_outcomes(struct relay *relay)
{
	struct outcome outcome;

	while (core_next(relay->core, &outcome)) {
		switch (outcome.kind) {
		case OUTCOME_SEND: outbox_add(relay, outcome.datagram, outcome.mapping); break;
		case OUTCOME_UNSENT:
			record_departure(relay, NULL, outcome.datagram, outcome.reason, outcome.at);
			core_release(relay->core, outcome.datagram);
			break;
		case OUTCOME_EVENT: publish_event(relay, outcome.text, outcome.at); break;
		case OUTCOME_UPSTREAM: transport_move(relay, outcome.session); break;
		case OUTCOME_DARK: relay->on_dark(relay->on_dark_user, &outcome); break;
		case OUTCOME_ENDED: session_ended(relay, outcome.session); break;
		}
	}
}

static void advance_core(struct relay *relay, ns_t now)
{
	core_advance(relay->core, now);
	handle_outcomes(relay);
}

static ns_t timer_lead(const struct relay *relay)
{
	return relay->setup->proxy.precise ? PRECISE_LEAD : 0;
}

static ns_t next_due(const struct relay *relay)
{
	ns_t due = core_due(relay->core);

	return relay->expiry_first && relay->expiry_first->until < due ? relay->expiry_first->until : due;
}

static void arm_timer(struct relay *relay)
{
	ns_t due = next_due(relay), at;
	struct itimerspec when = {0};

	if (due == relay->armed)
		return;
	relay->armed = due;
	at = due == NS_NEVER ? 0 : due - timer_lead(relay);
	if (at < 1 && due != NS_NEVER)
		at = 1;
	when.it_value.tv_sec = at / NS_S;
	when.it_value.tv_nsec = at % NS_S;
	timerfd_settime(relay->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Sends all that is due. */
static void flush_due(struct relay *relay, ns_t now)
{
	if (core_out_of_memory(relay->core) && !relay->warned_memory) {
		log_error("out of memory: datagrams that need some are refused as overload (logged once)");
		relay->warned_memory = true;
	}
	advance_core(relay, now);
	outbox_flush(relay);
	transports_expire_ports(relay, now);
}

void relay_flush_due(struct relay *relay)
{
	flush_due(relay, clock_now());
	arm_timer(relay);
}

/* Returns the address that the device sent to. */
static struct address local_address_of(const struct listener *listener, const struct received *received)
{
	struct address address = listener->bound;

	if (listener->is_transparent && received->to.family)
		return received->to;
	if (listener->everywhere && received->to.family) {
		address = received->to;
		address.port = listener->bound.port;
	}
	return address;
}

static void refuse_datagram(struct relay *relay, enum reason reason, const char *why,
    const struct listener *listener, const struct received *received, const struct arrival *arrival)
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
		log_error("device %s is refused: %s (logged once; the summary counts all)",
		    address_text(&received->from, text, sizeof(text)), why);
	relay->warned_refused = true;
}

/* For a datagram that belongs to no known session. Returns the session that it opens or continues, or NULL if
 * it was refused. */
static struct session *session_open(struct relay *relay, struct listener *listener,
    const struct received *received, const struct arrival *arrival)
{
	uint32_t index = inlet_take(relay, listener, &received->to);
	struct session *session = index == INLET_NONE
	                              ? NULL
	                              : core_follow(relay->core, index, &received->from, arrival);
	enum reason reason = REASON_OVERLOAD;
	const char *why =
	    "more than 1000 sessions a second from its address begin with the same datagram: do two "
	    "proxies lead to each other?";
	bool opened = false;

	if (index == INLET_NONE) {
		why = "out of memory";
	} else if (!session &&
	           core_may_open(relay->core, &received->from, arrival->bytes, arrival->size, arrival->at)) {
		/* Opening a session may end another one, whose gathered datagrams are sent first. */
		if (core_is_full(relay->core))
			outbox_flush(relay);
		session = core_session(
		    relay->core, index, &relay->entrances[index], &received->from, arrival->at, &opened);
		reason = core_refusal(relay->core);
		why = reason == REASON_OVERLOAD ? "out of memory" : "max_sessions is reached";
	}
	relay->opened |= opened;
	handle_outcomes(relay);
	if (!opened && index != INLET_NONE)
		inlet_release(relay, index);
	if (!session)
		refuse_datagram(relay, reason, why, listener, received, arrival);
	return session;
}

/* True if a datagram was sent to deadzone's own address: nothing says to which cloud it is to go. */
static bool is_for_itself(
    struct relay *relay, const struct listener *listener, const struct received *received)
{
	return listener->is_transparent &&
	       (!received->to.family || (received->to.port == listener->bound.port &&
	                                    upstreams_are_own(relay->upstreams, &received->to)));
}

/* Returns the session of a datagram from a device, or NULL if it was refused. */
static struct session *session_for(struct relay *relay, struct listener *listener,
    const struct received *received, const struct arrival *arrival)
{
	struct session *session;
	struct transport *transport;
	uint32_t index;

	if (!patterns_match(&relay->setup->proxy.allow, &received->from)) {
		refuse_datagram(
		    relay, REASON_NOT_ALLOWED, "`allow` does not list it", listener, received, arrival);
		return NULL;
	}
	index = inlet_find(relay, listener, &received->to);
	session = index == INLET_NONE ? NULL : core_find(relay->core, index, &received->from);
	if (!session && is_for_itself(relay, listener, received)) {
		refuse_datagram(relay, REASON_NOT_ALLOWED,
		    "it sends to deadzone itself, and not to a cloud that could be its upstream; with "
		    "`upstream = "
		    "original`, have the kernel redirect its datagrams (nft tproxy), or use [gateway]",
		    listener, received, arrival);
		return NULL;
	}
	if (!session)
		session = session_open(relay, listener, received, arrival);
	if (!session)
		return NULL;
	if (!session->transport)
		transport_open(relay, session);
	transport = session->transport;
	if (listener->everywhere && !listener->is_transparent && received->to.family) {
		transport->device_side = local_address_of(listener, received);
	}
	return session;
}

static void log_verdict(const struct verdict *verdict)
{
	if (log_level() < LOG_VERBOSE)
		return;
	log_debug("s=%u dir=%s n=%u size=%u %s%s", verdict->session, verdict_ways[verdict->way], verdict->n,
	    verdict->size, verdict->reason ? "drop reason=" : "send",
	    verdict->reason ? verdict_reasons[verdict->reason] : "");
}

/* Returns when the datagram arrived. The clock is read only if the last reading is older than that. */
static ns_t arrival_time(struct relay *relay, const struct received *received)
{
	if (!received->stamp)
		return relay->now;
	if (received->stamp + relay->stamps.offset > relay->now)
		relay->now = clock_now();
	return stamps_time(&relay->stamps, received->stamp, relay->now);
}

/* Handles one datagram of `received`; either `listener` or `port` is NULL. */
static void handle_datagram(struct relay *relay, struct listener *listener, struct port *port,
    const struct received *received, const uint8_t *bytes, size_t size)
{
	const struct transport *transport = port ? port->transport : NULL;
	struct address local = {0}, peer = {0}; /* copies, because advance_core may close the port */

	struct arrival arrival = {.way = listener ? WAY_UP : WAY_DOWN,
	    .tos = received->tos,
	    .bytes = bytes,
	    .size = size,
	    .at = arrival_time(relay, received),
	    .mapping = port ? port->mapping : 0,
	    .is_filtered = port && port->is_left};
	struct session *session = transport ? transport_session(transport) : NULL;
	struct verdict verdict;
	struct capture_path path;

	if (port && relay->recorder)
		local = port->out.local;
	if (arrival.is_filtered && relay->recorder)
		socket_peer(port->out.fd, &peer);
	advance_core(relay, arrival.at);
	if (listener)
		session = session_for(relay, listener, received, &arrival);
	if (!session || session->end)
		return;
	core_arrive(relay->core, session, &arrival, &verdict);
	log_verdict(&verdict);
	if (relay->recorder) {
		transport = session->transport;
		path = path_of(session, port ? &local : &transport->port->out.local);
		if (arrival.is_filtered)
			path.cloud = &peer;
		capture_arrived(relay->recorder, &path, &verdict, bytes, received->tos,
		    packet_id(relay, core_arrivals(relay->core)), relay_wall(relay, arrival.at));
	}
	/* It may be due at once, behind others. Send it before the next datagram is handled, which may have
	 * an earlier timestamp and end a session. */
	if (core_due(relay->core) <= arrival.at)
		advance_core(relay, arrival.at);
}

/* Handles one message read: one datagram, or several that the kernel has joined. */
static void handle_received(
    struct relay *relay, struct listener *listener, struct port *port, const struct received *received)
{
	const uint8_t *bytes = received->bytes;
	size_t left = received->size;

	if (listener && received->has_kernel_drops)
		listener->kernel_drops = received->kernel_drops;
	for (; left > received->segment; left -= received->segment, bytes += received->segment) {
		handle_datagram(relay, listener, port, received, bytes, received->segment);
		if (relay->reading != port)
			return; /* the port has been closed */
	}
	handle_datagram(relay, listener, port, received, bytes, left);
}

/* Opening a session takes time. Datagrams that became due meanwhile do not wait for the rest of the batch. */
static void flush_overdue(struct relay *relay)
{
	relay->opened = false;
	relay->now = clock_now();
	if (core_due(relay->core) <= relay->now)
		flush_due(relay, relay->now);
}

_Static_assert(SOCKET_BATCH <= CORE_PREFETCH_MAX, "a whole batch can be prefetched");

/* Prefetches the sessions and transports of a batch before its datagrams are handled one by one. */
static void prefetch_sessions(struct relay *relay, const struct listener *listener, int count)
{
	const struct address *devices[SOCKET_BATCH] = {0};
	struct session *sessions[SOCKET_BATCH];
	unsigned entrances[SOCKET_BATCH];

	if (!core_should_prefetch(relay->core))
		return;
	for (int i = 0; i < count; i++) {
		const struct received *received = batch_get(relay->batch, i);

		devices[i] = &received->from;
		entrances[i] = inlet_find(relay, listener, &received->to);
	}
	if (!core_prefetch_batch(relay->core, entrances, devices, sessions, (size_t)count))
		return;
	for (int i = 0; i < count; i++)
		if (sessions[i])
			cache_prefetch(sessions[i]->room, 0, offsetof(struct transport, used));
}

/* Returns the port of ready source `index`, or NULL if that is not a port. */
static const struct port *ready_port(const struct relay *relay, int index)
{
	const struct source *source = ready_peek(relay->ready, index);

	return source && source->call == loop_on_port ? (const struct port *)source : NULL;
}

/* Prefetches in two passes, first the ready ports and their transports, then the ports' sessions. */
static void prefetch_ports(const struct relay *relay, int count)
{
	const struct port *port;

	if (!core_should_prefetch(relay->core))
		return;
	for (int i = 0; i < count; i++)
		cache_prefetch(ready_peek(relay->ready, i), 0, offsetof(struct transport, used));
	for (int i = 0; i < count; i++)
		if ((port = ready_port(relay, i)))
			core_prefetch_session(transport_session(port->transport));
}

/* Reads and handles up to `max` messages of a listener or a port; the other is NULL. Returns how many. */
static int read_batch(struct relay *relay, struct listener *listener, struct port *port, int max)
{
	int fd = listener ? listener->out.fd : port->out.fd;
	int count = batch_read(relay->batch, fd, listener ? BATCH_UNCONNECTED : BATCH_CONNECTED, max);

	if (count < 0) {
		relay->icmp_errors++; /* ICMP error for an earlier send; only counted */
		return max;
	}
	if (listener && count > 1)
		prefetch_sessions(relay, listener, count);
	for (int i = 0; i < count; i++) {
		handle_received(relay, listener, port, batch_get(relay->batch, i));
		if (relay->reading != port)
			return 0;
		if (relay->opened)
			flush_overdue(relay);
	}
	return count;
}

/* Returns how many messages it read. */
static int read_listener(struct relay *relay, struct listener *listener)
{
	int read = 0, count = SOCKET_BATCH;

	while (count == SOCKET_BATCH && read < READ_EACH_ROUND) {
		count = read_batch(relay, listener, NULL, SOCKET_BATCH);
		read += count;
	}
	return read;
}

static bool should_poll(const struct relay *relay, const struct listener *listener, int read)
{
	return read >= POLLED_FROM && core_should_prefetch(relay->core) && !listener->out.full;
}

static void start_polling(struct relay *relay, struct listener *listener)
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
		return; /* out of memory: polling goes on */
	listener->out.polled = false;
	relay->polled--;
}

/* Reads the polled listeners, and stops polling those that are no longer busy. `others_ready`: something else
 * was ready in this round. */
static void read_polled(struct relay *relay, bool others_ready)
{
	for (size_t i = 0; relay->polled && i < relay->listener_count; i++) {
		struct listener *listener = &relay->listeners[i];

		if (!listener->out.polled)
			continue;
		if (read_listener(relay, listener))
			listener->empty_rounds = 0;
		else if (!others_ready || ++listener->empty_rounds == POLLED_EMPTY)
			loop_wait_for(listener);
	}
}

void loop_on_listener(struct source *source, bool readable, bool writable)
{
	struct listener *listener = (struct listener *)source;
	struct relay *relay = listener->out.relay;

	if (writable)
		outlet_resume(&listener->out);
	if (readable && should_poll(relay, listener, read_listener(relay, listener)))
		start_polling(relay, listener);
}

/* Adapts the number of datagrams to request. With many sessions, most ports have one datagram to read, and
 * requesting just one saves the kernel a second lookup. */
static int next_read_max(int max, int count)
{
	int next = count == max ? 2 * max : count;

	return next < 1 ? 1 : next < SOCKET_BATCH ? next : SOCKET_BATCH;
}

static void count_port_read(struct port *port)
{
	if (port->reads < PORT_BUSY && ++port->reads == PORT_BUSY)
		socket_enable_offload(
		    port->out.fd, (enum family)port->out.local.family, &port->out.relay->socket_options);
}

static void read_port(struct relay *relay, struct port *port)
{
	struct session *session = transport_session(port->transport);
	int count;

	/* Keeps the session in memory if it ends below. */
	core_session_hold(session);
	relay->reading = port;
	count = read_batch(relay, NULL, port, port->max);
	if (relay->reading) {
		port->max = (uint8_t)next_read_max(port->max, count);
		transport_port_read(port);
		count_port_read(port);
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

/* Only marks the timer as expired: each round ends with flush_due anyway. */
void loop_on_timer(struct source *source, bool readable, bool writable)
{
	struct relay *relay = (struct relay *)source;

	(void)readable;
	(void)writable;
	relay->armed = NS_UNKNOWN;
}

/* True in the last stretch before something is due, during which `precise` polls. */
static bool is_due_soon(const struct relay *relay)
{
	return relay->setup->proxy.precise && core_due(relay->core) - clock_now() <= PRECISE_LEAD;
}

/* Waits until something is ready. Returns how many sources are; 0 if a listener is polled or something is due
 * soon, which both forbid sleeping. */
static int wait_for_sources(struct relay *relay)
{
	bool must_poll = relay->polled || is_due_soon(relay);
	int count = 0;

	/* Polling costs less than setting the timer and sleeping. */
	if (must_poll || next_due(relay) != relay->armed)
		count = ready_wait(relay->ready, READY_POLL);
	if (count || must_poll)
		return count;
	arm_timer(relay);
	return ready_wait(relay->ready, READY_BLOCK);
}

/* Handles what is ready: `count` sources, and the polled listeners. */
static void handle_ready(struct relay *relay, int count)
{
	ns_t before = clock_now(), wall = clock_wall();

	relay->now = clock_now(); /* after the wall clock, so that no arrival is dated too early */
	stamps_round(&relay->stamps, before, wall, relay->now);
	prefetch_ports(relay, count);
	while (ready_next(relay->ready))
		;
	read_polled(relay, count > 0);
	relay->now = clock_now();
	flush_due(relay, relay->now);
}

static void loop_iteration(struct relay *relay)
{
	handle_ready(relay, wait_for_sources(relay));
}

/* Judges, records and relays what had arrived when the run was stopped. A flood must not keep it going. */
static void drain(struct relay *relay)
{
	for (int round = 0; round < DRAIN_ROUNDS; round++) {
		int count = ready_wait(relay->ready, READY_POLL);

		if (!count && !relay->polled)
			return;
		handle_ready(relay, count);
	}
}

void relay_run(struct relay *relay)
{
	while (!relay->stopping) {
		/* Each pause is followed by a round, even if another pause is already requested. */
		if (atomic_load_explicit(&relay->paused, memory_order_relaxed))
			relay->on_pause(relay->on_pause_user);
		if (!relay->stopping)
			loop_iteration(relay);
	}
	drain(relay);
}
