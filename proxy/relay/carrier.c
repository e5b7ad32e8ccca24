/* carrier: a session's socket towards its cloud, and the wait for the cloud's address. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/relay/inside.h"
#include "proxy/run/log.h"
#include "proxy/run/clock.h"

#define RETRY NS_S

static struct relay *relay_of(const struct carrier *carrier)
{
	return carrier->first_port.out.relay;
}

/* Old ports stand in the order in which they close. */
static void aging_leave(struct relay *relay, struct aging *aging)
{
	*(aging->before ? &aging->before->next : &relay->aging_first) = aging->next;
	*(aging->next ? &aging->next->before : &relay->aging_last) = aging->before;
}

static void aging_begin(struct relay *relay, struct aging *aging)
{
	aging->until = clock_now() + PORTS_OLD;
	aging->before = relay->aging_last;
	aging->next = NULL;
	*(relay->aging_last ? &relay->aging_last->next : &relay->aging_first) = aging;
	relay->aging_last = aging;
}

static void aging_free(struct relay *relay, struct aging *aging)
{
	if (!aging)
		return;
	aging_leave(relay, aging);
	free(aging);
}

static void port_close(struct relay *relay, struct port *port, enum reason reason)
{
	aging_free(relay, port->aging);
	if (port->out.fd >= 0)
		relay->closed_drops += socket_kernel_drops(port->out.fd);
	if (relay->reading == port)
		relay->reading = NULL;
	outlet_drop(&port->out, reason);
	outlet_close(&port->out);
	if (port != &port->carrier->first_port)
		free(port);
}

/* Closes those behind `port`, the present one or an older. */
static void ports_close_older(struct relay *relay, struct port *port)
{
	while (port->older) {
		struct port *old = port->older;

		port->older = old->older;
		port->carrier->session->old_ports--;
		port_close(relay, old, REASON_ERROR);
	}
}

/* An old one goes, and those of its session that are older still. */
static void port_give_up(struct port *port)
{
	struct port *at = port->carrier->port;

	while (at->older != port)
		at = at->older;
	ports_close_older(port->out.relay, at);
}

void carriers_age(struct relay *relay, ns_t now)
{
	while (relay->aging_first && relay->aging_first->until <= now)
		port_give_up(relay->aging_first->port);
}

void carrier_port_read(struct port *port)
{
	struct relay *relay = port->out.relay;

	if (!port->aging)
		return;
	aging_leave(relay, port->aging);
	aging_begin(relay, port->aging);
}

/* Without memory for its age it stays until newer ones push it out. */
static void port_age(struct relay *relay, struct port *port)
{
	struct aging *aging = calloc(1, sizeof(*aging));

	if (!aging)
		return;
	aging->port = port;
	port->aging = aging;
	aging_begin(relay, aging);
}

static const struct address *source_of(const struct carrier *carrier)
{
	static const struct address any;
	const struct addresses *source = &relay_of(carrier)->setup->proxy.source;
	unsigned wanted = carrier->source + carrier->session->nat.addresses;

	for (size_t tries = 0; tries < source->count; tries++) {
		const struct address *one = &source->all[(wanted + tries) % source->count];

		if (one->family == carrier->cloud.family)
			return one;
	}
	return &any;
}

static bool was_used(const struct carrier *carrier, uint16_t number)
{
	for (unsigned i = 0; carrier->used && i < carrier->used->count && i < PORTS_USED_MAX; i++)
		if (carrier->used->all[i] == number)
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
static int connect_somehow(struct carrier *carrier, struct address *local, struct error *error)
{
	struct relay *relay = relay_of(carrier);

	for (;;) {
		int fd = socket_connect(
		    &carrier->cloud, source_of(carrier), &relay->socket_options, local, error);

		if (fd >= 0 || !is_scarce(errno) || !relay->aging_first)
			return fd;
		port_give_up(relay->aging_first->port);
	}
}

/* A socket with a source port that the session has not had before. Those that it has had are held meanwhile.
 */
static int fresh_socket(struct carrier *carrier, struct address *local, struct error *error)
{
	int refused[8], count = 0, fd = -1;

	do {
		if (fd >= 0)
			refused[count++] = fd;
		fd = connect_somehow(carrier, local, error);
	} while (fd >= 0 && count < 8 && was_used(carrier, local->port));
	while (count)
		close(refused[--count]);
	if (fd >= 0 && carrier->used)
		carrier->used->all[carrier->used->count++ % PORTS_USED_MAX] = local->port;
	return fd;
}

/* The cloud's address is known: a socket towards it. */
static void connect_to(struct carrier *carrier, ns_t now)
{
	struct relay *relay = relay_of(carrier);
	struct port *port = carrier->port;
	struct error error;

	port->out.fd = fresh_socket(carrier, &port->out.local, &error);
	if (port->out.fd >= 0 && ready_add(relay->ready, port->out.fd, &port->out.source, READY_READ)) {
		error_set(&error, "its socket cannot be waited for: %s", strerror(errno));
		close(port->out.fd);
		port->out.fd = -1;
	}
	if (port->out.fd < 0) {
		carrier->retry_at = now + RETRY;
		if (!relay->told_socket)
			log_error(
			    "session %u has no way to its cloud: %s", carrier->session->number, error.text);
		relay->told_socket = true;
		outlet_drop(&port->out, REASON_ERROR);
		return;
	}
	carrier->session->port = port->out.local.port;
	if (relay->recorder && upstream_host(carrier->upstream))
		capture_host(relay->recorder, &carrier->cloud, upstream_host(carrier->upstream),
		    relay_wall(relay, now));
	/* What waited for the address was not late by the link's doing. */
	for (struct datagram *d = port->out.waiting.first; d; d = d->next) {
		d->due = now;
		d->flags |= DATAGRAM_LATE;
	}
	outlet_send(&port->out);
}

static void port_init(struct port *port, struct relay *relay, struct carrier *carrier, uint32_t mapping)
{
	*port = (struct port){.out = {.source.call = walk_port, .relay = relay, .fd = -1},
	    .carrier = carrier,
	    .mapping = mapping,
	    .most = 1};
}

/* From its second mapping on a session remembers which numbers it had; the first one's is still in use. */
static void remember_ports(struct carrier *carrier)
{
	if (carrier->used)
		return;
	carrier->used = calloc(1, sizeof(*carrier->used));
	if (carrier->used) /* else a number may come again */
		carrier->used->all[carrier->used->count++] = carrier->port->out.local.port;
}

/* The NAT has made another mapping: another source port; false when memory is out. The old one stays open,
 * silently, for a while. */
static bool port_change(struct carrier *carrier, uint32_t mapping, ns_t now)
{
	struct relay *relay = relay_of(carrier);
	struct port *old = carrier->port, *at, *fresh;
	int count = 0;

	outbox_flush(relay); /* what was gathered leaves by the port that it was meant for */
	fresh = malloc(sizeof(*fresh));
	if (!fresh)
		return false;
	remember_ports(carrier);
	carrier->port = fresh;
	port_init(carrier->port, relay, carrier, mapping);
	carrier->port->older = old;
	carrier->session->old_ports++;
	port_age(relay, old);
	for (at = old; at->older && ++count < PORTS_OLD_MAX; at = at->older)
		;
	ports_close_older(relay, at);
	connect_to(carrier, now);
	if (carrier->port->out.fd >= 0)
		core_event(
		    relay->core, carrier->session, now, "nat-rebound port=%u", carrier->port->out.local.port);
	return true;
}

static void wait_for_lookup(struct carrier *carrier)
{
	struct relay *relay = relay_of(carrier);

	if (carrier->session->unresolved)
		return;
	carrier->session->unresolved = true;
	carrier->waiting_next = relay->waiting;
	relay->waiting = carrier;
}

static void ask(struct carrier *carrier, enum upstream_state state, ns_t now)
{
	switch (state) {
	case UPSTREAM_KNOWN: connect_to(carrier, now); break;
	case UPSTREAM_WAITING: wait_for_lookup(carrier); break;
	case UPSTREAM_FAILED:
		carrier->retry_at = now + RETRY;
		outlet_drop(&carrier->port->out, REASON_ERROR);
		break;
	}
}

void carrier_open(struct relay *relay, struct session *session)
{
	struct carrier *carrier = (struct carrier *)session->room;
	const char *own = session->section ? session->section->upstream : NULL;
	ns_t now = clock_now();

	carrier->session = session;
	carrier->port = &carrier->first_port;
	port_init(carrier->port, relay, carrier, 1);
	carrier->source = relay->next_source++;
	carrier->device_side = relay->listeners[session->listener].bound;
	carrier->upstream = own ? upstreams_get(relay->upstreams, own) : relay->upstream;
	session->carrier = carrier;
	if (relay->recorder && session->section)
		capture_host(
		    relay->recorder, &session->device, session->section->name, relay_wall(relay, now));
	ask(carrier,
	    upstream_ask(carrier->upstream, (enum family)session->device.family, now, &carrier->cloud), now);
}

bool carrier_ready(struct carrier *carrier, uint32_t mapping, ns_t now)
{
	struct port *port = carrier->port;

	if (port->out.fd >= 0 && mapping > port->mapping && !port_change(carrier, mapping, now))
		return false;
	port = carrier->port;
	if (port->out.fd >= 0 || carrier->session->unresolved)
		return true;
	if (now < carrier->retry_at)
		return false;
	ask(carrier,
	    upstream_ask(
	        carrier->upstream, (enum family)carrier->session->device.family, now, &carrier->cloud),
	    now);
	port->mapping = mapping;
	return port->out.fd >= 0 || carrier->session->unresolved;
}

/* A lookup is over: those that waited for it go on, or lose what they held. */
void carrier_news(void *user, struct upstream *upstream)
{
	struct relay *relay = user;
	struct carrier *carrier = relay->waiting, *still = NULL;
	ns_t now = clock_now();

	relay->waiting = NULL;
	while (carrier) {
		struct carrier *next = carrier->waiting_next;

		if (carrier->upstream == upstream) {
			carrier->session->unresolved = false;
			ask(carrier,
			    upstream_look(
			        upstream, (enum family)carrier->session->device.family, &carrier->cloud),
			    now);
		} else {
			carrier->waiting_next = still;
			still = carrier;
		}
		carrier = next;
	}
	while (still) {
		struct carrier *next = still->waiting_next;

		still->waiting_next = relay->waiting;
		relay->waiting = still;
		still = next;
	}
}

void carrier_close(struct relay *relay, struct carrier *carrier)
{
	struct carrier **link = &relay->waiting;

	while (carrier->session->unresolved && *link != carrier)
		link = &(*link)->waiting_next;
	if (carrier->session->unresolved)
		*link = carrier->waiting_next;
	ports_close_older(relay, carrier->port);
	port_close(relay, carrier->port, carrier->session->end ? REASON_MAX_SESSIONS : REASON_ERROR);
	carrier->session->carrier = NULL;
	free(carrier->used);
}
