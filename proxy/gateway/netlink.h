/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netlink: interfaces, policy rules and routes of the kernel (rtnetlink(7), through libmnl).
 *
 * What has the mark is delivered locally, whatever its destination:
 *
 *   ip rule add fwmark MARK/MARK lookup TABLE
 *   ip route add local default dev lo table TABLE
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
	char bridge[IFNAMSIZ]; /* of which it is a port; "": of none */
};

/* Returns 0, or -1 and sets *error. An interface that does not exist is no error. */
int netlink_interface(
    struct netlink *netlink, const char *name, struct netlink_interface *interface, struct error *error);

/* Returns whether another program's policy rule uses the mark's bits alone, or its routes the table. 1, 0, or
 * -1. */
int netlink_is_taken(struct netlink *netlink, uint32_t mark, uint32_t table, struct error *error);
/* Adds the rule and the route of one family; those that are there already are taken over. Returns 0, or -1
 * and sets *error. */
int netlink_redirect(
    struct netlink *netlink, enum family family, uint32_t mark, uint32_t table, struct error *error);
/* The rules of this form that there are, of this run or others; returns how many. */
struct netlink_leftover {
	enum family family;
	uint32_t mark;
};
size_t netlink_leftovers(struct netlink *netlink, struct netlink_leftover *all, size_t cap);
/* Removes them. */
void netlink_restore(struct netlink *netlink, enum family family, uint32_t mark, uint32_t table);

#endif
