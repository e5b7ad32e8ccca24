/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inlets: where devices' datagrams come in, and where the answers to them leave.
 *
 * Each listener is an inlet from the start, with its own index. With `upstream = original` the kernel hands
 * over datagrams for any number of destinations at one listener: each destination is an inlet of its own
 * while it has sessions. Answers must leave with the destination as their source, which the listener's socket
 * cannot do, because its port is another. So for each destination port there is one transparent socket, bound
 * to an address that nobody uses: it takes no datagram from anybody, and each answer names its source address
 * (IP_PKTINFO).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/chance.h"
#include "base/memory.h"
#include "proxy/relay/inside.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"

#define ANSWERS_RETRY NS_S /* after a failure, before the next attempt to open such a socket */

/* The socket for answers from one port of one family. */
struct answers {
	struct outlet out;
	struct answers *next; /* in its bucket */
	uint32_t inlets;      /* that use it */
	uint16_t port;
	uint16_t family;
	ns_t retry_at;
};

/* ---- The sockets for answers ---- */

static void on_answers(struct source *source, bool readable, bool writable)
{
	(void)readable; /* a filter lets nothing in */
	if (writable)
		outlet_resume((struct outlet *)source);
}

static struct answers **answers_bucket(struct relay *relay, uint16_t port)
{
	return &relay->answers[port % RELAY_ANSWERS_BUCKETS];
}

static void answers_try(struct answers *answers, ns_t now)
{
	struct relay *relay = answers->out.relay;
	struct error error;

	if (answers->out.fd >= 0 || now < answers->retry_at)
		return;
	answers->out.fd = socket_answer(
	    (enum family)answers->family, answers->port, &relay->socket_options, &error);
	if (answers->out.fd >= 0 &&
	    ready_add(relay->ready, answers->out.fd, &answers->out.source, READY_READ)) {
		error_set(&error, "cannot wait for the socket: %s", strerror(errno));
		close(answers->out.fd);
		answers->out.fd = -1;
	}
	if (answers->out.fd >= 0)
		return;
	answers->retry_at = now + ANSWERS_RETRY;
	if (!relay->warned_answers)
		log_error("answers from port %u cannot be sent: %s (logged once)", answers->port, error.text);
	relay->warned_answers = true;
}

struct outlet *inlet_outlet(const struct inlet *inlet, ns_t now)
{
	if (!inlet->answers)
		return &inlet->listener->out;
	answers_try(inlet->answers, now);
	return inlet->answers->out.fd >= 0 ? &inlet->answers->out : NULL;
}

/* Returns NULL if out of memory. */
static struct answers *answers_get(struct relay *relay, const struct address *destination)
{
	struct answers **bucket = answers_bucket(relay, destination->port), *answers = *bucket;

	while (answers && !(answers->port == destination->port && answers->family == destination->family))
		answers = answers->next;
	if (!answers) {
		answers = calloc(1, sizeof(*answers));
		if (!answers)
			return NULL;
		*answers = (struct answers){.out = {.source.call = on_answers, .relay = relay, .fd = -1},
		    .next = *bucket,
		    .port = destination->port,
		    .family = destination->family};
		*bucket = answers;
	}
	answers->inlets++;
	return answers;
}

static void answers_release(struct relay *relay, struct answers *answers)
{
	struct answers **link = answers_bucket(relay, answers->port);

	if (--answers->inlets)
		return;
	while (*link != answers)
		link = &(*link)->next;
	*link = answers->next;
	outlet_close(&answers->out);
	free(answers);
}

/* ---- Inlets ---- */

static size_t hash_of(const struct relay *relay, const struct listener *listener, const struct address *at)
{
	return (address_hash(at) ^ chance_mix(listener->index)) & (relay->inlet_cap - 1);
}

static bool is_inlet_of(
    const struct relay *relay, uint32_t index, const struct listener *listener, const struct address *at)
{
	return relay->inlets[index].listener == listener &&
	       address_equal(&relay->entrances[index].destination, at);
}

uint32_t inlet_find(struct relay *relay, const struct listener *listener, const struct address *destination)
{
	uint32_t index = relay->inlet_last;

	if (!listener->is_transparent)
		return listener->index;
	if (index < relay->inlet_count && is_inlet_of(relay, index, listener, destination))
		return index;
	index = relay->inlet_buckets[hash_of(relay, listener, destination)];
	while (index != INLET_NONE && !is_inlet_of(relay, index, listener, destination))
		index = relay->inlets[index].next;
	if (index != INLET_NONE)
		relay->inlet_last = index;
	return index;
}

static void inlet_link(struct relay *relay, uint32_t index)
{
	struct inlet *inlet = &relay->inlets[index];
	size_t at = hash_of(relay, inlet->listener, &relay->entrances[index].destination);

	inlet->next = relay->inlet_buckets[at];
	relay->inlet_buckets[at] = index;
}

/* Returns false if out of memory. */
static bool inlets_grow(struct relay *relay)
{
	size_t cap = 2 * relay->inlet_cap;
	struct inlet *inlets = calloc(cap, sizeof(*inlets));
	struct entrance *entrances = calloc(cap, sizeof(*entrances));
	uint32_t *buckets = malloc(cap * sizeof(*buckets));

	if (!inlets || !entrances || !buckets) {
		free(inlets);
		free(entrances);
		free(buckets);
		return false;
	}
	memcpy(inlets, relay->inlets, relay->inlet_count * sizeof(*inlets));
	memcpy(entrances, relay->entrances, relay->inlet_count * sizeof(*entrances));
	free(relay->inlets);
	free(relay->entrances);
	free(relay->inlet_buckets);
	relay->inlets = inlets;
	relay->entrances = entrances;
	relay->inlet_buckets = buckets;
	relay->inlet_cap = cap;
	memset(buckets, 0xff, cap * sizeof(*buckets));
	for (uint32_t i = 0; i < relay->inlet_count; i++)
		if (relay->inlets[i].sessions && relay->inlets[i].listener->is_transparent)
			inlet_link(relay, i);
	return true;
}

static uint32_t inlet_slot(struct relay *relay)
{
	uint32_t index = relay->inlet_free;

	if (index != INLET_NONE) {
		relay->inlet_free = relay->inlets[index].next;
		return index;
	}
	if (relay->inlet_count == relay->inlet_cap && !inlets_grow(relay))
		return INLET_NONE;
	return relay->inlet_count++;
}

uint32_t inlet_take(
    struct relay *relay, struct listener *listener, const struct address *destination, uint32_t index)
{
	struct answers *answers;

	if (!listener->is_transparent)
		return index;
	if (index != INLET_NONE) {
		relay->inlets[index].sessions++;
		answers_try(relay->inlets[index].answers, clock_now());
		return index;
	}
	answers = answers_get(relay, destination);
	if (!answers)
		return INLET_NONE;
	index = inlet_slot(relay);
	if (index == INLET_NONE) {
		answers_release(relay, answers);
		return INLET_NONE;
	}
	answers_try(answers, clock_now());
	relay->inlets[index] = (struct inlet){.listener = listener, .answers = answers, .sessions = 1};
	relay->entrances[index] = (struct entrance){
	    .listener = listener->configured, .destination = *destination};
	inlet_link(relay, index);
	relay->inlet_last = index;
	return index;
}

void inlet_release(struct relay *relay, uint32_t index)
{
	struct inlet *inlet = &relay->inlets[index];
	uint32_t *link;

	if (!inlet->listener->is_transparent || --inlet->sessions)
		return;
	link = &relay->inlet_buckets[hash_of(relay, inlet->listener, &relay->entrances[index].destination)];
	while (*link != index)
		link = &relay->inlets[*link].next;
	*link = inlet->next;
	answers_release(relay, inlet->answers);
	*inlet = (struct inlet){.listener = inlet->listener, .next = relay->inlet_free};
	relay->entrances[index].destination = (struct address){0};
	relay->inlet_free = index;
}

void inlets_open(struct relay *relay)
{
	size_t cap = 64;

	while (cap < relay->listener_count)
		cap *= 2;
	relay->inlets = memory_new(cap, sizeof(*relay->inlets));
	relay->entrances = memory_new(cap, sizeof(*relay->entrances));
	relay->inlet_buckets = memory_new(cap, sizeof(*relay->inlet_buckets));
	relay->inlet_cap = cap;
	relay->inlet_free = INLET_NONE;
	memset(relay->inlet_buckets, 0xff, cap * sizeof(*relay->inlet_buckets));
	for (uint32_t i = 0; i < relay->listener_count; i++) {
		relay->inlets[i] = (struct inlet){.listener = &relay->listeners[i]};
		relay->entrances[i] = (struct entrance){.listener = relay->listeners[i].configured};
	}
	relay->inlet_count = (uint32_t)relay->listener_count;
}

void inlets_close(struct relay *relay)
{
	for (size_t i = 0; i < RELAY_ANSWERS_BUCKETS; i++)
		while (relay->answers[i]) {
			relay->answers[i]->inlets = 1;
			answers_release(relay, relay->answers[i]);
		}
	free(relay->inlets);
	free(relay->entrances);
	free(relay->inlet_buckets);
}
