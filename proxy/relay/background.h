/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * background: tasks that yield the CPU to the workers, for a machine with fewer cores than threads.
 *
 * A configuration of 100,000 rules takes the better part of a second to build. On a core that a worker relays
 * on, the scheduler would let that worker wait for the builder's slices; a thread of the lowest priority
 * takes only what is left.
 */
#ifndef PROXY_BACKGROUND_H
#define PROXY_BACKGROUND_H

#include <stdbool.h>

/* memory_try, in a thread of the lowest priority; returns when the task is done. If no thread can be made,
 * the task runs in this one. */
bool background_try(void (*task)(void *user), void *user);

#endif
