#include "rules/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache.h"
#include "base/memory.h"

#define ARITY 4
#define PUTS_MASK ((UINT64_C(1) << 24) - 1)
#define KIND_MASK ((uintptr_t)3)
#define PADDING (ARITY - 1) /* unused slots in front: the children of one slot share a line */

/* What it points to is aligned: the lowest bits are free for the kind. */
struct slot {
	ns_t due;
	uintptr_t what_and_kind;
};

struct schedule {
	struct slot *heap; /* behind the padding */
	size_t count, room;
	/* The lane, a ring: what came in the order in which it is due. */
	struct slot *lane;
	size_t lane_first, lane_count, lane_room;
	ns_t due; /* of the earliest in both */
	uint64_t puts;
};

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

/* Only equals need a look at what they point to. */
static bool before(const struct slot *a, const struct slot *b)
{
	return a->due != b->due ? a->due < b->due : order_of(a) < order_of(b);
}

static void set(struct schedule *schedule, size_t at, struct slot slot)
{
	schedule->heap[at] = slot;
	if (kind_of(&slot) == SCHEDULE_TIMER)
		((struct schedule_place *)what_of(&slot))->at = at;
}

static void rise(struct schedule *schedule, size_t at, struct slot slot)
{
	while (at && before(&slot, &schedule->heap[(at - 1) / ARITY])) {
		set(schedule, at, schedule->heap[(at - 1) / ARITY]);
		at = (at - 1) / ARITY;
	}
	set(schedule, at, slot);
}

/* Fills the place `at`: the least child moves up into it, and so on to the bottom; from there the slot rises.
 * It comes from the end of the heap and mostly belongs there, so this takes fewer looks than to compare it on
 * the way down. */
static void refill(struct schedule *schedule, size_t at, struct slot slot)
{
	const struct slot *heap = schedule->heap;

	for (;;) {
		size_t child = at * ARITY + 1, least, end;

		if (child >= schedule->count)
			break;
		end = child + ARITY < schedule->count ? child + ARITY : schedule->count;
		least = child;
		while (++child < end)
			if (before(&heap[child], &heap[least]))
				least = child;
		set(schedule, at, heap[least]);
		at = least;
	}
	rise(schedule, at, slot);
}

/* ---- The lane ---- */

static struct slot *lane_at(const struct schedule *schedule, size_t index)
{
	return &schedule->lane[(schedule->lane_first + index) & (schedule->lane_room - 1)];
}

static int lane_grow(struct schedule *schedule)
{
	size_t room = schedule->lane_room ? 2 * schedule->lane_room : 64;
	struct slot *lane = malloc(room * sizeof(*lane));

	if (!lane)
		return -1;
	for (size_t i = 0; i < schedule->lane_count; i++)
		lane[i] = *lane_at(schedule, i);
	free(schedule->lane);
	schedule->lane = lane;
	schedule->lane_first = 0;
	schedule->lane_room = room;
	return 0;
}

/* Timers may be taken out from the middle, and are far off: they would block the lane. */
static bool lane_takes(const struct schedule *schedule, const struct slot *slot)
{
	return kind_of(slot) != SCHEDULE_TIMER &&
	       (!schedule->lane_count || before(lane_at(schedule, schedule->lane_count - 1), slot));
}

/* ---- Both ---- */

static bool lane_is_next(const struct schedule *schedule)
{
	return schedule->lane_count && (!schedule->count || before(lane_at(schedule, 0), &schedule->heap[0]));
}

/* After one was taken out. */
static void due_renew(struct schedule *schedule)
{
	ns_t lane = schedule->lane_count ? lane_at(schedule, 0)->due : NS_NEVER;
	ns_t heap = schedule->count ? schedule->heap[0].due : NS_NEVER;

	schedule->due = lane < heap ? lane : heap;
}

static int heap_grow(struct schedule *schedule)
{
	size_t room = schedule->room ? 2 * schedule->room : 64;
	struct slot *whole = aligned_alloc(CACHE_LINE, (PADDING + room + 1) * sizeof(*whole));

	if (!whole)
		return -1;
	if (schedule->heap) {
		memcpy(whole + PADDING, schedule->heap, schedule->count * sizeof(*whole));
		free(schedule->heap - PADDING);
	}
	schedule->heap = whole + PADDING;
	schedule->room = room;
	return 0;
}

bool schedule_has_room(const struct schedule *schedule, size_t more)
{
	return schedule->room - schedule->count >= more && schedule->lane_room - schedule->lane_count >= more;
}

bool schedule_reserve(struct schedule *schedule, size_t more)
{
	while (schedule->room - schedule->count < more)
		if (heap_grow(schedule))
			return false;
	while (schedule->lane_room - schedule->lane_count < more)
		if (lane_grow(schedule))
			return false;
	return true;
}

int schedule_put(struct schedule *schedule, ns_t due, uint64_t arrival, enum schedule_kind kind, void *what)
{
	struct slot slot = {.due = due, .what_and_kind = (uintptr_t)what | kind};

	assert(((uintptr_t)what & KIND_MASK) == 0);
	((struct schedule_order *)what)->order = arrival << 24 | (schedule->puts++ & PUTS_MASK);
	if (!lane_takes(schedule, &slot)) {
		if (schedule->count == schedule->room && heap_grow(schedule))
			return -1;
		rise(schedule, schedule->count++, slot);
	} else {
		if (schedule->lane_count == schedule->lane_room && lane_grow(schedule))
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
		refill(schedule, at, last);
	due_renew(schedule);
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
		schedule->lane_first = (schedule->lane_first + 1) & (schedule->lane_room - 1);
		schedule->lane_count--;
	} else if (--schedule->count) {
		refill(schedule, 0, schedule->heap[schedule->count]);
		__builtin_prefetch(what_of(&schedule->heap[0])); /* likely the next one asked for */
	}
	due_renew(schedule);
	return true;
}

size_t schedule_count(const struct schedule *schedule)
{
	return schedule->count + schedule->lane_count;
}
