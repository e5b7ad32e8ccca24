#include "report/handshake.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static bool has(const struct dtls_peek *peek, enum dtls_kind kind)
{
	return peek->kinds >> kind & 1;
}

static struct handshake *begin(struct handshakes *handshakes, ns_t at)
{
	handshakes->all = memory_grow(handshakes->all, handshakes->count, sizeof(*handshakes->all));
	handshakes->all[handshakes->count] = (struct handshake){.began = at};
	return &handshakes->all[handshakes->count++];
}

static bool same_message(const struct dtls_message *a, const struct dtls_message *b)
{
	return a->encrypted == b->encrypted && a->key[0] == b->key[0] && a->key[1] == b->key[1];
}

static void send_again(struct flight *flight, ns_t at)
{
	if (flight->sends <= FLIGHT_GAPS_MAX)
		flight->gaps[flight->sends - 1] = at - flight->latest;
	flight->sends++;
	flight->latest = at;
}

/* A message not seen before: the present flight goes on, or the other side's answer begins. */
static uint8_t flight_of(struct handshake *handshake, enum way way, uint32_t kinds, ns_t at)
{
	struct flight *last = handshake->flight_count ? &handshake->flights[handshake->flight_count - 1]
	                                              : NULL;

	if (last && (last->way == way || handshake->flight_count == FLIGHTS_MAX))
		return (uint8_t)(handshake->flight_count - 1);
	handshake->flights = memory_grow(
	    handshake->flights, handshake->flight_count, sizeof(*handshake->flights));
	handshake->flights[handshake->flight_count] = (struct flight){
	    .way = way, .kinds = kinds, .first = at, .latest = at, .sends = 1};
	return (uint8_t)handshake->flight_count++;
}

static void message_look(struct handshake *handshake, enum way way, const struct dtls_peek *peek, ns_t at)
{
	size_t i = 0;

	while (i < handshake->message_count &&
	       !(handshake->messages[i].way == way &&
	           same_message(&handshake->messages[i].message, &peek->message)))
		i++;
	if (i < handshake->message_count) {
		size_t first = 0;

		/* Only a flight's first message tells of a new try; the others come with it. */
		while (handshake->messages[first].flight != handshake->messages[i].flight)
			first++;
		if (first == i)
			send_again(&handshake->flights[handshake->messages[i].flight], at);
		return;
	}
	if (i == MESSAGES_MAX)
		return;
	handshake->messages = memory_grow(
	    handshake->messages, handshake->message_count, sizeof(*handshake->messages));
	handshake->messages[i] = (struct handshake_message){.way = way};
	handshake->messages[i].message = peek->message;
	handshake->messages[i].flight = flight_of(handshake, way, peek->kinds, at);
	handshake->message_count++;
}

static void conclude(struct handshake *handshake, const struct dtls_session *dtls, ns_t at)
{
	handshake->done = at;
	handshake->kind = dtls->version_1_3        ? HANDSHAKE_1_3
	                  : handshake->server_done ? HANDSHAKE_FULL
	                                           : HANDSHAKE_RESUMED;
}

void handshakes_look(struct handshakes *handshakes, const struct dtls_session *dtls, enum way way,
    const struct dtls_peek *peek, ns_t at)
{
	struct handshake *handshake;

	if (peek->new_hello)
		begin(handshakes, at);
	if (!handshakes->count)
		return;
	handshake = &handshakes->all[handshakes->count - 1];
	handshake->server_done |= has(peek, DTLS_KIND_SERVER_HELLO_DONE);
	if (peek->message.there && (!handshake->done || peek->message.encrypted))
		message_look(handshake, way, peek, at);
	if (handshake->done || !has(peek, DTLS_KIND_ENCRYPTED))
		return;
	handshake->encrypted[way] = true;
	if (handshake->encrypted[WAY_UP] && handshake->encrypted[WAY_DOWN])
		conclude(handshake, dtls, at);
}

void handshakes_free(struct handshakes *handshakes)
{
	for (size_t i = 0; i < handshakes->count; i++) {
		free(handshakes->all[i].flights);
		free(handshakes->all[i].messages);
	}
	free(handshakes->all);
	*handshakes = (struct handshakes){0};
}

const char *flight_name(const struct flight *flight)
{
	/* From the particular to the general. */
	static const enum dtls_kind order[] = {DTLS_KIND_CLIENT_HELLO, DTLS_KIND_HELLO_VERIFY_REQUEST,
	    DTLS_KIND_SERVER_HELLO, DTLS_KIND_CERTIFICATE, DTLS_KIND_SERVER_KEY_EXCHANGE,
	    DTLS_KIND_SERVER_HELLO_DONE, DTLS_KIND_CLIENT_KEY_EXCHANGE, DTLS_KIND_CERTIFICATE_VERIFY,
	    DTLS_KIND_NEW_SESSION_TICKET, DTLS_KIND_FINISHED};

	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++)
		if (flight->kinds >> order[i] & 1)
			return dtls_kinds[order[i]];
	return "handshake";
}

const char *handshake_word(const struct handshake *handshake)
{
	static const char *const words[] = {"abandoned", "full", "resumed", "DTLS 1.3"};

	return words[handshake->done ? handshake->kind : HANDSHAKE_UNKNOWN];
}
