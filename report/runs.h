/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * runs: counts runs of consecutive losses in one session and direction, while fates become known in any
 * order.
 *
 * A ring holds the fate of each datagram, a byte each, from the oldest ordinal that is still open on. Once
 * the fate of the oldest is known it is counted and removed. Zero-initialize it; call runs_arrived and
 * runs_settled for each datagram, then runs_end; runs_free releases it.
 */
#ifndef REPORT_RUNS_H
#define REPORT_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct runs {
	uint64_t count, longest; /* number of runs, and datagrams in the longest one */
	uint64_t run;            /* datagrams in the current run; 0: none */
	uint8_t *ring;
	uint32_t base; /* ordinal of the first entry of the ring */
	size_t first, used, cap;
};

/* Datagram `n` arrived; its fate is open. */
void runs_arrived(struct runs *runs, uint32_t n);
/* The fate of datagram `n` is known. */
void runs_settled(struct runs *runs, uint32_t n, bool lost);
/* Counts all entries that are left. One that is still open is not lost and ends a run. */
void runs_end(struct runs *runs);
void runs_free(struct runs *runs);

#endif
