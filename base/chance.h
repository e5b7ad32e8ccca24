/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chance: random decisions, each a hash of what it is about.
 *
 * There is no generator and no state. A draw is a hash of the seed, the device, the number of sessions that
 * the device has opened before, the direction, the ordinal of the datagram, the name of the link or rule, and
 * the number of the draw. So no draw affects another: removing a rule, adding a session, a different order of
 * arrival or a different number of threads leaves all other draws unchanged.
 *
 * The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
 * generators, OOPSLA 2014).
 */
#ifndef BASE_CHANCE_H
#define BASE_CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "base/units.h"

static inline uint64_t chance_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* Hashes bytes, such as a name ("link:2g") or an address, into a key. */
uint64_t chance_hash(uint64_t key, const void *bytes, size_t size);

/* The draws of one link or rule for one datagram (or firing). In the functions below `number`
 * distinguishes draws. */
struct draw {
	uint64_t key;
};

/* Returns what all draws for one datagram have in common. */
static inline uint64_t chance_base(uint64_t session_key, unsigned way, uint64_t ordinal)
{
	return chance_mix(session_key + 4 * ordinal + way);
}

static inline struct draw chance_draw_of(uint64_t base, uint64_t name)
{
	return (struct draw){chance_mix(base ^ name)};
}

static inline struct draw chance_draw(uint64_t session_key, unsigned way, uint64_t ordinal, uint64_t name)
{
	return chance_draw_of(chance_base(session_key, way, ordinal), name);
}

/* Returns the draws for a copy of the datagram; `salt` distinguishes its copies. */
static inline struct draw chance_copy(struct draw draw, uint64_t salt)
{
	return (struct draw){chance_mix(draw.key ^ salt)};
}

static inline uint64_t chance_bits(struct draw draw, unsigned number)
{
	return chance_mix(draw.key + number);
}

/* Returns a number uniformly distributed on (0, 1), excluding both ends. */
static inline double chance_unit(struct draw draw, unsigned number)
{
	return ((double)(chance_bits(draw, number) >> 12) + 0.5) * 0x1p-52;
}

static inline bool chance_hit(struct draw draw, unsigned number, double share)
{
	return share > 0 && chance_unit(draw, number) < share;
}

/* Returns a number uniformly distributed on 0 … limit - 1. */
static inline uint64_t chance_below(struct draw draw, unsigned number, uint64_t limit)
{
	return (uint64_t)(((unsigned __int128)chance_bits(draw, number) * limit) >> 64);
}

/* Returns a time uniformly distributed on the range, including both ends. */
ns_t chance_time(struct draw draw, unsigned number, const struct time_range *range);

/* Standard normal distribution: the quantile of a share in (0, 1), and the share below a score. */
double chance_normal_quantile(double share);
double chance_normal_share(double score);

#endif
