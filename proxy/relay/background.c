/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/relay/background.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"

#define LOWEST_PRIORITY 19 /* nice value, see nice(2) */

struct background {
	void (*task)(void *user);
	void *user;
	bool done;
};

static void *run_task(void *user)
{
	struct background *background = user;

	/* On Linux this affects the calling thread only. */
	(void)setpriority(PRIO_PROCESS, 0, LOWEST_PRIORITY);
	background->done = memory_try(background->task, background->user);
	return NULL;
}

bool background_try(void (*task)(void *user), void *user)
{
	struct background background = {.task = task, .user = user};
	sigset_t all, before;
	pthread_t thread;
	int failed;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the main thread */
	failed = pthread_create(&thread, NULL, run_task, &background);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		return memory_try(task, user);
	pthread_join(thread, NULL);
	return background.done;
}
