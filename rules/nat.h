/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nat: the mapping that a carrier's NAT keeps for one session (RFC 4787): made or refreshed when a datagram
 * is sent, forgotten after a silence, replaced by `rebind`.
 *
 *   none ── up sent ──> mapped n ── silence, rebind ──> lost ── up sent ──> mapped n + 1
 *
 * Each mapping has a number, from 1 on; who owns the sockets gives every number a source port of its own.
 * What comes to an older number, or to the present one once it is lost, is dropped without a word.
 *
 * A mapping lasts from the datagram that refreshed it up to, but not including, the nanosecond `timeout`
 * later; where it becomes a stream whose shorter time is over by then, it ends at that moment. With no
 * timeout it lasts until `rebind`.
 */
#ifndef RULES_NAT_H
#define RULES_NAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ns.h"
#include "rules/config.h"

struct nat {
	uint32_t mapping;   /* number of the present one, or of the last; 0: never made */
	uint32_t addresses; /* how often `rebind address` took the next source address */
	ns_t refreshed;
	ns_t streamed; /* when it became a stream; before that, when it was made */
	ns_t told;     /* where a timer is set: for this time */
	bool lost;     /* forgotten or replaced: the next up datagram makes another */
	bool stream;   /* datagrams have gone both ways */
};

/* When the mapping will be forgotten; NS_NEVER without timeout or mapping. `device` may be NULL. */
ns_t nat_expiry(const struct nat *nat, const struct device *device);
/* Is this the number of a mapping that lives at `now`? 0 stands for the present one. Where no NAT was asked
 * for, what comes before anything was sent passes. */
bool nat_lives(const struct nat *nat, const struct device *device, uint32_t mapping, ns_t now);
/* A datagram goes out: makes or refreshes the mapping; true where it is a new one that takes another's place.
 */
bool nat_out(struct nat *nat, const struct device *device, ns_t now);
/* A datagram has come in through it. */
void nat_in(struct nat *nat, const struct device *device, ns_t now);
void nat_rebind(struct nat *nat, enum rebind_what what);

#endif
