/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helper: the process that may change the kernel's tables (CAP_NET_ADMIN), and can do nothing else.
 *
 * It is forked before the first thread starts. Each order is one message on its socket; all but ORDER_DARK
 * are answered. It ends when the other end of the socket is closed, however that happens: then it takes back
 * rule and route, and the table goes with its netlink socket.
 */
#ifndef PROXY_GATEWAY_HELPER_H
#define PROXY_GATEWAY_HELPER_H

#include "base/ns.h"
#include "proxy/gateway/table.h"
#include "report/run_summary.h"

enum order_kind {
	ORDER_UP,     /* make table, rule and route */
	ORDER_CHANGE, /* replace the table's rules */
	ORDER_PASS,   /* intercept nothing any more; answers still leave untracked. The counts are replied */
	ORDER_DARK,   /* devices become dark, or are no longer */
	ORDER_COUNT   /* what the table has counted */
};

#define ORDER_DARK_MAX 256

/* A device that is dark in some directions until a time of CLOCK_MONOTONIC. */
struct darkness {
	struct address address; /* without port */
	bool ways[WAYS];
	bool is_end; /* `until` replaces a later time, too */
	ns_t until;
};

struct gateway_order {
	enum order_kind kind;
	uint32_t number; /* repeated in the reply */
	union {
		struct {
			struct table table;
			ns_t idle_timeout;
		} up; /* ORDER_UP, ORDER_CHANGE */
		struct {
			uint32_t count;
			struct darkness all[ORDER_DARK_MAX];
		} dark;
	};
};

struct gateway_reply {
	uint32_t number;
	bool failed;
	struct error error;
	uint32_t count;
	struct run_summary_gateway counts[GATEWAY_INTERFACES_MAX];
	char notes[8192]; /* lines */
};

/* Serves orders from a SOCK_SEQPACKET socket until its other end is closed. */
void helper_main(int socket) __attribute__((noreturn));

#endif
