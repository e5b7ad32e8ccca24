/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limits: how many sessions the system has room for. Each takes a file descriptor and a port.
 *
 * Without `source`, all sessions share the ephemeral ports of one address (net.ipv4.ip_local_port_range,
 * which applies to IPv6 too); each source address of the cloud's family adds as many again. The ports of
 * earlier NAT mappings come on top, but they are closed when a session cannot get a socket otherwise.
 */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stdint.h>

#include "proxy/run/setup.h"

#define LIMITS_PORT_RANGE "/proc/sys/net/ipv4/ip_local_port_range"

/* Raises the soft limit of RLIMIT_NOFILE to the hard limit. */
void limits_raise(void);
/* Returns max_sessions, or less if the system allows less; LIMITS_LOG logs an error in that case. */
enum limits_report { LIMITS_LOG, LIMITS_QUIET };
uint64_t limits_sessions(const struct setup *setup, enum limits_report voice);

#endif
