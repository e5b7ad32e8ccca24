/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arrivals: handles each datagram that was read: finds its session, has it judged, and records it.
 *
 *   arrivals_handle       one message: one datagram, or several that the kernel has joined
 *     departures_advance  what became due before it happens first
 *     session_for         the device's session, if it has one
 *       admit             … or the one that it continues or opens, if it is not refused
 *     core_arrive         its verdict (core_refuse: if it was refused)
 *     record_arrival
 */
#include "proxy/relay/inside.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"

/* Why a device is refused. */
struct refusal {
	enum reason reason;
	const char *why; /* for the log */
};

static struct refusal refusal_of(enum admission admission)
{
	struct refusal refusal = {admission_reason(admission), "out of memory"};

	if (admission == ADMISSION_FULL)
		refusal.why = "max_sessions is reached";
	if (admission == ADMISSION_LOOP)
		refusal.why = "more than 1000 sessions a second from its address begin with the same "
		              "datagram: do two proxies lead to each other?";
	return refusal;
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

/* True if a datagram was sent to deadzone's own address: nothing says to which cloud it is to go. */
static bool is_for_itself(
    struct relay *relay, const struct listener *listener, const struct received *received)
{
	return listener->is_transparent &&
	       (!received->to.family || (received->to.port == listener->bound.port &&
	                                    upstreams_are_own(relay->upstreams, &received->to)));
}

/* For a datagram that belongs to no known session. Returns the session that it opens or continues, or NULL if
 * it is refused. `inlet`: what inlet_find returned. */
static struct session *admit(struct relay *relay, struct listener *listener, uint32_t inlet,
    const struct received *received, const struct arrival *arrival, struct refusal *refusal)
{
	enum admission admission = ADMISSION_NO_MEMORY;
	struct session *session = NULL;

	if (is_for_itself(relay, listener, received)) {
		*refusal = (struct refusal){REASON_NOT_ALLOWED,
		    "it sends to deadzone itself, and not to a cloud that could be its upstream; with "
		    "`upstream = original`, have the kernel redirect its datagrams (nft tproxy), or use "
		    "[gateway]"};
		return NULL;
	}
	inlet = inlet_take(relay, listener, &received->to, inlet);
	if (inlet != INLET_NONE)
		session = core_follow(relay->core, inlet, &received->from, arrival, &admission);
	if (inlet != INLET_NONE && !session) {
		/* Opening a session may end another one, whose gathered datagrams are sent first. */
		if (core_is_full(relay->core))
			outlets_flush(relay);
		session = core_admit(
		    relay->core, inlet, &relay->entrances[inlet], &received->from, arrival, &admission);
	}
	departures_handle(relay);
	relay->opened |= admission == ADMISSION_OPENED;
	if (admission != ADMISSION_OPENED && inlet != INLET_NONE)
		inlet_release(relay, inlet);
	if (!session)
		*refusal = refusal_of(admission);
	return session;
}

/* Returns the session of a datagram from a device, or NULL and sets *refusal if it is refused. */
static struct session *session_for(struct relay *relay, struct listener *listener,
    const struct received *received, const struct arrival *arrival, struct refusal *refusal)
{
	struct session *session;
	struct transport *transport;
	uint32_t inlet;

	if (!patterns_match(&relay->setup->proxy.allow, &received->from)) {
		*refusal = (struct refusal){REASON_NOT_ALLOWED, "`allow` does not list it"};
		return NULL;
	}
	inlet = inlet_find(relay, listener, &received->to);
	session = inlet == INLET_NONE ? NULL : core_find(relay->core, inlet, &received->from);
	if (!session)
		session = admit(relay, listener, inlet, received, arrival, refusal);
	if (!session)
		return NULL;
	if (!session->transport)
		transport_open(relay, session);
	transport = session->transport;
	if (listener->everywhere && !listener->is_transparent && received->to.family)
		transport->device_side = local_address_of(listener, received);
	return session;
}

static void refuse_datagram(struct relay *relay, const struct listener *listener,
    const struct received *received, const struct arrival *arrival, const struct refusal *refusal)
{
	struct address device_side = local_address_of(listener, received);
	struct capture_path path = {.device = &received->from, .device_side = &device_side};
	struct verdict verdict;
	char text[ADDRESS_TEXT_SIZE];

	core_refuse(relay->core, refusal->reason, arrival, &verdict);
	if (relay->recorder)
		record_arrival(relay, &path, &verdict, arrival);
	if (!relay->warned_refused)
		log_error("device %s is refused: %s (logged once; the summary counts all)",
		    address_text(&received->from, text, sizeof(text)), refusal->why);
	relay->warned_refused = true;
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
	struct address local = {0}, peer = {0}; /* copies, because departures_advance may close the port */

	struct arrival arrival = {.way = listener ? WAY_UP : WAY_DOWN,
	    .tos = received->tos,
	    .bytes = bytes,
	    .size = size,
	    .at = arrival_time(relay, received),
	    .mapping = port ? port->mapping : 0,
	    .is_filtered = port && port->is_left};
	struct session *session = port ? transport_session(port->transport) : NULL;
	const struct transport *transport;
	struct refusal refusal;
	struct verdict verdict;
	struct capture_path path;

	if (port && relay->recorder)
		local = port->out.local;
	if (arrival.is_filtered && relay->recorder)
		socket_peer(port->out.fd, &peer);
	departures_advance(relay, arrival.at);
	if (listener) {
		session = session_for(relay, listener, received, &arrival, &refusal);
		if (!session) {
			refuse_datagram(relay, listener, received, &arrival, &refusal);
			return;
		}
	}
	if (session->end)
		return;
	core_arrive(relay->core, session, &arrival, &verdict);
	log_verdict(&verdict);
	if (relay->recorder) {
		transport = session->transport;
		path = record_path(session, port ? &local : &transport->port->out.local);
		if (arrival.is_filtered)
			path.cloud = &peer;
		record_arrival(relay, &path, &verdict, &arrival);
	}
	/* It may be due at once, behind others. Send it before the next datagram is handled, which may have
	 * an earlier timestamp and end a session. */
	if (core_due(relay->core) <= arrival.at)
		departures_advance(relay, arrival.at);
}

void arrivals_handle(
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
