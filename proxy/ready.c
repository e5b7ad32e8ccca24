#include "proxy/ready.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct ready {
	int fd, count, at;
	struct epoll_event events[READY_MOST];
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

int ready_fd(const struct ready *ready)
{
	return ready->fd;
}

int ready_add(struct ready *ready, int fd, void *who)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};

	return epoll_ctl(ready->fd, EPOLL_CTL_ADD, fd, &event);
}

void ready_wish(struct ready *ready, int fd, void *who, enum ready_wish wish)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};

	if (wish == READY_READ_AND_WRITE)
		event.events |= EPOLLOUT;
	epoll_ctl(ready->fd, EPOLL_CTL_MOD, fd, &event);
}

void ready_forget(struct ready *ready, int fd, void *who)
{
	epoll_ctl(ready->fd, EPOLL_CTL_DEL, fd, NULL);
	for (int i = ready->at; i < ready->count; i++)
		if (ready->events[i].data.ptr == who)
			ready->events[i].data.ptr = NULL;
}

int ready_wait(struct ready *ready)
{
	ready->at = 0;
	ready->count = epoll_wait(ready->fd, ready->events, READY_MOST, 0);
	if (ready->count < 0)
		ready->count = 0;
	return ready->count;
}

void *ready_next(struct ready *ready, bool *readable, bool *writable)
{
	while (ready->at < ready->count) {
		const struct epoll_event *event = &ready->events[ready->at++];

		if (!event->data.ptr)
			continue;
		*readable = event->events & (EPOLLIN | EPOLLERR | EPOLLHUP);
		*writable = event->events & EPOLLOUT;
		return event->data.ptr;
	}
	return NULL;
}

void *ready_peek(const struct ready *ready, int index)
{
	return ready->events[index].data.ptr;
}
