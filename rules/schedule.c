/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slot is a due time and a pointer whose lowest bits hold the kind. The object's own order (arrival, then
 * insertion) is read only if two due times are equal. A timer knows its place in the heap, so that it can be
 * removed; datagrams are never removed, but passed over when they are due (path_unschedule).
 */
#include "rules/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache.h"
#include "base/memory.h"

#define ARITY 4
#define PUTS_MASK ((UINT64_C(1) << 24) - 1)
#define KIND_MASK ((uintptr_t)3)
#define PADDING (ARITY - 1) /* unused slots in front, so that the children of a slot share a cache line */
#define NEAR_MAX 2048       /* slots; a larger heap does not stay in the processor's cache */
#define TURN_SHIFT 20       /* a turn of the wheel is 2^TURN_SHIFT ns, about a millisecond */
#define TURNS 16384u        /* of the wheel; about 17 s in all */
#define CHUNK_SLOTS 41      /* a chunk and malloc's header take 512 bytes */

/* The pointer's target is aligned, so its lowest bits hold the kind. */
struct slot {
	ns_t due;
	uintptr_t what_and_kind;
};

/* Slots that are due in the same turn, unordered. `into` is the offset into the turn in ns. */
struct chunk {
	struct chunk *next;
	uint32_t count;
	uint32_t into[CHUNK_SLOTS];
	uintptr_t what_and_kind[CHUNK_SLOTS];
};

struct wheel {
	struct chunk *turns[TURNS]; /* by turn number modulo TURNS */
	uint64_t occupied[TURNS / 64];
	struct chunk *spare;
	size_t count; /* of slots */
	uint64_t
	    turn; /* slots of turns up to this one are in the heap; those of later ones may be in either */
};

struct schedule {
	struct slot *heap; /* the allocation starts PADDING slots earlier */
	size_t count, cap;
	struct wheel *wheel; /* NULL until needed */
	/* The lane, a ring of slots in order of their due times. */
	struct slot *lane;
	size_t lane_first, lane_count, lane_cap;
	ns_t due; /* of the earliest entry */
	uint64_t puts;
};

static void chunks_free(struct chunk *chunk)
{
	while (chunk) {
		struct chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

static void wheel_free(struct wheel *wheel)
{
	for (unsigned i = 0; wheel && i < TURNS; i++)
		chunks_free(wheel->turns[i]);
	if (wheel)
		chunks_free(wheel->spare);
	free(wheel);
}

struct schedule *schedule_new(void)
{
	struct schedule *schedule = memory_new(1, sizeof(*schedule));

	schedule->due = NS_NEVER;
	return schedule;
}

void schedule_free(struct schedule *schedule)
{
	if (!schedule)
		return;
	if (schedule->heap)
		free(schedule->heap - PADDING);
	wheel_free(schedule->wheel);
	free(schedule->lane);
	free(schedule);
}

static enum schedule_kind kind_of(const struct slot *slot)
{
	return (enum schedule_kind)(slot->what_and_kind & KIND_MASK);
}

static void *what_of(const struct slot *slot)
{
	return (void *)(slot->what_and_kind & ~KIND_MASK);
}

static uint64_t order_of(const struct slot *slot)
{
	return ((const struct schedule_order *)what_of(slot))->order;
}

/* Dereferences the pointers only if the due times are equal. */
static bool is_before(const struct slot *a, const struct slot *b)
{
	return a->due != b->due ? a->due < b->due : order_of(a) < order_of(b);
}

static void place_slot(struct schedule *schedule, size_t at, struct slot slot)
{
	schedule->heap[at] = slot;
	if (kind_of(&slot) == SCHEDULE_TIMER)
		((struct schedule_place *)what_of(&slot))->at = at;
}

static void rise(struct schedule *schedule, size_t at, struct slot slot)
{
	while (at && is_before(&slot, &schedule->heap[(at - 1) / ARITY])) {
		place_slot(schedule, at, schedule->heap[(at - 1) / ARITY]);
		at = (at - 1) / ARITY;
	}
	place_slot(schedule, at, slot);
}

/* Fills the hole at `at` with `slot`: moves the least child up into the hole, and so on to the bottom, then
 * lets the slot rise from there. The slot comes from the end of the heap and mostly belongs near the bottom,
 * so this takes fewer comparisons than sifting it down. */
static void fill_hole(struct schedule *schedule, size_t at, struct slot slot)
{
	const struct slot *heap = schedule->heap;

	for (;;) {
		size_t child = at * ARITY + 1, min, end;

		if (child >= schedule->count)
			break;
		end = child + ARITY < schedule->count ? child + ARITY : schedule->count;
		min = child;
		while (++child < end)
			if (is_before(&heap[child], &heap[min]))
				min = child;
		place_slot(schedule, at, heap[min]);
		at = min;
	}
	rise(schedule, at, slot);
}

/* ---- The wheel ---- */

static uint64_t turn_of(ns_t due)
{
	return (uint64_t)due >> TURN_SHIFT;
}

/* Returns the first chunk of a turn, with room for another slot; NULL if out of memory. */
static struct chunk *chunk_at(struct wheel *wheel, unsigned turn)
{
	struct chunk *chunk = wheel->turns[turn];

	if (chunk && chunk->count < CHUNK_SLOTS)
		return chunk;
	chunk = wheel->spare;
	if (chunk)
		wheel->spare = chunk->next;
	else if (!(chunk = malloc(sizeof(*chunk))))
		return NULL;
	chunk->next = wheel->turns[turn];
	chunk->count = 0;
	wheel->turns[turn] = chunk;
	wheel->occupied[turn / 64] |= UINT64_C(1) << turn % 64;
	return chunk;
}

/* Puts a slot into the wheel. Returns false if it must go into the heap: it is due too soon or too late for
 * the wheel, the heap is small, it is a timer (which may be removed early), or out of memory. */
static bool wheel_put(struct schedule *schedule, const struct slot *slot)
{
	struct wheel *wheel = schedule->wheel;
	uint64_t turn = turn_of(slot->due);
	struct chunk *chunk;

	if ((!wheel || !wheel->count) && schedule->count < NEAR_MAX)
		return false;
	if (!wheel && !(wheel = schedule->wheel = calloc(1, sizeof(*wheel))))
		return false;
	if (!wheel->count)
		wheel->turn = turn_of(schedule->heap[0].due);
	if (kind_of(slot) == SCHEDULE_TIMER || turn <= wheel->turn || turn - wheel->turn >= TURNS)
		return false;
	if (!(chunk = chunk_at(wheel, turn % TURNS)))
		return false;
	chunk->into[chunk->count] = (uint32_t)slot->due & ((1u << TURN_SHIFT) - 1);
	chunk->what_and_kind[chunk->count++] = slot->what_and_kind;
	wheel->count++;
	return true;
}

/* Returns the number of the next occupied turn, of which there must be one. */
static uint64_t wheel_next_turn(const struct wheel *wheel)
{
	uint64_t turn = wheel->turn + 1;

	for (;;) {
		unsigned at = turn % TURNS;
		uint64_t left = wheel->occupied[at / 64] >> at % 64;

		if (left)
			return turn + (unsigned)__builtin_ctzll(left);
		turn += 64 - at % 64;
	}
}

/* Moves a turn's slots into the heap, which must have room for them. */
static void wheel_empty_turn(struct schedule *schedule, uint64_t number)
{
	struct wheel *wheel = schedule->wheel;
	unsigned turn = number % TURNS;
	struct chunk *chunk;

	while ((chunk = wheel->turns[turn])) {
		for (uint32_t i = 0; i < chunk->count; i++)
			rise(schedule, schedule->count++,
			    (struct slot){.due = (ns_t)(number << TURN_SHIFT | chunk->into[i]),
			        .what_and_kind = chunk->what_and_kind[i]});
		wheel->count -= chunk->count;
		wheel->turns[turn] = chunk->next;
		chunk->next = wheel->spare;
		wheel->spare = chunk;
	}
	wheel->occupied[turn / 64] &= ~(UINT64_C(1) << turn % 64);
}

/* Moves slots from the wheel to the heap until none in the wheel is due before the heap's first slot. */
static void wheel_advance(struct schedule *schedule)
{
	struct wheel *wheel = schedule->wheel;

	while (wheel && wheel->count && (!schedule->count || turn_of(schedule->heap[0].due) > wheel->turn)) {
		uint64_t next = wheel_next_turn(wheel);

		if (schedule->count && turn_of(schedule->heap[0].due) < next) {
			wheel->turn = turn_of(schedule->heap[0].due);
			return;
		}
		wheel->turn = next;
		wheel_empty_turn(schedule, next);
	}
	if (wheel && !wheel->count) {
		chunks_free(wheel->spare);
		wheel->spare = NULL;
	}
}

/* ---- The lane ---- */

static struct slot *lane_at(const struct schedule *schedule, size_t index)
{
	return &schedule->lane[(schedule->lane_first + index) & (schedule->lane_cap - 1)];
}

static int lane_grow(struct schedule *schedule)
{
	size_t cap = schedule->lane_cap ? 2 * schedule->lane_cap : 64;
	struct slot *lane = malloc(cap * sizeof(*lane));

	if (!lane)
		return -1;
	for (size_t i = 0; i < schedule->lane_count; i++)
		lane[i] = *lane_at(schedule, i);
	free(schedule->lane);
	schedule->lane = lane;
	schedule->lane_first = 0;
	schedule->lane_cap = cap;
	return 0;
}

/* Timers stay out of the lane: they may be removed early, and they are due late, which would block it. */
static bool belongs_in_lane(const struct schedule *schedule, const struct slot *slot)
{
	return kind_of(slot) != SCHEDULE_TIMER &&
	       (!schedule->lane_count || is_before(lane_at(schedule, schedule->lane_count - 1), slot));
}

/* ---- All ---- */

static bool lane_is_next(const struct schedule *schedule)
{
	return schedule->lane_count &&
	       (!schedule->count || is_before(lane_at(schedule, 0), &schedule->heap[0]));
}

/* Updates `due` after an entry was removed. */
static void update_due(struct schedule *schedule)
{
	ns_t lane = schedule->lane_count ? lane_at(schedule, 0)->due : NS_NEVER, heap;

	wheel_advance(schedule);
	heap = schedule->count ? schedule->heap[0].due : NS_NEVER;
	schedule->due = lane < heap ? lane : heap;
}

static int heap_grow(struct schedule *schedule)
{
	size_t cap = schedule->cap ? 2 * schedule->cap : 64;
	struct slot *slots = aligned_alloc(CACHE_LINE, (PADDING + cap + 1) * sizeof(*slots));

	if (!slots)
		return -1;
	if (schedule->heap) {
		memcpy(slots + PADDING, schedule->heap, schedule->count * sizeof(*slots));
		free(schedule->heap - PADDING);
	}
	schedule->heap = slots + PADDING;
	schedule->cap = cap;
	return 0;
}

/* Returns the free slots of the heap, less those that the wheel's slots will need. */
static size_t heap_left(const struct schedule *schedule)
{
	return schedule->cap - schedule->count - (schedule->wheel ? schedule->wheel->count : 0);
}

bool schedule_has_room(const struct schedule *schedule, size_t more)
{
	return heap_left(schedule) >= more && schedule->lane_cap - schedule->lane_count >= more;
}

bool schedule_reserve(struct schedule *schedule, size_t more)
{
	while (heap_left(schedule) < more)
		if (heap_grow(schedule))
			return false;
	while (schedule->lane_cap - schedule->lane_count < more)
		if (lane_grow(schedule))
			return false;
	return true;
}

int schedule_put(struct schedule *schedule, ns_t due, uint64_t arrival, enum schedule_kind kind, void *what)
{
	struct slot slot = {.due = due, .what_and_kind = (uintptr_t)what | kind};

	assert(((uintptr_t)what & KIND_MASK) == 0);
	((struct schedule_order *)what)->order = arrival << 24 | (schedule->puts++ & PUTS_MASK);
	if (!belongs_in_lane(schedule, &slot)) {
		if (!heap_left(schedule) && heap_grow(schedule))
			return -1;
		if (!wheel_put(schedule, &slot))
			rise(schedule, schedule->count++, slot);
	} else {
		if (schedule->lane_count == schedule->lane_cap && lane_grow(schedule))
			return -1;
		*lane_at(schedule, schedule->lane_count++) = slot;
	}
	if (due < schedule->due)
		schedule->due = due;
	return 0;
}

void schedule_remove(struct schedule *schedule, const struct schedule_place *place)
{
	size_t at = place->at;
	struct slot last = schedule->heap[--schedule->count];

	if (at < schedule->count)
		fill_hole(schedule, at, last);
	update_due(schedule);
}

ns_t schedule_due(const struct schedule *schedule)
{
	return schedule->due;
}

bool schedule_next(struct schedule *schedule, ns_t now, struct schedule_entry *entry)
{
	const struct slot *next;
	bool from_lane;

	if (schedule->due > now || !schedule_count(schedule))
		return false;
	from_lane = lane_is_next(schedule);
	next = from_lane ? lane_at(schedule, 0) : &schedule->heap[0];
	*entry = (struct schedule_entry){.due = next->due, .kind = kind_of(next), .what = what_of(next)};
	if (from_lane) {
		schedule->lane_first = (schedule->lane_first + 1) & (schedule->lane_cap - 1);
		schedule->lane_count--;
	} else if (--schedule->count) {
		fill_hole(schedule, 0, schedule->heap[schedule->count]);
		__builtin_prefetch(what_of(&schedule->heap[0])); /* likely the next one to be taken */
	}
	update_due(schedule);
	return true;
}

size_t schedule_count(const struct schedule *schedule)
{
	return schedule->count + schedule->lane_count + (schedule->wheel ? schedule->wheel->count : 0);
}
