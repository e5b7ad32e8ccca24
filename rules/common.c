#include "rules/common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"

#define SLOTS_LEAST 1024
#define REMEMBERED_LEAST 65536
/* Two keys for each worker's next session, and free slots that end each search. */
#define SLOTS_SPARE (4 * CORES_MOST)

struct opened {
	uint64_t key;
	uint32_t count;
	uint32_t live; /* sessions that are open now; of an identity: whether one draws from it */
};

struct common {
	atomic_uint_fast64_t sessions, bytes;
	_Atomic uint32_t numbers;
	pthread_mutex_t lock; /* of what follows */
	struct opened *slots;
	size_t size, count;
};

struct common *common_new(void)
{
	struct common *common = memory_new(1, sizeof(*common));

	pthread_mutex_init(&common->lock, NULL);
	return common;
}

void common_free(struct common *common)
{
	if (!common)
		return;
	pthread_mutex_destroy(&common->lock);
	free(common->slots);
	free(common);
}

/* ---- Sessions ---- */

bool common_enter(struct common *common, uint64_t most)
{
	uint_fast64_t now = atomic_load(&common->sessions);

	do {
		if (now >= most)
			return false;
	} while (!atomic_compare_exchange_weak(&common->sessions, &now, now + 1));
	return true;
}

void common_leave(struct common *common)
{
	atomic_fetch_sub(&common->sessions, 1);
}

uint64_t common_sessions(const struct common *common)
{
	return atomic_load(&common->sessions);
}

uint32_t common_number(struct common *common)
{
	return (uint32_t)atomic_fetch_add(&common->numbers, 1) + 1;
}

void common_number_return(struct common *common, uint32_t number)
{
	uint32_t last = number;

	atomic_compare_exchange_strong(&common->numbers, &last, number - 1);
}

uint32_t common_numbers(const struct common *common)
{
	return (uint32_t)atomic_load(&common->numbers);
}

/* ---- How many sessions an address has opened ---- */

static struct opened *slot_of(struct opened *slots, size_t size, uint64_t key)
{
	size_t at = key & (size - 1);

	while (slots[at].key && slots[at].key != key)
		at = (at + 1) & (size - 1);
	return &slots[at];
}

/* Grows, or once there are more keys than it may remember forgets those without a session. Without memory it
 * goes on as it is, while a slot or two are free; else false. */
static bool make_room(struct common *common, size_t remembered)
{
	size_t most = remembered > REMEMBERED_LEAST ? remembered : REMEMBERED_LEAST;
	size_t size = common->size ? 2 * common->size : SLOTS_LEAST, count = 0;
	bool forget = common->count >= most;
	struct opened *slots;

	if (common->size && common->count < common->size / 4 * 3 && !forget)
		return true;
	if (forget)
		size = common->size;
	slots = calloc(size, sizeof(*slots));
	if (!slots)
		return common->size - common->count > SLOTS_SPARE;
	for (size_t i = 0; i < common->size; i++) {
		if (!common->slots[i].key || (forget && !common->slots[i].live))
			continue;
		*slot_of(slots, size, common->slots[i].key) = common->slots[i];
		count++;
	}
	free(common->slots);
	common->slots = slots;
	common->size = size;
	common->count = count;
	return true;
}

bool common_remembers(struct common *common, size_t remembered)
{
	bool room;

	pthread_mutex_lock(&common->lock);
	room = make_room(common, remembered);
	pthread_mutex_unlock(&common->lock);
	return room;
}

/* Under the lock. A key of 0 would be an empty slot. */
static struct opened *get(struct common *common, uint64_t key, size_t remembered)
{
	struct opened *slot;

	make_room(common, remembered); /* common_remembers saw to it that there is a slot */
	slot = slot_of(common->slots, common->size, key | 1);
	if (!slot->key) {
		slot->key = key | 1;
		common->count++;
	}
	return slot;
}

uint32_t common_opened(struct common *common, uint64_t key, size_t remembered)
{
	struct opened *slot;
	uint32_t before;

	pthread_mutex_lock(&common->lock);
	slot = get(common, key, remembered);
	slot->live++;
	before = slot->count++;
	pthread_mutex_unlock(&common->lock);
	return before;
}

bool common_identity_take(struct common *common, uint64_t key, size_t remembered)
{
	struct opened *slot;
	bool taken;

	pthread_mutex_lock(&common->lock);
	slot = get(common, key, remembered);
	taken = slot->live == 0;
	if (taken)
		slot->live = 1;
	pthread_mutex_unlock(&common->lock);
	return taken;
}

/* What is live is never forgotten: its slot is there. */
void common_let_go(struct common *common, uint64_t key)
{
	pthread_mutex_lock(&common->lock);
	slot_of(common->slots, common->size, key | 1)->live--;
	pthread_mutex_unlock(&common->lock);
}

/* ---- Bytes ---- */

uint64_t common_piece(uint64_t most)
{
	return most / (16 * CORES_MOST);
}

uint64_t common_bytes_take(struct common *common, uint64_t bytes, uint64_t most)
{
	uint_fast64_t now = atomic_load_explicit(&common->bytes, memory_order_relaxed);
	uint64_t left, taken;

	do {
		left = most > now ? most - now : 0;
		if (bytes > left)
			return 0;
		/* Near the end small pieces, so that none sits on what another needs. */
		taken = common_piece(most) < left / 16 ? common_piece(most) : left / 16;
		taken = taken > bytes ? taken : bytes;
	} while (!atomic_compare_exchange_weak(&common->bytes, &now, now + taken));
	return taken;
}

void common_bytes_give(struct common *common, uint64_t bytes)
{
	atomic_fetch_sub_explicit(&common->bytes, bytes, memory_order_relaxed);
}
