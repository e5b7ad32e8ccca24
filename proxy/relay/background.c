/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/relay/background.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"

#define LOWEST 19 /* of nice(2) */

struct background {
	void (*task)(void *user);
	void *user;
	bool done;
};

static void *run(void *user)
{
	struct background *background = user;

	/* On Linux the priority is the thread's own. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), LOWEST);
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
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the first thread's */
	failed = pthread_create(&thread, NULL, run, &background);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		return memory_try(task, user);
	pthread_join(thread, NULL);
	return background.done;
}
