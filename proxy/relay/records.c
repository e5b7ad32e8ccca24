/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * records: what a worker writes down: each datagram's arrival and departure in the capture, its end in the
 * core's accounts, and events.
 */
#include "proxy/relay/inside.h"
#include "proxy/run/log.h"
#include "proxy/run/recording.h"

#define EVENTS_EACH_SECOND 50 /* lines on standard error; the capture has all events */

/* Makes a worker's arrival number unique among all workers, for the capture. */
static uint64_t packet_id(const struct relay *relay, uint64_t arrival)
{
	return arrival * relay->workers + relay->index;
}

static const struct address unknown_address;

struct capture_path record_path(const struct session *session, const struct address *cloud_side)
{
	const struct transport *transport = session->transport;
	/* A datagram that is recorded after its session has ended keeps the address that it came to. */
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

void record_arrival(struct relay *relay, const struct capture_path *path, const struct verdict *verdict,
    const struct arrival *arrival)
{
	capture_arrived(relay->recorder, path, verdict, arrival->bytes, arrival->tos,
	    packet_id(relay, core_arrivals(relay->core)), relay_wall(relay, arrival->at));
}

/* Records what became of a datagram; `out` is NULL if it never reached an outlet. */
static void record_departure(
    struct relay *relay, const struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at)
{
	struct capture_path path;

	if (!relay->recorder)
		return;
	path = record_path(datagram->session, cloud_side_of(out, datagram));
	recording_add_departure(relay->recorder, &path, datagram, reason, packet_id(relay, datagram->id), at,
	    relay_wall(relay, at));
}

void record_sent(struct relay *relay, const struct outlet *out, struct datagram *datagram, ns_t at)
{
	/* Receive timestamps and our clock may differ slightly: never record it as sent before it was due. */
	if (at < datagram->due)
		at = datagram->due;
	record_departure(relay, out, datagram, REASON_NONE, at);
	core_sent(relay->core, datagram, at);
}

void record_unsent(
    struct relay *relay, const struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at)
{
	core_failed(relay->core, datagram, reason);
	record_departure(relay, out, datagram, reason, at);
	core_release(relay->core, datagram);
}

void record_dropped(struct relay *relay, struct datagram *datagram, enum reason reason, ns_t at)
{
	record_departure(relay, NULL, datagram, reason, at);
	core_release(relay->core, datagram);
}

void record_event(struct relay *relay, const char *text, ns_t at)
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
