/* SPDX-License-Identifier: BSD-2-Clause */
/* carrier: a session's socket towards its cloud, and the wait for the cloud's address. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/relay/inside.h"
#include "proxy/run/log.h"
#include "proxy/run/clock.h"

#define RETRY NS_S

static struct relay *relay_of(const struct transport *transport)
{
	return transport->first_port.out.relay;
}

/* Old ports stand in the order in which they close. */
static void aging_leave(struct relay *relay, struct port_expiry *port_expiry)
{
	*(port_expiry->before ? &port_expiry->before->next : &relay->expiry_first) = port_expiry->next;
	*(port_expiry->next ? &port_expiry->next->before : &relay->expiry_last) = port_expiry->before;
}

static void aging_begin(struct relay *relay, struct port_expiry *port_expiry)
{
	port_expiry->until = clock_now() + PORTS_OLD;
	port_expiry->before = relay->expiry_last;
	port_expiry->next = NULL;
	*(relay->expiry_last ? &relay->expiry_last->next : &relay->expiry_first) = port_expiry;
	relay->expiry_last = port_expiry;
}

static void aging_free(struct relay *relay, struct port_expiry *port_expiry)
{
	if (!port_expiry)
		return;
	aging_leave(relay, port_expiry);
	free(port_expiry);
}

static void port_close(struct relay *relay, struct port *port, enum reason reason)
{
	aging_free(relay, port->port_expiry);
	if (port->out.fd >= 0)
		relay->closed_drops += socket_kernel_drops(port->out.fd);
	if (relay->reading == port)
		relay->reading = NULL;
	outlet_drop(&port->out, reason);
	outlet_close(&port->out);
	if (port != &port->transport->first_port)
		free(port);
}

/* Closes those behind `port`, the present one or an older. */
static void ports_close_older(struct relay *relay, struct port *port)
{
	while (port->older) {
		struct port *old = port->older;

		port->older = old->older;
		port->transport->session->old_ports--;
		port_close(relay, old, REASON_ERROR);
	}
}

/* An old one goes, and those of its session that are older still. */
static void port_give_up(struct port *port)
{
	struct port *at = port->transport->port;

	while (at->older != port)
		at = at->older;
	ports_close_older(port->out.relay, at);
}

void transports_expire_ports(struct relay *relay, ns_t now)
{
	while (relay->expiry_first && relay->expiry_first->until <= now)
		port_give_up(relay->expiry_first->port);
}

void transport_port_read(struct port *port)
{
	struct relay *relay = port->out.relay;

	if (!port->port_expiry)
		return;
	aging_leave(relay, port->port_expiry);
	aging_begin(relay, port->port_expiry);
}

/* Without memory for its age it stays until newer ones push it out. */
static void port_age(struct relay *relay, struct port *port)
{
	struct port_expiry *port_expiry = calloc(1, sizeof(*port_expiry));

	if (!port_expiry)
		return;
	port_expiry->port = port;
	port->port_expiry = port_expiry;
	aging_begin(relay, port_expiry);
}

static const struct address *source_of(const struct transport *transport)
{
	static const struct address any;
	const struct addresses *source = &relay_of(transport)->setup->proxy.source;
	unsigned wanted = transport->source + transport->session->nat.addresses;

	for (size_t tries = 0; tries < source->count; tries++) {
		const struct address *one = &source->all[(wanted + tries) % source->count];

		if (one->family == transport->cloud.family)
			return one;
	}
	return &any;
}

static bool was_used(const struct transport *transport, uint16_t number)
{
	for (unsigned i = 0; transport->used && i < transport->used->count && i < PORTS_USED_MAX; i++)
		if (transport->used->all[i] == number)
			return true;
	return false;
}

/* Files or ports have run out, or memory for sockets (udp(7), bind(2)). */
static bool is_scarce(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS || error == EAGAIN ||
	       error == EADDRINUSE;
}

/* Then an old port makes room: whatever session has it. */
static int connect_somehow(struct transport *transport, struct address *local, struct error *error)
{
	struct relay *relay = relay_of(transport);

	for (;;) {
		int fd = socket_connect(
		    &transport->cloud, source_of(transport), &relay->socket_options, local, error);

		if (fd >= 0 || !is_scarce(errno) || !relay->expiry_first)
			return fd;
		port_give_up(relay->expiry_first->port);
	}
}

/* A socket with a source port that the session has not had before. Those that it has had are held meanwhile.
 */
static int fresh_socket(struct transport *transport, struct address *local, struct error *error)
{
	int refused[8], count = 0, fd = -1;

	do {
		if (fd >= 0)
			refused[count++] = fd;
		fd = connect_somehow(transport, local, error);
	} while (fd >= 0 && count < 8 && was_used(transport, local->port));
	while (count)
		close(refused[--count]);
	if (fd >= 0 && transport->used)
		transport->used->all[transport->used->count++ % PORTS_USED_MAX] = local->port;
	return fd;
}

/* The cloud's address is known: a socket towards it. */
static void connect_to(struct transport *transport, ns_t now)
{
	struct relay *relay = relay_of(transport);
	struct port *port = transport->port;
	struct error error;

	port->out.fd = fresh_socket(transport, &port->out.local, &error);
	if (port->out.fd >= 0 && ready_add(relay->ready, port->out.fd, &port->out.source, READY_READ)) {
		error_set(&error, "its socket cannot be waited for: %s", strerror(errno));
		close(port->out.fd);
		port->out.fd = -1;
	}
	if (port->out.fd < 0) {
		transport->retry_at = now + RETRY;
		if (!relay->warned_socket)
			log_error(
			    "session %u has no way to its cloud: %s", transport->session->number, error.text);
		relay->warned_socket = true;
		outlet_drop(&port->out, REASON_ERROR);
		return;
	}
	transport->session->port = port->out.local.port;
	if (relay->recorder && upstream_host(transport->upstream))
		capture_host(relay->recorder, &transport->cloud, upstream_host(transport->upstream),
		    relay_wall(relay, now));
	/* What waited for the address was not late by the link's doing. */
	for (struct datagram *d = port->out.waiting.first; d; d = d->next) {
		d->due = now;
		d->flags |= DATAGRAM_LATE;
	}
	outlet_send(&port->out);
}

static void port_init(struct port *port, struct relay *relay, struct transport *transport, uint32_t mapping)
{
	*port = (struct port){.out = {.source.call = loop_on_port, .relay = relay, .fd = -1},
	    .transport = transport,
	    .mapping = mapping,
	    .max = 1};
}

/* From its second mapping on a session remembers which numbers it had; the first one's is still in use. */
static void remember_ports(struct transport *transport)
{
	if (transport->used)
		return;
	transport->used = calloc(1, sizeof(*transport->used));
	if (transport->used) /* else a number may come again */
		transport->used->all[transport->used->count++] = transport->port->out.local.port;
}

/* The NAT has made another mapping: another source port; false when memory is out. The old one stays open,
 * silently, for a while. */
static bool port_change(struct transport *transport, uint32_t mapping, ns_t now)
{
	struct relay *relay = relay_of(transport);
	struct port *old = transport->port, *at, *fresh;
	int count = 0;

	outbox_flush(relay); /* what was gathered leaves by the port that it was meant for */
	fresh = malloc(sizeof(*fresh));
	if (!fresh)
		return false;
	remember_ports(transport);
	transport->port = fresh;
	port_init(transport->port, relay, transport, mapping);
	transport->port->older = old;
	transport->session->old_ports++;
	port_age(relay, old);
	for (at = old; at->older && ++count < PORTS_OLD_MAX; at = at->older)
		;
	ports_close_older(relay, at);
	connect_to(transport, now);
	if (transport->port->out.fd >= 0)
		core_event(relay->core, transport->session, now, "nat-rebound port=%u",
		    transport->port->out.local.port);
	return true;
}

static void wait_for_lookup(struct transport *transport)
{
	struct relay *relay = relay_of(transport);

	if (transport->session->unresolved)
		return;
	transport->session->unresolved = true;
	transport->waiting_next = relay->waiting;
	relay->waiting = transport;
}

static void ask(struct transport *transport, enum upstream_state state, ns_t now)
{
	switch (state) {
	case UPSTREAM_KNOWN: connect_to(transport, now); break;
	case UPSTREAM_WAITING: wait_for_lookup(transport); break;
	case UPSTREAM_FAILED:
		transport->retry_at = now + RETRY;
		outlet_drop(&transport->port->out, REASON_ERROR);
		break;
	}
}

void transport_open(struct relay *relay, struct session *session)
{
	struct transport *transport = (struct transport *)session->room;
	const char *own = session->section ? session->section->upstream : NULL;
	ns_t now = clock_now();

	transport->session = session;
	transport->port = &transport->first_port;
	port_init(transport->port, relay, transport, 1);
	transport->source = relay->next_source++;
	transport->device_side = relay->listeners[session->listener].bound;
	transport->upstream = own ? upstreams_get(relay->upstreams, own) : relay->upstream;
	session->transport = transport;
	if (relay->recorder && session->section)
		capture_host(
		    relay->recorder, &session->device, session->section->name, relay_wall(relay, now));
	ask(transport,
	    upstream_ask(transport->upstream, (enum family)session->device.family, now, &transport->cloud),
	    now);
}

bool transport_ready(struct transport *transport, uint32_t mapping, ns_t now)
{
	struct port *port = transport->port;

	if (port->out.fd >= 0 && mapping > port->mapping && !port_change(transport, mapping, now))
		return false;
	port = transport->port;
	if (port->out.fd >= 0 || transport->session->unresolved)
		return true;
	if (now < transport->retry_at)
		return false;
	ask(transport,
	    upstream_ask(
	        transport->upstream, (enum family)transport->session->device.family, now, &transport->cloud),
	    now);
	port->mapping = mapping;
	return port->out.fd >= 0 || transport->session->unresolved;
}

/* A lookup is over: those that waited for it go on, or lose what they held. */
void transport_on_resolved(void *user, struct upstream *upstream)
{
	struct relay *relay = user;
	struct transport *transport = relay->waiting, *still = NULL;
	ns_t now = clock_now();

	relay->waiting = NULL;
	while (transport) {
		struct transport *next = transport->waiting_next;

		if (transport->upstream == upstream) {
			transport->session->unresolved = false;
			ask(transport,
			    upstream_look(
			        upstream, (enum family)transport->session->device.family, &transport->cloud),
			    now);
		} else {
			transport->waiting_next = still;
			still = transport;
		}
		transport = next;
	}
	while (still) {
		struct transport *next = still->waiting_next;

		still->waiting_next = relay->waiting;
		relay->waiting = still;
		still = next;
	}
}

void transport_close(struct relay *relay, struct transport *transport)
{
	struct transport **link = &relay->waiting;

	while (transport->session->unresolved && *link != transport)
		link = &(*link)->waiting_next;
	if (transport->session->unresolved)
		*link = transport->waiting_next;
	ports_close_older(relay, transport->port);
	port_close(relay, transport->port, transport->session->end ? REASON_MAX_SESSIONS : REASON_ERROR);
	transport->session->transport = NULL;
	free(transport->used);
}
