/* SPDX-License-Identifier: BSD-2-Clause */
/* clock: the two clocks of a run, in nanoseconds. */
#ifndef PROXY_RUN_CLOCK_H
#define PROXY_RUN_CLOCK_H

#include "base/units.h"

/* Returns CLOCK_MONOTONIC, which never steps; used for intervals and due times. */
ns_t clock_now(void);
/* Returns CLOCK_REALTIME, the time since 1970, which may step. */
ns_t clock_wall(void);

#endif
