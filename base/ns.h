/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ns: the only unit of time inside deadzone, a signed count of nanoseconds.
 *
 * The caller chooses the epoch: the relay uses CLOCK_MONOTONIC, `simulate` the timestamps of the capture that
 * it reads. Only proxy/ reads a clock; all other code gets `now` as a parameter.
 */
#ifndef BASE_NS_H
#define BASE_NS_H

#include <stdint.h>

typedef int64_t ns_t;

#define NS_US ((ns_t)1000)
#define NS_MS ((ns_t)1000000)
#define NS_S ((ns_t)1000000000)
#define NS_MIN (60 * NS_S)
#define NS_HOUR (60 * NS_MIN)
#define NS_NEVER INT64_MAX
#define NS_UNKNOWN ((ns_t)-1)

/* Returns a + b, but at most NS_NEVER. b must not be negative. */
static inline ns_t ns_add(ns_t a, ns_t b)
{
	return a > NS_NEVER - b ? NS_NEVER : a + b;
}

#endif
