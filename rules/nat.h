/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nat: emulates the mapping that a carrier's NAT keeps for one session (RFC 4787). It is made or refreshed
 * when a datagram is sent, expires after a silence, and is replaced by `rebind`.
 *
 *   none ── up sent ──> mapped n ── silence, rebind ──> lost ── up sent ──> mapped n + 1
 *
 * Mappings are numbered from 1; the owner of the sockets gives each number its own source port. Datagrams to
 * an older mapping, or to the current one once it is lost, are dropped silently.
 *
 * A mapping lasts from the datagram that refreshed it until `timeout` later (exclusive). If it becomes a
 * stream and the stream's shorter timeout is already over, it ends at that moment. Without a timeout it lasts
 * until `rebind`.
 */
#ifndef RULES_NAT_H
#define RULES_NAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ns.h"
#include "rules/config.h"

struct nat {
	uint32_t mapping;   /* number of the current or latest one; 0: none yet */
	uint32_t addresses; /* how often `rebind address` switched the source address */
	ns_t refreshed;
	ns_t streamed; /* when it became a stream; before that, when it was made */
	ns_t told;     /* due time of the timer, if one is set */
	bool lost;     /* expired or replaced: the next up datagram makes another */
	bool stream;   /* datagrams have gone both ways */
};

/* Returns when the mapping will expire; NS_NEVER without timeout or mapping. `device` may be NULL. */
ns_t nat_expiry(const struct nat *nat, const struct device *device);
/* Returns whether `mapping` (0: the current one) is alive at `now`. Before the first mapping, returns true if
 * no NAT timeout is configured. */
bool nat_lives(const struct nat *nat, const struct device *device, uint32_t mapping, ns_t now);
/* Makes or refreshes the mapping for an outgoing datagram; returns true if a new mapping replaced an old one.
 */
bool nat_out(struct nat *nat, const struct device *device, ns_t now);
/* Notes that a datagram came in through the mapping, which makes it a stream. */
void nat_in(struct nat *nat, const struct device *device, ns_t now);
void nat_rebind(struct nat *nat, enum rebind_what what);

#endif
