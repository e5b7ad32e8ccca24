/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transport: a session's sockets towards its cloud, and waiting for the cloud's address.
 *
 * A session starts with one port. The socket is opened at once if the cloud's address is known; otherwise
 * datagrams wait in the port's queue until the lookup is over. Each new NAT mapping opens another port. The
 * old ones stay open until they expire, are too many, or descriptors or port numbers run out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "proxy/relay/inside.h"
#include "proxy/run/log.h"
#include "proxy/run/clock.h"

#define RETRY NS_S /* after a failure, before the next attempt */

static struct relay *relay_of(const struct transport *transport)
{
	return transport->first_port.out.relay;
}

/* The list of old ports is sorted by `until`. */
static void expiry_unlink(struct relay *relay, struct port_expiry *port_expiry)
{
	list_remove(relay->expiry_first, relay->expiry_last, port_expiry, before, next);
}

static void expiry_append(struct relay *relay, struct port_expiry *port_expiry)
{
	port_expiry->until = clock_now() + PORTS_OLD;
	list_append(relay->expiry_first, relay->expiry_last, port_expiry, before, next);
}

static void expiry_free(struct relay *relay, struct port_expiry *port_expiry)
{
	if (!port_expiry)
		return;
	expiry_unlink(relay, port_expiry);
	free(port_expiry);
}

static void port_close(struct relay *relay, struct port *port, enum reason reason)
{
	expiry_free(relay, port->port_expiry);
	if (port->out.fd >= 0)
		relay->closed_drops += socket_kernel_drops(port->out.fd);
	if (relay->reading == port)
		relay->reading = NULL;
	outlet_drop(&port->out, reason);
	outlet_close(&port->out);
	if (port != &port->transport->first_port)
		free(port);
}

/* Closes all ports of the session that are older than `port`. */
static void ports_close_older(struct relay *relay, struct port *port)
{
	while (port->older) {
		struct port *old = port->older;

		port->older = old->older;
		transport_session(port->transport)->old_ports--;
		port_close(relay, old, REASON_ERROR);
	}
}

/* Closes an old port, and those of its session that are older still. */
static void port_expire(struct port *port)
{
	struct port *newer = port->transport->port;

	while (newer->older != port)
		newer = newer->older;
	ports_close_older(port->out.relay, newer);
}

void transports_expire_ports(struct relay *relay, ns_t now)
{
	while (relay->expiry_first && relay->expiry_first->until <= now)
		port_expire(relay->expiry_first->port);
}

void transport_port_read(struct port *port)
{
	struct relay *relay = port->out.relay;

	if (!port->port_expiry)
		return;
	expiry_unlink(relay, port->port_expiry);
	expiry_append(relay, port->port_expiry);
}

/* If out of memory, the port has no expiry, and stays until there are too many newer ones. */
static void port_start_expiry(struct relay *relay, struct port *port)
{
	struct port_expiry *port_expiry = calloc(1, sizeof(*port_expiry));

	if (!port_expiry)
		return;
	port_expiry->port = port;
	port->port_expiry = port_expiry;
	expiry_append(relay, port_expiry);
}

static const struct address *source_of(const struct transport *transport)
{
	static const struct address any;
	const struct addresses *source = &relay_of(transport)->setup->proxy.source;
	/* In turn: sessions are numbered as they begin. */
	unsigned wanted = transport_session(transport)->number - 1 +
	                  transport_session(transport)->nat.addresses;

	for (size_t tries = 0; tries < source->count; tries++) {
		const struct address *candidate = &source->all[(wanted + tries) % source->count];

		if (candidate->family == transport_session(transport)->cloud.family)
			return candidate;
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

/* True if descriptors, ports or memory for sockets have run out (udp(7), bind(2)). */
static bool is_scarce(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS || error == EAGAIN ||
	       error == EADDRINUSE;
}

/* With [gateway] source = device, the socket has the device's own address and port, unless the cloud is on
 * this machine: a socket towards one of its own addresses gets that address as its source. */
static int connect_once(
    struct transport *transport, const struct address *cloud, struct address *local, struct error *error)
{
	struct relay *relay = relay_of(transport);
	int fd = socket_connect(cloud, source_of(transport), &relay->socket_options, local, error);

	if (!relay->is_by_device || fd < 0 || address_same_host(local, cloud))
		return fd;
	close(fd);
	return socket_connect_as(
	    cloud, &transport_session(transport)->device, &relay->socket_options, local, error);
}

/* Opens a connected socket. If resources have run out, closes old ports of any session until it works. */
static int connect_reclaiming(struct transport *transport, struct address *local, struct error *error)
{
	struct relay *relay = relay_of(transport);

	for (;;) {
		int fd = connect_once(transport, &transport_session(transport)->cloud, local, error);

		if (fd >= 0 || !is_scarce(errno) || !relay->expiry_first)
			return fd;
		port_expire(relay->expiry_first->port);
	}
}

/* Opens a socket with a source port that the session has not had before. Sockets with other ports are held
 * open meanwhile, so that the kernel does not choose those again. After some attempts, any port will do. */
static int connect_fresh(struct transport *transport, struct address *local, struct error *error)
{
	int refused[8], count = 0, fd = -1;

	do {
		if (fd >= 0)
			refused[count++] = fd;
		fd = connect_reclaiming(transport, local, error);
	} while (fd >= 0 && count < 8 && was_used(transport, local->port));
	while (count)
		close(refused[--count]);
	if (fd >= 0 && transport->used)
		transport->used->all[transport->used->count++ % PORTS_USED_MAX] = local->port;
	return fd;
}

/* Opens the socket of the current port, once the cloud's address is known, and sends what is queued. */
static void port_connect(struct transport *transport, ns_t now)
{
	struct relay *relay = relay_of(transport);
	struct port *port = transport->port;
	struct error error;

	port->out.fd = connect_fresh(transport, &port->out.local, &error);
	if (port->out.fd >= 0 && ready_add(relay->ready, port->out.fd, &port->out.source, READY_READ)) {
		error_set(&error, "cannot wait for its socket: %s", strerror(errno));
		close(port->out.fd);
		port->out.fd = -1;
	}
	if (port->out.fd < 0) {
		transport->retry_at = now + RETRY;
		if (!relay->warned_socket)
			log_error("session %u cannot reach its cloud: %s",
			    transport_session(transport)->number, error.text);
		relay->warned_socket = true;
		outlet_drop(&port->out, REASON_ERROR);
		return;
	}
	transport_session(transport)->port = port->out.local.port;
	if (!relay->checked_upstream_buffer) /* it may be less than a listener's: privileges are given up */
		outlet_check_buffer(&port->out, "an upstream socket");
	relay->checked_upstream_buffer = true;
	if (relay->recorder && transport->upstream && upstream_host(transport->upstream))
		capture_host(relay->recorder, &transport_session(transport)->cloud,
		    upstream_host(transport->upstream), relay_wall(relay, now));
	/* The wait for the address is not part of the link's delay. */
	for (struct datagram *d = port->out.waiting.first; d; d = d->next) {
		d->due = now;
		d->flags |= DATAGRAM_LATE;
	}
	outlet_send(&port->out);
}

static void port_init(struct port *port, struct relay *relay, struct transport *transport, uint32_t mapping)
{
	*port = (struct port){.out = {.source.call = relay->on_port, .relay = relay, .fd = -1},
	    .transport = transport,
	    .mapping = mapping,
	    .max = 1};
}

/* Called for the second mapping, from which on a session remembers its port numbers; the first port is still
 * open. */
static void used_ports_begin(struct transport *transport)
{
	if (transport->used)
		return;
	transport->used = calloc(1, sizeof(*transport->used));
	if (transport->used) /* otherwise a number may be reused */
		transport->used->all[transport->used->count++] = transport->port->out.local.port;
}

/* Opens another source port for a new NAT mapping; the old one stays open for a while. Returns false if out
 * of memory. */
static bool port_change(struct transport *transport, uint32_t mapping, ns_t now)
{
	struct relay *relay = relay_of(transport);
	struct port *old = transport->port, *last_kept, *fresh;
	int count = 0;

	outlets_flush(relay); /* gathered datagrams belong to the old port */
	fresh = malloc(sizeof(*fresh));
	if (!fresh)
		return false;
	used_ports_begin(transport);
	transport->port = fresh;
	port_init(transport->port, relay, transport, mapping);
	transport->port->older = old;
	transport_session(transport)->old_ports++;
	port_start_expiry(relay, old);
	for (last_kept = old; last_kept->older && ++count < PORTS_OLD_MAX; last_kept = last_kept->older)
		;
	ports_close_older(relay, last_kept);
	port_connect(transport, now);
	if (transport->port->out.fd >= 0)
		core_event(relay->core, transport_session(transport), now, "nat-rebound port=%u",
		    transport->port->out.local.port);
	return true;
}

static void wait_for_lookup(struct transport *transport)
{
	struct relay *relay = relay_of(transport);

	if (transport_session(transport)->unresolved)
		return;
	transport_session(transport)->unresolved = true;
	transport->waiting_next = relay->waiting;
	relay->waiting = transport;
}

/* Ends the wait for a lookup, if there is one. */
static void waiting_remove(struct relay *relay, struct transport *transport)
{
	struct transport **link = &relay->waiting;

	if (!transport_session(transport)->unresolved)
		return;
	while (*link != transport)
		link = &(*link)->waiting_next;
	*link = transport->waiting_next;
	transport_session(transport)->unresolved = false;
	transport->retry_at = 0;
}

static void handle_state(struct transport *transport, enum upstream_state state, ns_t now)
{
	switch (state) {
	case UPSTREAM_KNOWN: port_connect(transport, now); break;
	case UPSTREAM_WAITING: wait_for_lookup(transport); break;
	case UPSTREAM_FAILED:
		transport->retry_at = now + RETRY;
		outlet_drop(&transport->port->out, REASON_ERROR);
		break;
	}
}

/* Returns the server of a session, which the relay knows already (relay_add_upstream): the one that an action
 * has moved it to, or its own; NULL: its original destination. */
static struct upstream *server_of(struct relay *relay, const struct session *session)
{
	if (session->upstream)
		return upstreams_get(relay->upstreams, names_get(relay->names, session->upstream));
	if (session->section && session->section->upstream)
		return upstreams_get(relay->upstreams, session->section->upstream);
	return relay->upstream;
}

static enum upstream_state resolve(struct transport *transport, ns_t now)
{
	enum family family = (enum family)transport_session(transport)->device.family;

	if (transport->upstream)
		return upstream_resolve(
		    transport->upstream, family, now, &transport_session(transport)->cloud);
	transport_session(transport)->cloud = transport->device_side;
	return UPSTREAM_KNOWN;
}

void transport_open(struct relay *relay, struct session *session)
{
	struct transport *transport = (struct transport *)session->room;
	ns_t now = clock_now();

	transport->port = &transport->first_port;
	port_init(transport->port, relay, transport, 1);
	transport->device_side = relay->is_original ? relay->entrances[session->entrance].destination
	                                            : relay->listeners[session->entrance].bound;
	transport->upstream = server_of(relay, session);
	session->transport = transport;
	if (relay->recorder && session->section)
		capture_host(
		    relay->recorder, &session->device, session->section->name, relay_wall(relay, now));
	handle_state(transport, resolve(transport, now), now);
}

bool transport_ready(struct transport *transport, uint32_t mapping, ns_t now)
{
	struct port *port = transport->port;

	if (port->out.fd >= 0 && mapping > port->mapping && !port_change(transport, mapping, now))
		return false;
	port = transport->port;
	if (port->out.fd >= 0 || transport_session(transport)->unresolved)
		return true;
	if (now < transport->retry_at)
		return false;
	handle_state(transport, resolve(transport, now), now);
	port->mapping = mapping;
	return port->out.fd >= 0 || transport_session(transport)->unresolved;
}

/* ---- Moving to another server ---- */

/* Makes `port` the current one; the one before becomes an old one, what still comes to it is filtered. */
static void port_replace(struct transport *transport, struct port *port)
{
	struct relay *relay = relay_of(transport);
	struct port *old = transport->port, *last_kept;
	int count = 0;

	old->is_left = true;
	port->is_left = false;
	port->older = old;
	transport->port = port;
	transport_session(transport)->old_ports++;
	port_start_expiry(relay, old);
	for (last_kept = old; last_kept->older && ++count < PORTS_OLD_MAX; last_kept = last_kept->older)
		;
	ports_close_older(relay, last_kept);
}

/* Takes an old port of the current mapping that is connected to `cloud` out of the old ones; NULL: there is
 * none. */
static struct port *port_take_back(struct transport *transport, const struct address *cloud)
{
	for (struct port *newer = transport->port; newer->older; newer = newer->older) {
		struct port *port = newer->older;
		struct address peer = {0};

		if (port->mapping != transport->port->mapping || port->out.fd < 0)
			continue;
		socket_peer(port->out.fd, &peer);
		if (!address_equal(&peer, cloud))
			continue;
		newer->older = port->older;
		transport_session(transport)->old_ports--;
		expiry_free(relay_of(transport), port->port_expiry);
		port->port_expiry = NULL;
		return port;
	}
	return NULL;
}

/* Opens a port with the current one's number, connected to `cloud`. Returns NULL and sets *error on failure.
 */
static struct port *port_open_beside(
    struct transport *transport, const struct address *cloud, struct error *error)
{
	struct relay *relay = relay_of(transport);
	struct port *port = malloc(sizeof(*port));

	if (!port) {
		error_set(error, "out of memory");
		return NULL;
	}
	port_init(port, relay, transport, transport->port->mapping);
	/* Sockets with a device's own address may share its port anyway. */
	port->out.fd = relay->is_by_device ? connect_once(transport, cloud, &port->out.local, error)
	                                   : socket_connect_beside(transport->port->out.fd, cloud,
	                                         &relay->socket_options, &port->out.local, error);
	if (port->out.fd >= 0 && ready_add(relay->ready, port->out.fd, &port->out.source, READY_READ) == 0)
		return port;
	if (port->out.fd >= 0) {
		error_set(error, "cannot wait for its socket: %s", strerror(errno));
		close(port->out.fd);
	}
	free(port);
	return NULL;
}

static void move_failed(struct transport *transport, ns_t now, const char *why)
{
	core_event(relay_of(transport)->core, transport_session(transport), now, "upstream-failed %s", why);
}

static void move_to(
    struct transport *transport, struct upstream *upstream, const struct address *cloud, ns_t now)
{
	struct relay *relay = relay_of(transport);
	struct session *session = transport_session(transport);
	struct port *port;
	struct error error;

	transport->upstream = upstream;
	if (address_equal(cloud, &session->cloud))
		return;
	outlets_flush(relay); /* gathered datagrams go to the server that they were meant for */
	port = port_take_back(transport, cloud);
	if (!port)
		port = port_open_beside(transport, cloud, &error);
	if (!port) {
		move_failed(transport, now, error.text);
		return;
	}
	port_replace(transport, port);
	session->cloud = *cloud;
	if (relay->recorder && upstream && upstream_host(upstream))
		capture_host(
		    relay->recorder, &session->cloud, upstream_host(upstream), relay_wall(relay, now));
}

/* Moves now if an address is known. A lookup that is running may give another one, to which it then moves on.
 */
static void try_move(struct transport *transport, ns_t now)
{
	struct relay *relay = relay_of(transport);
	struct session *session = transport_session(transport);
	struct upstream *upstream = server_of(relay, session);
	enum family family = (enum family)transport->port->out.local.family;
	struct address cloud = transport->device_side;

	relay->moving -= session->moving;
	session->moving = upstream && upstream_is_waiting(upstream);
	relay->moving += session->moving;
	if (!upstream || upstream_known(upstream, family, &cloud))
		move_to(transport, upstream, &cloud, now);
	else if (upstream_has_address(upstream))
		move_failed(transport, now,
		    "it has no address of the session's family, so the port could not be kept");
	else if (!session->moving)
		move_failed(transport, now,
		    upstream_is_refused(upstream) ? "it leads back to our own listener"
		                                  : "it has no address");
}

void transport_move(struct relay *relay, struct session *session)
{
	struct transport *transport = session->transport;
	ns_t now = clock_now();

	relay->moving -= session->moving;
	session->moving = false;
	if (!transport || session->end)
		return; /* it will be opened towards that server */
	if (session->unresolved || transport->port->out.fd < 0) {
		/* It has no socket yet: it begins with the other server. */
		waiting_remove(relay, transport);
		transport->upstream = server_of(relay, session);
		handle_state(transport, resolve(transport, now), now);
		return;
	}
	if (server_of(relay, session))
		upstream_resolve(server_of(relay, session), (enum family)session->device.family, now,
		    &(struct address){0});
	try_move(transport, now);
}

/* A lookup has given the server's address, or failed. Without a socket the next datagram up goes there
 * anyway. */
static void move_again(struct relay *relay, struct session *session, ns_t now)
{
	struct transport *transport = session->transport;

	if (transport && transport->port->out.fd >= 0) {
		try_move(transport, now);
		return;
	}
	relay->moving--;
	session->moving = false;
}

/* Sessions that an action has moved to a server whose address was looked up. */
static void move_resolved(struct relay *relay, const struct upstream *upstream, ns_t now)
{
	for (struct session *s = relay->moving ? core_oldest(relay->core) : NULL; s; s = s->newer)
		if (s->moving && server_of(relay, s) == upstream)
			move_again(relay, s, now);
}

/* Called when a lookup is over: the sessions that waited for it send or drop their queued datagrams. */
void transport_on_resolved(void *user, struct upstream *upstream)
{
	struct relay *relay = user;
	struct transport *transport, *others = NULL;
	ns_t now = clock_now();

	move_resolved(relay, upstream, now);
	transport = relay->waiting;
	relay->waiting = NULL;
	while (transport) {
		struct transport *next = transport->waiting_next;

		if (transport->upstream == upstream) {
			transport_session(transport)->unresolved = false;
			handle_state(transport,
			    upstream_peek(upstream, (enum family)transport_session(transport)->device.family,
			        &transport_session(transport)->cloud),
			    now);
		} else {
			transport->waiting_next = others;
			others = transport;
		}
		transport = next;
	}
	while (others) {
		struct transport *next = others->waiting_next;

		others->waiting_next = relay->waiting;
		relay->waiting = others;
		others = next;
	}
}

void transport_close(struct relay *relay, struct transport *transport)
{
	relay->moving -= transport_session(transport)->moving;
	transport_session(transport)->moving = false;
	waiting_remove(relay, transport);
	ports_close_older(relay, transport->port);
	port_close(
	    relay, transport->port, transport_session(transport)->end ? REASON_MAX_SESSIONS : REASON_ERROR);
	transport_session(transport)->transport = NULL;
	free(transport->used);
}
