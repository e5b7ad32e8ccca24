/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netlink: interfaces, policy rules and routes of the kernel (rtnetlink(7), through libmnl).
 *
 * What has the mark is delivered locally, whatever its destination:
 *
 *   ip rule add fwmark MARK/MARK lookup MARK
 *   ip route add local default dev lo table MARK
 */
#ifndef PROXY_GATEWAY_NETLINK_H
#define PROXY_GATEWAY_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"

struct netlink;

/* Returns NULL and sets *error if the kernel refuses, or the program was built without libmnl. */
struct netlink *netlink_open(struct error *error);
void netlink_close(struct netlink *netlink);

struct netlink_interface {
	bool exists, is_up, is_bridge;
	char bridge[IFNAMSIZ]; /* the bridge whose port it is, or "" */
};

/* Returns 0, or -1 and sets *error. An interface that does not exist is no error. */
int netlink_interface(
    struct netlink *netlink, const char *name, struct netlink_interface *interface, struct error *error);

/* Returns 1 if another program has a policy rule for the mark's bits or routes in its table, 0 if none has,
 * or -1 and sets *error. */
int netlink_is_taken(struct netlink *netlink, uint32_t mark, struct error *error);
/* Adds the rule and the route of one family, or takes over those that exist. Returns 0, or -1 and sets
 * *error. */
int netlink_redirect(struct netlink *netlink, enum family family, uint32_t mark, struct error *error);
/* Removes them. */
void netlink_restore(struct netlink *netlink, enum family family, uint32_t mark);
/* Lists all such rules, of this run or of others, and returns how many it found. */
struct netlink_leftover {
	enum family family;
	uint32_t mark;
};
size_t netlink_leftovers(struct netlink *netlink, struct netlink_leftover *all, size_t cap);

#endif
