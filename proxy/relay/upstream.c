/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups run in threads of their own (proxy/relay/lookup.h); their answers come through the worker's epoll
 * set. An upstream keeps one address for each family.
 */
#include "proxy/relay/upstream.h"

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hidden.h"
#include "base/dictionary.h"
#include "base/memory.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"
#include "proxy/relay/lookup.h"

/* How long an answer is used for new sessions, and after which a failed lookup is repeated. */
#define ANSWER_LIFETIME NS_S

struct upstream {
	struct upstream *next;
	struct upstreams *all;
	char *text;
	char host[256];
	uint16_t port;
	bool literal;
	struct address known[LOOKUP_ADDRESSES];
	size_t known_count;
	struct lookup *lookup;
	bool refused;        /* the last answer led back to our own listener */
	bool is_hidden_told; /* that the sandbox hides what its lookups read */
	bool failed;         /* the last lookup failed, and no address was known before */
	ns_t answered_at;
};

struct upstreams {
	struct ready *ready;
	upstream_done *news;
	void *user;
	struct upstream *first;
	struct dictionary by_text;
	struct address *listeners; /* our own */
	size_t listener_count;
};

struct upstreams *upstreams_new(struct ready *ready, upstream_done *news, void *user)
{
	struct upstreams *upstreams = memory_new(1, sizeof(*upstreams));

	*upstreams = (struct upstreams){.ready = ready, .news = news, .user = user};
	return upstreams;
}

void upstreams_free(struct upstreams *upstreams)
{
	if (!upstreams)
		return;
	while (upstreams->first) {
		struct upstream *upstream = upstreams->first;

		upstreams->first = upstream->next;
		lookup_cancel(upstream->lookup);
		free(upstream->text);
		free(upstream);
	}
	dictionary_free(&upstreams->by_text);
	free(upstreams->listeners);
	free(upstreams);
}

void upstreams_refuse(struct upstreams *upstreams, const struct address *listeners, size_t count)
{
	free(upstreams->listeners);
	upstreams->listeners = memory_new(count, sizeof(*listeners));
	memcpy(upstreams->listeners, listeners, count * sizeof(*listeners));
	upstreams->listener_count = count;
}

static bool is_local_address(const struct address *address)
{
	struct ifaddrs *list, *at;
	bool found = address_is_loopback(address) || address_is_any(address);

	if (found || getifaddrs(&list))
		return found;
	for (at = list; at && !found; at = at->ifa_next) {
		struct address local;

		found = at->ifa_addr && address_from_socket(at->ifa_addr, &local) == 0 &&
		        address_same_host(&local, address);
	}
	freeifaddrs(list);
	return found;
}

bool upstreams_are_own(const struct upstreams *upstreams, const struct address *address)
{
	for (size_t i = 0; i < upstreams->listener_count; i++) {
		const struct address *listener = &upstreams->listeners[i];

		if (listener->port != address->port || listener->family != address->family)
			continue;
		if (address_same_host(listener, address) ||
		    ((address_is_any(listener) || address_is_any(address)) && is_local_address(address)))
			return true;
	}
	return false;
}

/* Stores an answer without the addresses that lead back to us. Returns how many addresses are left. */
static size_t store_answer(struct upstream *upstream, const struct address *addresses, size_t count)
{
	size_t kept = 0;
	struct address good[LOOKUP_ADDRESSES];

	for (size_t i = 0; i < count; i++)
		if (!upstreams_are_own(upstream->all, &addresses[i]))
			good[kept++] = addresses[i];
	upstream->refused = kept < count;
	if (kept < count)
		log_error(
		    "upstream %s leads back to our own listener: that address is refused", upstream->text);
	if (kept) {
		memcpy(upstream->known, good, kept * sizeof(*good));
		upstream->known_count = kept;
	}
	return kept;
}

static void on_answer(void *user, const struct lookup_result *result)
{
	struct upstream *upstream = user;
	size_t kept = result->failure ? 0 : store_answer(upstream, result->all, result->count);

	upstream->lookup = NULL;
	upstream->answered_at = clock_now();
	upstream->failed = !kept && !upstream->known_count;
	if (result->hidden && !upstream->is_hidden_told)
		log_error("upstream %s was looked up without %s, which has been replaced: " HIDDEN_REASON,
		    upstream->text, result->hidden);
	upstream->is_hidden_told = result->hidden != NULL;
	if (result->failure)
		log_error("upstream %s cannot be looked up: %s%s", upstream->text, result->failure,
		    upstream->known_count ? "; the address known before is used" : "");
	upstream->all->news(upstream->all->user, upstream);
}

static void start_lookup(struct upstream *upstream)
{
	upstream->lookup = lookup_start(
	    upstream->all->ready, upstream->host, upstream->port, on_answer, upstream);
	if (upstream->lookup)
		return;
	upstream->failed = !upstream->known_count;
	upstream->answered_at = clock_now();
	log_error("upstream %s cannot be looked up: no thread can be started", upstream->text);
}

struct upstream *upstreams_get(struct upstreams *upstreams, const char *text)
{
	struct upstream *upstream = dictionary_get(&upstreams->by_text, NULL, text);
	struct address address;
	struct error error;

	if (upstream)
		return upstream;
	upstream = memory_new(1, sizeof(*upstream));
	upstream->all = upstreams;
	upstream->text = memory_text(text, strlen(text));
	dictionary_put(&upstreams->by_text, NULL, upstream->text, upstream);
	upstream->next = upstreams->first;
	upstreams->first = upstream;
	if (address_read(text, &address, &error) == 0) {
		upstream->literal = true;
		upstream->failed = store_answer(upstream, &address, 1) == 0;
	} else if (address_split(text, upstream->host, sizeof(upstream->host), &upstream->port, &error) ==
	           0) {
		start_lookup(upstream);
	}
	return upstream;
}

const char *upstream_host(const struct upstream *upstream)
{
	return upstream->literal ? NULL : upstream->host;
}

bool upstream_known(const struct upstream *upstream, enum family family, struct address *address)
{
	for (size_t i = 0; i < upstream->known_count; i++)
		if (upstream->known[i].family == family) {
			*address = upstream->known[i];
			return true;
		}
	return false;
}

bool upstream_has_address(const struct upstream *upstream)
{
	return upstream->known_count > 0;
}

bool upstream_is_refused(const struct upstream *upstream)
{
	return upstream->refused;
}

bool upstream_is_waiting(const struct upstream *upstream)
{
	return upstream->lookup != NULL;
}

const char *upstream_text(const struct upstream *upstream)
{
	return upstream->text;
}

enum upstream_state upstream_peek(
    const struct upstream *upstream, enum family family, struct address *address)
{
	if (upstream->lookup)
		return UPSTREAM_WAITING;
	if (!upstream->known_count)
		return UPSTREAM_FAILED;
	*address = upstream->known[0];
	for (size_t i = 0; i < upstream->known_count; i++) {
		if (upstream->known[i].family == family) {
			*address = upstream->known[i];
			break;
		}
	}
	return UPSTREAM_KNOWN;
}

enum upstream_state upstream_resolve(
    struct upstream *upstream, enum family family, ns_t now, struct address *address)
{
	if (!upstream->literal && !upstream->lookup && now - upstream->answered_at >= ANSWER_LIFETIME)
		start_lookup(upstream);
	return upstream_peek(upstream, family, address);
}
