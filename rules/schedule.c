#include "rules/schedule.h"

#include <assert.h>
#include <stdlib.h>

#define ARITY 4
#define PUTS_MASK ((UINT64_C(1) << 22) - 1)

struct schedule {
	struct schedule_entry *heap;
	size_t count, room;
	/* The lane, a ring: entries that came in the order in which they are due. */
	struct schedule_entry *lane;
	size_t lane_first, lane_count, lane_room;
	uint64_t puts;
};

struct schedule *schedule_new(void)
{
	struct schedule *schedule = calloc(1, sizeof(*schedule));

	assert(schedule);
	return schedule;
}

void schedule_free(struct schedule *schedule)
{
	if (!schedule)
		return;
	free(schedule->heap);
	free(schedule->lane);
	free(schedule);
}

static bool before(const struct schedule_entry *a, const struct schedule_entry *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void set(struct schedule *schedule, size_t at, struct schedule_entry entry)
{
	schedule->heap[at] = entry;
	if (schedule_kind(&entry) == SCHEDULE_TIMER)
		((struct schedule_place *)entry.what)->at = at;
}

static void rise(struct schedule *schedule, size_t at, struct schedule_entry entry)
{
	while (at && before(&entry, &schedule->heap[(at - 1) / ARITY])) {
		set(schedule, at, schedule->heap[(at - 1) / ARITY]);
		at = (at - 1) / ARITY;
	}
	set(schedule, at, entry);
}

static void sink(struct schedule *schedule, size_t at, struct schedule_entry entry)
{
	const struct schedule_entry *heap = schedule->heap;

	for (;;) {
		size_t child = at * ARITY + 1, least, end;

		if (child >= schedule->count)
			break;
		end = child + ARITY < schedule->count ? child + ARITY : schedule->count;
		least = child;
		while (++child < end)
			if (before(&heap[child], &heap[least]))
				least = child;
		if (!before(&heap[least], &entry))
			break;
		set(schedule, at, heap[least]);
		at = least;
	}
	set(schedule, at, entry);
}

/* ---- The lane ---- */

static struct schedule_entry *lane_at(const struct schedule *schedule, size_t index)
{
	return &schedule->lane[(schedule->lane_first + index) & (schedule->lane_room - 1)];
}

static int lane_grow(struct schedule *schedule)
{
	size_t room = schedule->lane_room ? 2 * schedule->lane_room : 64;
	struct schedule_entry *lane = malloc(room * sizeof(*lane));

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
static bool lane_takes(const struct schedule *schedule, const struct schedule_entry *entry)
{
	return schedule_kind(entry) != SCHEDULE_TIMER &&
	       (!schedule->lane_count || before(lane_at(schedule, schedule->lane_count - 1), entry));
}

static bool lane_is_next(const struct schedule *schedule)
{
	return schedule->lane_count && (!schedule->count || before(lane_at(schedule, 0), &schedule->heap[0]));
}

/* ---- Both ---- */

static int heap_put(struct schedule *schedule, struct schedule_entry entry)
{
	if (schedule->count == schedule->room) {
		size_t room = schedule->room ? 2 * schedule->room : 64;
		void *heap = realloc(schedule->heap, room * sizeof(entry));

		if (!heap)
			return -1;
		schedule->heap = heap;
		schedule->room = room;
	}
	rise(schedule, schedule->count++, entry);
	return 0;
}

int schedule_put(struct schedule *schedule, ns_t due, uint64_t arrival, enum schedule_kind kind, void *what)
{
	struct schedule_entry entry = {.due = due, .what = what};

	entry.order = arrival << 24 | (schedule->puts++ & PUTS_MASK) << 2 | kind;
	if (!lane_takes(schedule, &entry))
		return heap_put(schedule, entry);
	if (schedule->lane_count == schedule->lane_room && lane_grow(schedule))
		return -1;
	*lane_at(schedule, schedule->lane_count++) = entry;
	return 0;
}

void schedule_remove(struct schedule *schedule, const struct schedule_place *place)
{
	size_t at = place->at;
	struct schedule_entry last = schedule->heap[--schedule->count];

	if (at == schedule->count)
		return;
	if (at && before(&last, &schedule->heap[(at - 1) / ARITY]))
		rise(schedule, at, last);
	else
		sink(schedule, at, last);
}

static const struct schedule_entry *earliest(const struct schedule *schedule)
{
	if (lane_is_next(schedule))
		return lane_at(schedule, 0);
	return schedule->count ? &schedule->heap[0] : NULL;
}

ns_t schedule_due(const struct schedule *schedule)
{
	const struct schedule_entry *entry = earliest(schedule);

	return entry ? entry->due : NS_NEVER;
}

bool schedule_next(struct schedule *schedule, ns_t now, struct schedule_entry *entry)
{
	const struct schedule_entry *next = earliest(schedule);

	if (!next || next->due > now)
		return false;
	*entry = *next;
	if (lane_is_next(schedule)) {
		schedule->lane_first = (schedule->lane_first + 1) & (schedule->lane_room - 1);
		schedule->lane_count--;
	} else if (--schedule->count) {
		sink(schedule, 0, schedule->heap[schedule->count]);
	}
	return true;
}

size_t schedule_count(const struct schedule *schedule)
{
	return schedule->count + schedule->lane_count;
}
