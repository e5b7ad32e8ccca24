/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The number of sessions and bytes are atomic counters. How many sessions an address has opened is in an open
 * hash table with linear probing; when it has reached its greatest size, addresses without a live session are
 * forgotten.
 */
#include "rules/shared.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"

#define SLOTS_MIN 4096
#define REMEMBERED_MIN 65536
/* Free slots for two keys of each worker's next session, and to terminate each probe sequence. */
#define SLOTS_SPARE (4 * CORE_GROUP_MAX)

struct opened {
	uint64_t key;
	uint32_t count; /* sessions so far; for an identity: who has it */
	uint32_t live;  /* open sessions */
};

struct shared {
	atomic_uint_fast64_t sessions, bytes;
	_Atomic uint32_t numbers;
	pthread_mutex_t lock; /* protects the fields below */
	struct opened *slots;
	size_t size, count;
};

struct shared *shared_new(void)
{
	struct shared *shared = memory_new(1, sizeof(*shared));

	pthread_mutex_init(&shared->lock, NULL);
	return shared;
}

void shared_free(struct shared *shared)
{
	if (!shared)
		return;
	pthread_mutex_destroy(&shared->lock);
	free(shared->slots);
	free(shared);
}

/* ---- Sessions ---- */

bool shared_enter(struct shared *shared, uint64_t max)
{
	uint_fast64_t now = atomic_load(&shared->sessions);

	do {
		if (now >= max)
			return false;
	} while (!atomic_compare_exchange_weak(&shared->sessions, &now, now + 1));
	return true;
}

void shared_leave(struct shared *shared)
{
	atomic_fetch_sub(&shared->sessions, 1);
}

uint64_t shared_sessions(const struct shared *shared)
{
	return atomic_load(&shared->sessions);
}

uint32_t shared_number(struct shared *shared)
{
	return (uint32_t)atomic_fetch_add(&shared->numbers, 1) + 1;
}

void shared_number_return(struct shared *shared, uint32_t number)
{
	uint32_t last = number;

	atomic_compare_exchange_strong(&shared->numbers, &last, number - 1);
}

uint32_t shared_numbers(const struct shared *shared)
{
	return (uint32_t)atomic_load(&shared->numbers);
}

/* ---- How many sessions an address has opened ---- */

static struct opened *find_slot(struct opened *slots, size_t size, uint64_t key)
{
	size_t at = key & (size - 1);

	while (slots[at].key && slots[at].key != key)
		at = (at + 1) & (size - 1);
	return &slots[at];
}

/* Makes room for new keys: grows the table or, at the maximum, forgets the keys without a live session. If
 * out of memory, the table stays as it is; returns false if fewer than SLOTS_SPARE slots would be left. */
static bool make_room(struct shared *shared, size_t remembered)
{
	size_t max = remembered > REMEMBERED_MIN ? remembered : REMEMBERED_MIN;
	size_t size = shared->size ? 2 * shared->size : SLOTS_MIN, count = 0;
	bool forget = shared->count >= max;
	struct opened *slots;

	if (shared->size && shared->count < shared->size / 4 * 3 && !forget)
		return true;
	if (forget)
		size = shared->size;
	slots = calloc(size, sizeof(*slots));
	if (!slots)
		return shared->size - shared->count > SLOTS_SPARE;
	for (size_t i = 0; i < shared->size; i++) {
		if (!shared->slots[i].key || (forget && !shared->slots[i].live))
			continue;
		*find_slot(slots, size, shared->slots[i].key) = shared->slots[i];
		count++;
	}
	free(shared->slots);
	shared->slots = slots;
	shared->size = size;
	shared->count = count;
	return true;
}

bool shared_remembers(struct shared *shared, size_t remembered)
{
	bool has_room;

	pthread_mutex_lock(&shared->lock);
	has_room = make_room(shared, remembered);
	pthread_mutex_unlock(&shared->lock);
	return has_room;
}

/* Returns the slot of a key, adding it if needed. Call with the lock held. Keys are made odd, since 0 marks
 * an empty slot. */
static struct opened *get_slot(struct shared *shared, uint64_t key, size_t remembered)
{
	struct opened *slot;

	make_room(shared, remembered); /* best effort; shared_remembers has ensured a free slot */
	slot = find_slot(shared->slots, shared->size, key | 1);
	if (!slot->key) {
		slot->key = key | 1;
		shared->count++;
	}
	return slot;
}

uint32_t shared_opened(struct shared *shared, uint64_t key, size_t remembered)
{
	struct opened *slot;
	uint32_t before;

	pthread_mutex_lock(&shared->lock);
	slot = get_slot(shared, key, remembered);
	slot->live++;
	before = slot->count++;
	pthread_mutex_unlock(&shared->lock);
	return before;
}

bool shared_identity_take(struct shared *shared, uint64_t key, uint32_t owner, size_t remembered)
{
	struct opened *slot;
	bool taken;

	pthread_mutex_lock(&shared->lock);
	slot = get_slot(shared, key, remembered);
	taken = slot->live == 0 || (owner && slot->count == owner);
	if (taken) {
		slot->live++;
		slot->count = owner;
	}
	pthread_mutex_unlock(&shared->lock);
	return taken;
}

/* A live key is never forgotten, so its slot exists. */
void shared_release(struct shared *shared, uint64_t key)
{
	pthread_mutex_lock(&shared->lock);
	find_slot(shared->slots, shared->size, key | 1)->live--;
	pthread_mutex_unlock(&shared->lock);
}

/* ---- Bytes ---- */

uint64_t shared_piece(uint64_t max)
{
	return max / (16 * CORE_GROUP_MAX);
}

uint64_t shared_bytes_take(struct shared *shared, uint64_t bytes, uint64_t max)
{
	uint_fast64_t now = atomic_load_explicit(&shared->bytes, memory_order_relaxed);
	uint64_t left, taken;

	do {
		left = max > now ? max - now : 0;
		if (bytes > left)
			return 0;
		/* When little is left, take small pieces, so that no worker keeps what another one needs. */
		taken = shared_piece(max) < left / 16 ? shared_piece(max) : left / 16;
		taken = taken > bytes ? taken : bytes;
	} while (!atomic_compare_exchange_weak(&shared->bytes, &now, now + taken));
	return taken;
}

void shared_bytes_give(struct shared *shared, uint64_t bytes)
{
	atomic_fetch_sub_explicit(&shared->bytes, bytes, memory_order_relaxed);
}
