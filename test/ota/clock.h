/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock: time as a device counts it, in milliseconds since the start of the program. With a scale of N it
 * runs N times faster than wall-clock time, and so do all timers based on it. Scale 1 is real time.
 *
 * Invariant: all times in these programs are this clock's; only clock_wait uses real time.
 */
#ifndef OTA_CLOCK_H
#define OTA_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER UINT64_MAX

struct clock {
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	unsigned scale;
};

void clock_start(struct clock *clock, unsigned scale);
uint64_t clock_ms(const struct clock *clock);

/* Waits until fd is readable and returns 1, or until until_ms, a signal or 200 ms and returns 0. */
int clock_wait(const struct clock *clock, int fd, uint64_t until_ms);

#endif
