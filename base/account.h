/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * account: counters for the datagrams of one session in one direction.
 *
 * Invariant, at every moment: received + copies = sent + sum of dropped[] + queued.
 */
#ifndef BASE_ACCOUNT_H
#define BASE_ACCOUNT_H

#include <stdint.h>

#include "base/verdict.h"

struct account {
	uint64_t received, bytes; /* datagrams that arrived, and their payload bytes */
	uint64_t copies, sent, queued;
	uint64_t dropped[REASON_COUNT];
	uint64_t corrupted; /* received datagrams in which a bit was flipped */
	uint64_t reordered; /* sent after a datagram that had arrived later; copies are not counted */
};

static inline uint64_t account_dropped(const struct account *account)
{
	uint64_t sum = 0;

	for (int i = 0; i < REASON_COUNT; i++)
		sum += account->dropped[i];
	return sum;
}

static inline void account_merge(struct account *into, const struct account *from)
{
	into->received += from->received;
	into->bytes += from->bytes;
	into->copies += from->copies;
	into->sent += from->sent;
	into->queued += from->queued;
	for (int i = 0; i < REASON_COUNT; i++)
		into->dropped[i] += from->dropped[i];
	into->corrupted += from->corrupted;
	into->reordered += from->reordered;
}

#endif
