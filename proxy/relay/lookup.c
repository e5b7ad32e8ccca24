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

#include "base/hidden.h"

/* Shared by the worker and the lookup thread; the last one to drop its reference frees it. */
struct lookup {
	struct source source;
	atomic_int refcount;
	struct ready *ready;
	int wakeup; /* eventfd that the thread writes once `result` is complete */
	lookup_done *done;
	void *user;
	char host[256], port[8];
	struct lookup_result result;
};

static void lookup_put(struct lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->refcount, 1) != 1)
		return;
	close(lookup->wakeup);
	free(lookup);
}

/* Returns a file that lookups should read but the sandbox hides, because it was replaced; NULL: none. */
static const char *find_hidden(void)
{
	static const char *const files[] = {
	    "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf"};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (hidden_is(files[i], false))
			return files[i];
	return NULL;
}

static void *resolve(void *user)
{
	struct lookup *lookup = user;
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_protocol = IPPROTO_UDP}, *list = NULL;
	int failure = getaddrinfo(lookup->host, lookup->port, &hints, &list);

	lookup->result.hidden = find_hidden();
	if (failure)
		lookup->result.failure = gai_strerror(failure);
	for (struct addrinfo *info = list; info && lookup->result.count < LOOKUP_ADDRESSES;
	     info = info->ai_next)
		if (address_from_socket(info->ai_addr, &lookup->result.all[lookup->result.count]) == 0)
			lookup->result.count++;
	if (list)
		freeaddrinfo(list);
	if (!lookup->result.count && !lookup->result.failure)
		lookup->result.failure = "it has no IPv4 or IPv6 address";
	eventfd_write(lookup->wakeup, 1);
	lookup_put(lookup);
	return NULL;
}

static void on_result(struct source *source, bool readable, bool writable)
{
	struct lookup *lookup = (struct lookup *)source;
	eventfd_t value;

	(void)readable;
	(void)writable;
	if (eventfd_read(lookup->wakeup, &value))
		return;
	ready_forget(lookup->ready, lookup->wakeup, source);
	lookup->done(lookup->user, &lookup->result);
	lookup_put(lookup);
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
	atomic_init(&lookup->refcount, 2);
	lookup->done = done;
	lookup->user = user;
	snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	snprintf(lookup->port, sizeof(lookup->port), "%u", port);
	lookup->source.call = on_result;
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
	lookup_put(lookup);
	lookup_cancel(lookup);
	return NULL;
}

void lookup_cancel(struct lookup *lookup)
{
	if (!lookup)
		return;
	ready_forget(lookup->ready, lookup->wakeup, &lookup->source);
	lookup_put(lookup);
}
