/* carrier: a session's socket towards its cloud, and the wait for the cloud's address. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/inside.h"
#include "proxy/log.h"

#define RETRY NS_S

static void readable(evutil_socket_t fd, short what, void *user)
{
	struct carrier *carrier = user;

	(void)what;
	relay_read(carrier->relay, fd, NULL, carrier);
}

static const struct address *next_source(struct relay *relay, enum family family)
{
	static const struct address any;
	const struct addresses *source = &relay->setup->proxy.source;

	for (size_t tries = 0; tries < source->count; tries++) {
		const struct address *one = &source->all[relay->next_source++ % source->count];

		if (one->family == family)
			return one;
	}
	return &any;
}

/* The cloud's address is known: a socket towards it. */
static void connect_to(struct carrier *carrier, ns_t now)
{
	struct relay *relay = carrier->relay;
	struct error error;

	carrier->session->unresolved = false;
	carrier->out.fd = socket_connect(&carrier->cloud, next_source(relay, (enum family)carrier->cloud.family),
	    relay->setup->proxy.receive_buffer, &carrier->local, &error);
	if (carrier->out.fd < 0) {
		carrier->retry_at = now + RETRY;
		if (!relay->told_socket)
			log_error("session %u has no way to its cloud: %s", carrier->session->number, error.text);
		relay->told_socket = true;
		outlet_drop(&carrier->out, REASON_ERROR);
		return;
	}
	relay_check_buffer(relay, carrier->out.fd);
	carrier->readable = event_new(relay->base, carrier->out.fd, EV_READ | EV_PERSIST, readable, carrier);
	assert(carrier->readable);
	event_add(carrier->readable, NULL);
	/* What waited for the address was not late by the link's doing. */
	for (struct datagram *d = carrier->out.backlog.first; d; d = d->next) {
		d->due = now;
		d->flags |= DATAGRAM_LATE;
	}
	outlet_resume(&carrier->out);
}

static void wait_for_lookup(struct carrier *carrier)
{
	if (carrier->waiting)
		return;
	carrier->waiting = true;
	carrier->waiting_next = carrier->relay->waiting;
	carrier->relay->waiting = carrier;
}

static void ask(struct carrier *carrier, enum upstream_state state, ns_t now)
{
	switch (state) {
	case UPSTREAM_KNOWN: connect_to(carrier, now); break;
	case UPSTREAM_WAITING:
		carrier->session->unresolved = true;
		wait_for_lookup(carrier);
		break;
	case UPSTREAM_FAILED:
		carrier->session->unresolved = false;
		carrier->retry_at = now + RETRY;
		outlet_drop(&carrier->out, REASON_ERROR);
		break;
	}
}

void carrier_open(struct relay *relay, struct session *session)
{
	struct carrier *carrier = calloc(1, sizeof(*carrier));
	const char *own = session->section ? session->section->upstream : NULL;
	ns_t now = relay_now();

	assert(carrier);
	carrier->relay = relay;
	carrier->session = session;
	carrier->out = (struct outlet){.relay = relay, .fd = -1};
	carrier->device_side = relay->listeners[session->listener].bound;
	carrier->upstream = own ? upstreams_get(relay->upstreams, own) : relay->upstream;
	session->carrier = carrier;
	ask(carrier, upstream_ask(carrier->upstream, (enum family)session->device.family, now, &carrier->cloud), now);
}

bool carrier_ready(struct carrier *carrier, ns_t now)
{
	if (carrier->out.fd >= 0 || carrier->waiting)
		return true;
	if (now < carrier->retry_at)
		return false;
	ask(carrier,
	    upstream_ask(carrier->upstream, (enum family)carrier->session->device.family, now, &carrier->cloud), now);
	return carrier->out.fd >= 0 || carrier->waiting;
}

/* A lookup is over: those that waited for it go on, or lose what they held. */
void carrier_news(void *user, struct upstream *upstream)
{
	struct relay *relay = user;
	struct carrier *carrier = relay->waiting, *still = NULL;
	ns_t now = relay_now();

	relay->waiting = NULL;
	while (carrier) {
		struct carrier *next = carrier->waiting_next;

		if (carrier->upstream == upstream) {
			carrier->waiting = false;
			ask(carrier,
			    upstream_look(upstream, (enum family)carrier->session->device.family, &carrier->cloud), now);
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
	relay_turn(relay);
}

void carrier_close(struct relay *relay, struct carrier *carrier)
{
	struct carrier **link = &relay->waiting;

	while (carrier->waiting && *link != carrier)
		link = &(*link)->waiting_next;
	if (carrier->waiting)
		*link = carrier->waiting_next;
	if (carrier->readable)
		event_free(carrier->readable);
	if (carrier->out.fd >= 0)
		relay->closed_drops += socket_kernel_drops(carrier->out.fd);
	outlet_drop(&carrier->out, carrier->session->end ? REASON_MAX_SESSIONS : REASON_ERROR);
	outlet_close(&carrier->out);
	carrier->session->carrier = NULL;
	free(carrier);
}
