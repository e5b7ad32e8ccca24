/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reserve: memory kept back for when malloc fails, so that an accepted datagram can still get what it needs
 * on its way (a plan, a timer, a group).
 *
 * It is refilled before a datagram is accepted or a session opened; if that fails, the datagram or session is
 * refused as overload before anything has changed. The blocks come from malloc, and are freed with free().
 */
#ifndef RULES_RESERVE_H
#define RULES_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

#define RESERVE_BLOCKS 16   /* more than one datagram needs, not counting its copies */
#define RESERVE_BLOCK 2048u /* bytes; larger than any struct that is taken from it */

struct reserve {
	void *blocks[RESERVE_BLOCKS];
	unsigned count;
};

static inline bool reserve_is_full(const struct reserve *reserve)
{
	return reserve->count == RESERVE_BLOCKS;
}

/* Refills the reserve; returns false if out of memory and it is not full. */
bool reserve_fill(struct reserve *reserve);
/* Returns zeroed memory, from malloc or else from the reserve; NULL if both are out. */
void *reserve_alloc(struct reserve *reserve, size_t size);
void reserve_free(struct reserve *reserve);

#endif
