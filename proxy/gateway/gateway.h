/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gateway: interception as configured by [gateway]: the run's side. The kernel's tables are the helper
 * process's.
 *
 *   gateway_new ── gateway_up ── gateway_change … gateway_count … gateway_dark … ── gateway_free
 */
#ifndef PROXY_GATEWAY_GATEWAY_H
#define PROXY_GATEWAY_GATEWAY_H

#include "proxy/gateway/helper.h"

struct gateway;

/* Checks what [gateway] needs, and starts the helper process; call it before any thread starts. Logs what is
 * missing, and returns NULL if that is anything. */
struct gateway *gateway_new(const struct setup *setup);
/* Intercepts from now on; `listeners` are addresses as bound. Gives up CAP_NET_ADMIN. Logs notes. Returns 0,
 * or -1 and sets *error. */
int gateway_up(struct gateway *gateway, const struct setup *setup, const struct address *listeners,
    size_t count, struct error *error);
/* Prints the equivalent commands of nft(8) and ip(8), for the listeners as configured. */
void gateway_print(const struct setup *setup);
/* Follows a reload. Returns 0, or -1 and sets *error, and all stays as it was. */
int gateway_change(struct gateway *gateway, const struct setup *setup, struct error *error);
/* What the table has counted, for each interface; returns how many. The counts of before stay if the helper
 * does not answer. */
size_t gateway_count(struct gateway *gateway, const struct run_summary_gateway **counts);
/* Returns whether the clouds see the devices' own addresses (source = device). */
bool gateway_is_by_device(const struct gateway *gateway);
/* Ends interception: datagrams pass by from now on. What the relay still sends is answered as before. The
 * counts are final. */
void gateway_pass(struct gateway *gateway);
/* Devices that become dark. Any thread may call it; gateway_dark_fd becomes readable, and gateway_dark_send
 * passes them on. */
void gateway_dark(struct gateway *gateway, const struct darkness *darkness);
int gateway_dark_fd(const struct gateway *gateway);
void gateway_dark_send(struct gateway *gateway);
/* Readable once the helper has ended, of which gateway_has_ended then makes sure. */
int gateway_fd(const struct gateway *gateway);
bool gateway_has_ended(struct gateway *gateway);
/* Ends the helper, which takes everything back, and waits for that. Returns 0, or logs and returns -1 if it
 * must be killed. */
int gateway_free(struct gateway *gateway);

#endif
