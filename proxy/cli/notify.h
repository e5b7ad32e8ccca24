/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify: tells the service manager how the run is (sd_notify(3)): a datagram of lines such as READY=1 to the
 * Unix socket in $NOTIFY_SOCKET. If that is not set, nothing is sent.
 */
#ifndef PROXY_CLI_NOTIFY_H
#define PROXY_CLI_NOTIFY_H

#include <stdbool.h>

#include "base/ns.h"

/* Sends lines, separated by newlines. Never waits: what the manager has no room for is dropped. */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool notify_is_wanted(void);
/* Returns how often WATCHDOG=1 must be sent so that the manager does not end the run: half of what
 * $WATCHDOG_USEC allows; 0: it is not expected. */
ns_t notify_watchdog(void);

#endif
