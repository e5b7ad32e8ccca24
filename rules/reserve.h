/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reserve: memory that is kept for when there is none: what a datagram that was taken in still needs on its
 * way (a plan, a timer, a group) comes from here if malloc fails.
 *
 * It is filled before a datagram is taken in or a session opened; what finds it empty is refused as overload,
 * before anything has changed. Blocks are malloc's: free() takes them.
 */
#ifndef RULES_RESERVE_H
#define RULES_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

#define RESERVE_BLOCKS 16   /* more than one datagram needs, its copies aside */
#define RESERVE_BLOCK 2048u /* bytes: more than any of the structs */

struct reserve {
	void *blocks[RESERVE_BLOCKS];
	unsigned count;
};

static inline bool reserve_is_full(const struct reserve *reserve)
{
	return reserve->count == RESERVE_BLOCKS;
}

/* False if memory is out: then it holds less than it should. */
bool reserve_fill(struct reserve *reserve);
/* Zeroed memory, from malloc or else from the reserve; NULL when both are out. */
void *reserve_get(struct reserve *reserve, size_t size);
void reserve_free(struct reserve *reserve);

#endif
