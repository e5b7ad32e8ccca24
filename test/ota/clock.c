/* SPDX-License-Identifier: BSD-2-Clause */
#include "clock.h"

#include <poll.h>
#include <stddef.h>
#include <time.h>

#define NS_PER_S 1000000000u
#define NS_PER_MS 1000000u
#define LONGEST_WAIT_NS (NS_PER_S / 5) /* a signal just before the wait is noticed this late */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void clock_start(struct clock *clock, unsigned scale)
{
	clock->start_ns = now_ns();
	clock->scale = scale;
}

uint64_t clock_ms(const struct clock *clock)
{
	return (now_ns() - clock->start_ns) * clock->scale / NS_PER_MS;
}

int clock_wait(const struct clock *clock, int fd, uint64_t until_ms)
{
	struct pollfd watched = {.fd = fd, .events = POLLIN};
	uint64_t now = clock_ms(clock), left_ms = until_ms > now ? until_ms - now : 0, left_ns;
	struct timespec wait;

	left_ns = left_ms > UINT32_MAX ? LONGEST_WAIT_NS : left_ms * NS_PER_MS / clock->scale;
	if (left_ns > LONGEST_WAIT_NS)
		left_ns = LONGEST_WAIT_NS;
	wait.tv_sec = (time_t)(left_ns / NS_PER_S);
	wait.tv_nsec = (long)(left_ns % NS_PER_S);
	return ppoll(&watched, 1, &wait, NULL) > 0;
}
