/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limits: how many sessions the system has room for: each takes a file descriptor and a port.
 *
 * Without `source` all sessions share the ephemeral ports of one address (net.ipv4.ip_local_port_range, for
 * IPv6 too); each source address of the cloud's family brings as many again. Ports of earlier NAT mappings
 * come on top; they are given up before a session goes without.
 */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stdint.h>

#include "proxy/run/setup.h"

/* Raises RLIMIT_NOFILE to what is allowed. */
void limits_raise(void);
/* max_sessions, or less where the system allows less; that is told when it is asked with LIMITS_TELL. */
enum limits_voice { LIMITS_TELL, LIMITS_SILENT };
uint64_t limits_sessions(const struct setup *setup, enum limits_voice voice);

#endif
