/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/relay/ready.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct ready {
	int fd, count, next;
	struct epoll_event events[READY_MAX];
};

struct ready *ready_new(void)
{
	struct ready *ready = calloc(1, sizeof(*ready));

	if (!ready)
		return NULL;
	ready->fd = epoll_create1(EPOLL_CLOEXEC);
	if (ready->fd >= 0)
		return ready;
	free(ready);
	return NULL;
}

void ready_free(struct ready *ready)
{
	if (!ready)
		return;
	close(ready->fd);
	free(ready);
}

static int set_control(
    struct ready *ready, int operation, int fd, struct source *source, enum ready_events filter)
{
	static const uint32_t events[] = {[READY_READ] = EPOLLIN,
	    [READY_READ_AND_WRITE] = EPOLLIN | EPOLLOUT,
	    [READY_EDGE] = EPOLLIN | EPOLLET};
	struct epoll_event event = {.events = events[filter], .data.ptr = source};

	return epoll_ctl(ready->fd, operation, fd, &event);
}

int ready_add(struct ready *ready, int fd, struct source *source, enum ready_events filter)
{
	return set_control(ready, EPOLL_CTL_ADD, fd, source, filter);
}

void ready_change(struct ready *ready, int fd, struct source *source, enum ready_events filter)
{
	set_control(ready, EPOLL_CTL_MOD, fd, source, filter);
}

void ready_forget(struct ready *ready, int fd, struct source *source)
{
	epoll_ctl(ready->fd, EPOLL_CTL_DEL, fd, NULL);
	for (int i = ready->next; i < ready->count; i++)
		if (ready->events[i].data.ptr == source)
			ready->events[i].data.ptr = NULL;
}

int ready_wait(struct ready *ready, enum ready_mode patience)
{
	ready->next = 0;
	ready->count = epoll_wait(ready->fd, ready->events, READY_MAX, patience == READY_BLOCK ? -1 : 0);
	if (ready->count < 0)
		ready->count = 0;
	return ready->count;
}

bool ready_next(struct ready *ready)
{
	while (ready->next < ready->count) {
		const struct epoll_event *event = &ready->events[ready->next++];
		struct source *source = event->data.ptr;

		if (!source)
			continue;
		source->call(
		    source, event->events & (EPOLLIN | EPOLLERR | EPOLLHUP), event->events & EPOLLOUT);
		return true;
	}
	return false;
}

struct source *ready_peek(const struct ready *ready, int index)
{
	return ready->events[index].data.ptr;
}
