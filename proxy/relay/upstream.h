/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstream: the clouds that datagrams go to: their names, and what the names stand for now.
 *
 * A name is looked up at start and again for a session that begins more than a second after the last answer;
 * until then it waits. Where a later lookup fails, what was known before goes on to be used, and that is
 * told. An answer that leads back to one of our own listeners is refused.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include <stdbool.h>

#include "base/address.h"
#include "base/ns.h"
#include "proxy/relay/ready.h"

struct upstream;
struct upstreams;

/* Called when a lookup that someone waited for is over, well or not. */
typedef void upstream_news(void *user, struct upstream *upstream);

struct upstreams *upstreams_new(struct ready *ready, upstream_news *news, void *user);
void upstreams_free(struct upstreams *upstreams);
/* Our own listeners' addresses, as bound: answers among them are refused. */
void upstreams_refuse(struct upstreams *upstreams, const struct address *own, size_t count);

/* The cloud named "HOST:PORT"; starts its first lookup where it is a name. */
struct upstream *upstreams_get(struct upstreams *upstreams, const char *text);

/* The name that is looked up; NULL where it is an address already. */
const char *upstream_host(const struct upstream *upstream);

enum upstream_state { UPSTREAM_KNOWN, UPSTREAM_WAITING, UPSTREAM_FAILED };

/* For a session that begins now, or tries again: known (and its address for this family), or a lookup runs,
 * or it failed less than a second ago. */
enum upstream_state upstream_ask(
    struct upstream *upstream, enum family family, ns_t now, struct address *address);
/* The same without starting a lookup. */
enum upstream_state upstream_look(
    const struct upstream *upstream, enum family family, struct address *address);

#endif
