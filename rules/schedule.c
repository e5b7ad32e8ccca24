#include "rules/schedule.h"

#include <assert.h>
#include <stdlib.h>

#define ARITY 4
#define PUTS_MASK ((UINT64_C(1) << 22) - 1)

struct schedule {
	struct schedule_entry *heap;
	size_t count, room;
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

int schedule_put(struct schedule *schedule, ns_t due, uint64_t arrival, enum schedule_kind kind, void *what)
{
	struct schedule_entry entry = {.due = due, .what = what};

	if (schedule->count == schedule->room) {
		size_t room = schedule->room ? 2 * schedule->room : 64;
		void *heap = realloc(schedule->heap, room * sizeof(entry));

		if (!heap)
			return -1;
		schedule->heap = heap;
		schedule->room = room;
	}
	entry.order = arrival << 24 | (schedule->puts++ & PUTS_MASK) << 2 | kind;
	rise(schedule, schedule->count++, entry);
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

ns_t schedule_due(const struct schedule *schedule)
{
	return schedule->count ? schedule->heap[0].due : NS_NEVER;
}

bool schedule_next(struct schedule *schedule, ns_t now, struct schedule_entry *entry)
{
	if (!schedule->count || schedule->heap[0].due > now)
		return false;
	*entry = schedule->heap[0];
	if (--schedule->count)
		sink(schedule, 0, schedule->heap[schedule->count]);
	return true;
}

size_t schedule_count(const struct schedule *schedule)
{
	return schedule->count;
}
