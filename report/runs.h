/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * runs: datagrams of one session and direction that were lost one after another, by their ordinals, told
 * while fates come in any order.
 *
 * The fates from the oldest ordinal on that is still open stand in a ring, a byte each; what is settled below
 * it is counted and forgotten.
 */
#ifndef REPORT_RUNS_H
#define REPORT_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct runs {
	uint64_t count, longest; /* runs, and datagrams in the longest */
	uint64_t run;            /* the one that goes on */
	uint8_t *ring;
	uint32_t base; /* the ordinal that stands first in the ring */
	size_t first, used, cap;
};

/* It came; its fate is open. */
void runs_arrived(struct runs *runs, uint32_t n);
void runs_settled(struct runs *runs, uint32_t n, bool lost);
/* Nothing more comes: what is open ends a run. */
void runs_end(struct runs *runs);
void runs_free(struct runs *runs);

#endif
