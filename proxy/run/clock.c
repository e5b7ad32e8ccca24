/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/run/clock.h"

#include <time.h>

static ns_t read_clock(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return now.tv_sec * NS_S + now.tv_nsec;
}

ns_t clock_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

ns_t clock_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}
