/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstream: the clouds that datagrams go to: their names and their current addresses.
 *
 * A name is looked up at start, and again for a session that begins more than a second after the last answer;
 * that session waits for the new answer. If a later lookup fails, an error is logged and the addresses known
 * before stay in use. An answer that leads back to one of our own listeners is refused.
 *
 *   upstreams_new ── upstreams_refuse ── upstreams_get … upstream_resolve … ── upstreams_free
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include <stdbool.h>

#include "base/address.h"
#include "base/ns.h"
#include "proxy/relay/ready.h"

struct upstream;
struct upstreams;

/* Called when a lookup has succeeded or failed. */
typedef void upstream_done(void *user, struct upstream *upstream);

/* `ready` delivers the results of lookups. */
struct upstreams *upstreams_new(struct ready *ready, upstream_done *news, void *user);
void upstreams_free(struct upstreams *upstreams);
/* Sets the addresses of our own listeners, as bound; answers that lead to them are refused. */
void upstreams_refuse(struct upstreams *upstreams, const struct address *listeners, size_t count);

/* Returns whether the address is one of our listeners', also if they listen on all local addresses. */
bool upstreams_are_own(const struct upstreams *upstreams, const struct address *address);

/* Returns the cloud named "HOST:PORT"; the first call starts a lookup if HOST is a name. It is valid until
 * upstreams_free. */
struct upstream *upstreams_get(struct upstreams *upstreams, const char *text);

/* Returns the host name, or NULL if the cloud was given as an address. */
const char *upstream_host(const struct upstream *upstream);

enum upstream_state { UPSTREAM_KNOWN, UPSTREAM_WAITING, UPSTREAM_FAILED };

/* For a session that begins or tries again. If the answer is too old, starts a lookup. UPSTREAM_KNOWN: sets
 * `*address`, of `family` if there is one. UPSTREAM_WAITING: a lookup is running. UPSTREAM_FAILED: no address
 * is known, and the last lookup was less than a second ago. */
enum upstream_state upstream_resolve(
    struct upstream *upstream, enum family family, ns_t now, struct address *address);
/* Stores an address of this family that is known now, though a lookup may be running, and returns true. */
bool upstream_known(const struct upstream *upstream, enum family family, struct address *address);
/* Returns whether any address is known, and whether a lookup is running. */
bool upstream_has_address(const struct upstream *upstream);
bool upstream_is_waiting(const struct upstream *upstream);
/* Returns whether the latest answer led back to our own listener. */
bool upstream_is_refused(const struct upstream *upstream);
const char *upstream_text(const struct upstream *upstream);
/* Like upstream_resolve, but starts no lookup. */
enum upstream_state upstream_peek(
    const struct upstream *upstream, enum family family, struct address *address);

#endif
