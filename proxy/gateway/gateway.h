/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gateway: interception as configured by [gateway]: the run's side. The kernel's tables are the helper
 * process's.
 *
 *   gateway_new ── gateway_up ── gateway_change … gateway_count … gateway_dark … ── gateway_free
 */
#ifndef PROXY_GATEWAY_GATEWAY_H
#define PROXY_GATEWAY_GATEWAY_H

#include <linux/capability.h>

#include "proxy/gateway/helper.h"

struct gateway;

/* The capabilities that transparent sockets require, one bit each. */
#define GATEWAY_CAPABILITIES (UINT64_C(1) << CAP_NET_RAW | UINT64_C(1) << CAP_NET_BIND_SERVICE)

/* Checks what [gateway] needs, and starts the helper process; call it before any thread starts. If something
 * is missing, it logs that and returns NULL. */
struct gateway *gateway_new(const struct setup *setup);
/* Starts interception, logs notes about the machine, and drops CAP_NET_ADMIN. `listeners` are the bound
 * addresses. Returns 0, or -1 and sets *error. */
int gateway_up(struct gateway *gateway, const struct setup *setup, const struct address *listeners,
    size_t count, struct error *error);
/* Prints the equivalent commands of nft(8) and ip(8), for the listeners as configured. */
void gateway_print(const struct setup *setup);
/* Changes the table to the reloaded configuration. Returns 0; or -1 and sets *error, and the table is as
 * before. */
int gateway_change(struct gateway *gateway, const struct setup *setup, struct error *error);
/* Sets *counts to the table's counters for each interface, and returns the number of interfaces. If the
 * helper does not answer, they are those read before. */
size_t gateway_count(struct gateway *gateway, const struct run_summary_gateway **counts);
/* Returns whether the clouds see the devices' own addresses (source = device). */
bool gateway_is_by_device(const struct gateway *gateway);
/* Ends interception, and reads the counters for the last time. The relay can still send its answers. */
void gateway_pass(struct gateway *gateway);
/* Makes devices dark. Any thread may call gateway_dark; gateway_dark_fd becomes readable, and the first
 * thread then calls gateway_dark_send, which passes them to the helper. */
void gateway_dark(struct gateway *gateway, const struct darkness *darkness);
int gateway_dark_fd(const struct gateway *gateway);
void gateway_dark_send(struct gateway *gateway);
/* Returns the helper's process id, for signals: a stopped helper does not end by itself. */
pid_t gateway_helper(const struct gateway *gateway);
/* Becomes readable when the helper has ended, or has replied late; gateway_has_ended tells which. */
int gateway_fd(const struct gateway *gateway);
bool gateway_has_ended(struct gateway *gateway);
/* Ends the helper, which removes table, rule and route, and waits for it. Returns 0; or kills it, logs that,
 * and returns -1. */
int gateway_free(struct gateway *gateway);

#endif
