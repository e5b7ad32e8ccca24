/* SPDX-License-Identifier: BSD-2-Clause */
/* clock: the clocks of the capture's thread, in nanoseconds. */
#ifndef CAPTURE_CLOCK_H
#define CAPTURE_CLOCK_H

#include <time.h>

#include "base/ns.h"

static inline ns_t capture_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_S + now.tv_nsec;
}

static inline ns_t monotonic(void)
{
	return capture_clock(CLOCK_MONOTONIC);
}

#endif
