/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pieces are in a linked list. The thread writes the first one without the lock, and takes it off the list
 * afterwards, so that output_close knows what was not written. If memory is out, one piece of RESERVE bytes
 * is left, for the message that says so.
 */
#include "proxy/run/output.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RESERVE 2048 /* bytes; room for a message or the ready line when out of memory */

struct piece {
	struct piece *next;
	size_t size, written;
	bool is_reserve;
	char bytes[];
};

struct output {
	int fd;
	pthread_t thread;
	/* Protected by `lock`: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct piece *first, *last;
	struct piece *reserve; /* NULL while it is in the queue */
	size_t waiting;        /* bytes */
	bool closing;          /* the thread ends when the queue is empty */
	bool broken;           /* the reader is gone: everything is discarded */
	bool done;             /* the thread is about to end */
};

/* Writes as much of a piece as possible. Returns -1 if the reader is gone. */
static int write_piece(struct output *output, struct piece *piece)
{
	struct pollfd writable = {.fd = output->fd, .events = POLLOUT};
	ssize_t wrote = write(output->fd, piece->bytes + piece->written, piece->size - piece->written);

	if (wrote < 0 && errno == EAGAIN)
		poll(&writable, 1, 1000); /* another process made the stream non-blocking */
	if (wrote < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	pthread_mutex_lock(&output->lock);
	piece->written += (size_t)wrote;
	output->waiting -= (size_t)wrote;
	pthread_cond_broadcast(&output->changed);
	pthread_mutex_unlock(&output->lock);
	return 0;
}

/* Waits for a piece and returns the oldest, or NULL if the output is closing and the queue is empty. */
static struct piece *next_piece(struct output *output)
{
	struct piece *piece;

	pthread_mutex_lock(&output->lock);
	while (!output->first && !output->closing)
		pthread_cond_wait(&output->changed, &output->lock);
	piece = output->first;
	pthread_mutex_unlock(&output->lock);
	return piece;
}

/* Called with the lock held. */
static void piece_free(struct output *output, struct piece *piece)
{
	if (piece->is_reserve)
		output->reserve = piece;
	else
		free(piece);
}

static void remove_first(struct output *output)
{
	struct piece *piece;

	pthread_mutex_lock(&output->lock);
	piece = output->first;
	output->first = piece->next;
	if (!output->first)
		output->last = NULL;
	piece_free(output, piece);
	pthread_mutex_unlock(&output->lock);
}

/* Returns a piece for `size` bytes: the reserve if out of memory, or NULL if that is in use or too small. */
static struct piece *piece_new(struct output *output, size_t size)
{
	struct piece *piece = malloc(sizeof(*piece) + size);
	bool is_reserve = !piece && size <= RESERVE;

	if (is_reserve) {
		pthread_mutex_lock(&output->lock);
		piece = output->reserve;
		output->reserve = NULL;
		pthread_mutex_unlock(&output->lock);
	}
	if (piece)
		*piece = (struct piece){.size = size, .is_reserve = is_reserve};
	return piece;
}

static void *writer_thread(void *user)
{
	struct output *output = user;
	struct piece *piece;

	pthread_setname_np(pthread_self(), "output");
	while ((piece = next_piece(output))) {
		bool broken = false;

		while (piece->written < piece->size && !broken)
			broken = write_piece(output, piece) != 0;
		if (broken) {
			pthread_mutex_lock(&output->lock);
			output->broken = true;
			pthread_mutex_unlock(&output->lock);
		}
		remove_first(output);
	}
	pthread_mutex_lock(&output->lock);
	output->done = true;
	pthread_cond_broadcast(&output->changed);
	pthread_mutex_unlock(&output->lock);
	return NULL;
}

static void output_free(struct output *output)
{
	pthread_mutex_destroy(&output->lock);
	pthread_cond_destroy(&output->changed);
	free(output->reserve);
	free(output);
}

struct output *output_open(int fd)
{
	struct output *output = calloc(1, sizeof(*output));
	pthread_condattr_t monotonic;
	sigset_t all, before;
	int failure;

	if (!output)
		return NULL;
	output->reserve = malloc(sizeof(*output->reserve) + RESERVE);
	if (!output->reserve) {
		free(output);
		return NULL;
	}
	output->fd = fd;
	pthread_mutex_init(&output->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&output->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failure = pthread_create(&output->thread, NULL, writer_thread, output);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure) {
		output_free(output);
		return NULL;
	}
	return output;
}

bool output_put(struct output *output, const void *bytes, size_t size, size_t max)
{
	struct piece *piece = piece_new(output, size);
	bool fits;

	if (!piece)
		return false;
	memcpy(piece->bytes, bytes, size);
	pthread_mutex_lock(&output->lock);
	fits = !output->broken && output->waiting + size <= max;
	if (fits) {
		*(output->last ? &output->last->next : &output->first) = piece;
		output->last = piece;
		output->waiting += size;
		pthread_cond_broadcast(&output->changed);
	} else {
		piece_free(output, piece);
	}
	pthread_mutex_unlock(&output->lock);
	return fits;
}

/* Returns the time `patience` from now, on the clock of `changed`. */
static struct timespec deadline_after(ns_t patience)
{
	struct timespec at;
	ns_t end;

	clock_gettime(CLOCK_MONOTONIC, &at);
	end = at.tv_sec * NS_S + at.tv_nsec + patience;
	return (struct timespec){.tv_sec = end / NS_S, .tv_nsec = end % NS_S};
}

size_t output_close(struct output *output, ns_t patience)
{
	size_t left;
	bool done, has_progress = true;

	if (!output)
		return 0;
	pthread_mutex_lock(&output->lock);
	output->closing = true;
	pthread_cond_broadcast(&output->changed);
	while (!output->done && has_progress) {
		struct timespec deadline = deadline_after(patience);
		size_t before = output->waiting;

		has_progress = false;
		while (!output->done && !has_progress &&
		       !pthread_cond_timedwait(&output->changed, &output->lock, &deadline))
			has_progress = output->waiting != before;
	}
	left = output->waiting;
	done = output->done;
	pthread_mutex_unlock(&output->lock);
	if (done) {
		pthread_join(output->thread, NULL);
		output_free(output);
	} else {
		pthread_detach(output->thread);
	}
	return left;
}
