/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/relay/lookup.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Shared by the worker and the thread; whoever lets go last frees it. */
struct lookup {
	struct source source;
	atomic_int holders;
	struct ready *ready;
	int wakeup; /* eventfd: the thread tells the worker */
	lookup_done *done;
	void *user;
	char host[256], port[8];
	struct lookup_result result;
};

static void let_go(struct lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->holders, 1) != 1)
		return;
	close(lookup->wakeup);
	free(lookup);
}

static void *resolve(void *user)
{
	struct lookup *lookup = user;
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_protocol = IPPROTO_UDP}, *list = NULL;
	int failure = getaddrinfo(lookup->host, lookup->port, &hints, &list);

	if (failure)
		lookup->result.failure = gai_strerror(failure);
	for (struct addrinfo *at = list; at && lookup->result.count < LOOKUP_ADDRESSES; at = at->ai_next)
		if (address_from_socket(at->ai_addr, &lookup->result.all[lookup->result.count]) == 0)
			lookup->result.count++;
	if (list)
		freeaddrinfo(list);
	if (!lookup->result.count && !lookup->result.failure)
		lookup->result.failure = "it has no IPv4 or IPv6 address";
	eventfd_write(lookup->wakeup, 1);
	let_go(lookup);
	return NULL;
}

static void arrived(struct source *source, bool readable, bool writable)
{
	struct lookup *lookup = (struct lookup *)source;
	eventfd_t rung;

	(void)readable;
	(void)writable;
	if (eventfd_read(lookup->wakeup, &rung))
		return;
	ready_forget(lookup->ready, lookup->wakeup, source);
	lookup->done(lookup->user, &lookup->result);
	let_go(lookup);
}

struct lookup *lookup_start(
    struct ready *ready, const char *host, uint16_t port, lookup_done *done, void *user)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	pthread_attr_t detached;
	pthread_t thread;
	int failure;

	if (!lookup)
		return NULL;
	atomic_init(&lookup->holders, 2);
	lookup->done = done;
	lookup->user = user;
	snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	snprintf(lookup->port, sizeof(lookup->port), "%u", port);
	lookup->source.call = arrived;
	lookup->ready = ready;
	lookup->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lookup->wakeup < 0) {
		free(lookup);
		return NULL;
	}
	if (ready_add(ready, lookup->wakeup, &lookup->source, READY_READ)) {
		close(lookup->wakeup);
		free(lookup);
		return NULL;
	}
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	failure = pthread_create(&thread, &detached, resolve, lookup);
	pthread_attr_destroy(&detached);
	if (!failure)
		return lookup;
	let_go(lookup);
	lookup_cancel(lookup);
	return NULL;
}

void lookup_cancel(struct lookup *lookup)
{
	if (!lookup)
		return;
	ready_forget(lookup->ready, lookup->wakeup, &lookup->source);
	let_go(lookup);
}
