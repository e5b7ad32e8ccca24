/* SPDX-License-Identifier: BSD-2-Clause */
/* departures: carries out what the core has decided: datagrams leave or die, sessions move or end. */
#include "proxy/relay/inside.h"
#include "proxy/run/clock.h"

static void send_datagram(struct relay *relay, struct datagram *datagram, uint32_t mapping)
{
	struct transport *transport = datagram->session->transport;
	struct outlet *out;

	if (datagram->way == WAY_DOWN)
		out = inlet_outlet(&relay->inlets[datagram->session->entrance], datagram->due);
	else
		out = transport_ready(transport, mapping, datagram->due) ? &transport->port->out : NULL;
	if (out)
		outlet_gather(out, datagram);
	else
		record_unsent(relay, NULL, datagram, REASON_ERROR, clock_now());
}

static void session_ended(struct relay *relay, struct session *session)
{
	summary_session_ended(relay->summary, session);
	outlets_flush(relay); /* no gathered datagram may refer to a socket that is closed */
	if (session->transport)
		transport_close(relay, session->transport);
	inlet_release(relay, session->entrance);
	core_session_release(relay->core, session);
}

void departures_handle(struct relay *relay)
{
	struct outcome outcome;

	while (core_next(relay->core, &outcome)) {
		switch (outcome.kind) {
		case OUTCOME_SEND: send_datagram(relay, outcome.datagram, outcome.mapping); break;
		case OUTCOME_UNSENT:
			record_dropped(relay, outcome.datagram, outcome.reason, outcome.at);
			break;
		case OUTCOME_EVENT: record_event(relay, outcome.text, outcome.at); break;
		case OUTCOME_UPSTREAM: transport_move(relay, outcome.session); break;
		case OUTCOME_DARK: relay->on_dark(relay->on_dark_user, &outcome); break;
		case OUTCOME_ENDED: session_ended(relay, outcome.session); break;
		}
	}
}

void departures_advance(struct relay *relay, ns_t now)
{
	core_advance(relay->core, now);
	departures_handle(relay);
}
