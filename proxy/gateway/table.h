/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table: what is to be intercepted, and the commands for nft(8) that do it. Pure text, no system calls.
 *
 * The table deadzone-MARK has these chains:
 *
 *   arrive     hook prerouting, priority raw: what devices send; what is to be intercepted gets the mark, is
 *              not tracked, and goes to deadzone's listener (tproxy); the rest is counted
 *   intercept  which datagrams those are
 *   answer     hook output, priority raw: what deadzone's transparent sockets send is not tracked, and marked
 *   leave      hook postrouting, with `dark = all` only: drops what goes to dark devices, but answers
 *
 * With `dark = all`, `arrive` also drops what dark devices send past deadzone.
 *
 * Connection tracking is left out so that no entry without NAT remains when deadzone ends: a device's flow
 * then goes on with the masquerading of the uplink.
 */
#ifndef PROXY_GATEWAY_TABLE_H
#define PROXY_GATEWAY_TABLE_H

#include <net/if.h>

#include "base/text.h"
#include "base/verdict.h"
#include "proxy/run/setup.h"

/* All that the table depends on, without pointers: this is sent to the helper process. */
struct table_patterns {
	uint32_t count;
	struct address_pattern all[GATEWAY_PATTERNS_MAX];
};

struct table {
	uint32_t mark;
	uint32_t interface_count, port_count;
	char interfaces[GATEWAY_INTERFACES_MAX][IFNAMSIZ];
	struct port_range ports[GATEWAY_PORTS_MAX];          /* in ascending order, disjoint */
	struct table_patterns destination, exclude, address; /* none is part of another */
	bool by_device;                                      /* source = device */
	bool is_dark_all;
	struct address listen[2]; /* where IPv4 and IPv6 go; FAMILY_NONE: that family is not intercepted */
};

#define TABLE_NAME_SIZE 32
#define GATEWAY_MARK_FIRST 0x64 /* tried first where the user names none */

/* Fills all but `listen` from [gateway]. */
void table_fill(struct table *table, const struct gateway_settings *settings);
/* Fills `listen` with the first listener of each family. */
void table_listen(struct table *table, const struct address *listeners, size_t count);
/* Returns false if this cannot come from table_fill: the helper checks what it gets. */
bool table_is_valid(const struct table *table);
const char *table_name(const struct table *table, char name[TABLE_NAME_SIZE]);
/* The commands that make the table without rules; with `is_owned`, the kernel removes it when
 * its netlink socket is closed. */
void table_create(const struct table *table, bool is_owned, struct text *out);
/* The commands that give the table its rules, in place of those of `before`; its counters go on. */
void table_change(const struct table *before, const struct table *table, struct text *out);
/* Adds devices' addresses to, or removes them from, those that are dark one way. All are of one family. */
void table_dark(const struct table *table, enum way way, bool is_dark, const struct address *addresses,
    size_t count, struct text *out);

#endif
