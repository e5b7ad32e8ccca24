/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"

#define ALIGN 16u
#define SKIP UINT64_MAX /* length of a skipped rest before the end of the buffer */

/* `head` and `tail` count all bytes ever put and taken; each has a cache line of its own. */
struct ring {
	_Alignas(64) atomic_size_t head;
	size_t tail_seen; /* last value of `tail` that the putting thread read */
	size_t cap;       /* bytes reserved by ring_reserve, not yet put */
	_Alignas(64) atomic_size_t tail;
	_Alignas(64) size_t size;
	uint8_t *bytes;
};

struct ring *ring_new(size_t size)
{
	struct ring *ring = aligned_alloc(64, sizeof(*ring));

	assert(size && (size & (size - 1)) == 0);
	if (!ring)
		memory_out();
	*ring = (struct ring){.size = size, .bytes = memory_malloc(size)};
	return ring;
}

void ring_free(struct ring *ring)
{
	if (!ring)
		return;
	free(ring->bytes);
	free(ring);
}

static uint64_t *length_at(struct ring *ring, size_t at)
{
	return (uint64_t *)(void *)(ring->bytes + (at & (ring->size - 1)));
}

/* A record is its total length, then its bytes, padded to ALIGN; no record wraps around the end. */
void *ring_reserve(struct ring *ring, size_t size)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	size_t whole = (ALIGN + size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	size_t to_end = ring->size - (head & (ring->size - 1));
	size_t need = whole > to_end ? to_end + whole : whole;

	if (whole > ring->size / 2) /* depending on where the end is, it might never fit */
		return NULL;
	if (head + need - ring->tail_seen > ring->size) {
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (head + need - ring->tail_seen > ring->size)
			return NULL;
	}
	if (whole > to_end) {
		*length_at(ring, head) = SKIP;
		head += to_end;
	}
	*length_at(ring, head) = whole;
	ring->cap = need;
	return (uint8_t *)length_at(ring, head) + ALIGN;
}

void ring_commit(struct ring *ring)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	atomic_store_explicit(&ring->head, head + ring->cap, memory_order_release);
}

void *ring_peek(struct ring *ring)
{
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	if (tail == head)
		return NULL;
	if (*length_at(ring, tail) == SKIP) {
		tail += ring->size - (tail & (ring->size - 1));
		atomic_store_explicit(&ring->tail, tail, memory_order_release);
	}
	return (uint8_t *)length_at(ring, tail) + ALIGN;
}

void ring_pop(struct ring *ring)
{
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	atomic_store_explicit(&ring->tail, tail + *length_at(ring, tail), memory_order_release);
}
