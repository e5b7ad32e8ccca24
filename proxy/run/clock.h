/* SPDX-License-Identifier: BSD-2-Clause */
/* clock: the two clocks of a run, in nanoseconds. */
#ifndef PROXY_RUN_CLOCK_H
#define PROXY_RUN_CLOCK_H

#include "base/units.h"

/* CLOCK_MONOTONIC: what intervals and due times are measured by; it never steps. */
ns_t clock_now(void);
/* CLOCK_REALTIME: since 1970; it may step. */
ns_t clock_wall(void);

#endif
