/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * background: tasks that yield the CPU to the workers, for a machine with fewer cores than threads.
 *
 * A configuration of 100,000 rules takes the better part of a second to build. If the builder shared a core
 * with a worker at the same priority, the worker would have to wait for the builder's time slices. A thread
 * of the lowest priority uses only the CPU time that the workers leave.
 */
#ifndef PROXY_BACKGROUND_H
#define PROXY_BACKGROUND_H

#include <stdbool.h>

/* Like memory_try, but runs `task` in a thread of the lowest priority, and returns when it is done. If no
 * thread can be created, the task runs in the calling thread. */
bool background_try(void (*task)(void *user), void *user);

#endif
