/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker_loop: reads every datagram, and sends what is due; and the one timer.
 *
 *   relay_run            one loop_iteration after the other
 *     wait_for_sources   until something is ready, with the timer armed for the earliest due time
 *     read_batch         hands each datagram to arrivals_handle
 *     flush_due          gathers datagrams that are due now, sends all gathered ones
 */
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cache.h"
#include "proxy/relay/inside.h"
#include "proxy/run/log.h"
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
#define DRAIN_ROUNDS 64 /* after the stop; each reads a batch of every socket that is ready */

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
	departures_advance(relay, now);
	outlets_flush(relay);
	transports_expire_ports(relay, now);
}

void relay_flush_due(struct relay *relay)
{
	flush_due(relay, clock_now());
	arm_timer(relay);
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
		arrivals_handle(relay, listener, port, batch_get(relay->batch, i));
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

static void start_polling(struct listener *listener)
{
	listener->empty_rounds = 0;
	outlet_start_polling(&listener->out);
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
			outlet_stop_polling(&listener->out);
	}
}

void loop_on_listener(struct source *source, bool readable, bool writable)
{
	struct listener *listener = (struct listener *)source;
	struct relay *relay = listener->out.relay;

	if (writable)
		outlet_resume(&listener->out);
	if (readable && should_poll(relay, listener, read_listener(relay, listener)))
		start_polling(listener);
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
