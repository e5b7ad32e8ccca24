/* SPDX-License-Identifier: BSD-2-Clause */
/* privilege: the capabilities of the calling thread (capabilities(7)). */
#ifndef PROXY_SANDBOX_PRIVILEGE_H
#define PROXY_SANDBOX_PRIVILEGE_H

#include <stdint.h>

/* Returns the effective capabilities, a bit for each number. */
uint64_t privilege_effective(void);
/* Lays capabilities down, or takes up again what is still permitted. Returns 0, or -1 with errno set. */
int privilege_set_effective(uint64_t effective);
/* Drops all capabilities but these for good. Returns 0, or -1 with errno set. */
int privilege_keep(uint64_t kept);

#endif
