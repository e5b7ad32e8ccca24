#include "rules/schedule.h"

#include <assert.h>
#include <stdlib.h>

#define ARITY 4

struct schedule {
	struct schedule_entry *heap;
	size_t count, room;
	uint64_t order;
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

int schedule_put(struct schedule *schedule, ns_t due, enum schedule_kind kind, void *what)
{
	struct schedule_entry entry = {.due = due, .order = schedule->order << 2 | kind, .what = what};
	size_t at = schedule->count;

	if (at == schedule->room) {
		size_t room = at ? 2 * at : 64;
		void *heap = realloc(schedule->heap, room * sizeof(entry));

		if (!heap)
			return -1;
		schedule->heap = heap;
		schedule->room = room;
	}
	schedule->order++;
	schedule->count++;
	while (at && before(&entry, &schedule->heap[(at - 1) / ARITY])) {
		schedule->heap[at] = schedule->heap[(at - 1) / ARITY];
		at = (at - 1) / ARITY;
	}
	schedule->heap[at] = entry;
	return 0;
}

ns_t schedule_due(const struct schedule *schedule)
{
	return schedule->count ? schedule->heap[0].due : NS_NEVER;
}

static void sink(struct schedule *schedule, struct schedule_entry entry)
{
	struct schedule_entry *heap = schedule->heap;
	size_t at = 0;

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
		heap[at] = heap[least];
		at = least;
	}
	heap[at] = entry;
}

bool schedule_next(struct schedule *schedule, ns_t now, struct schedule_entry *entry)
{
	if (!schedule->count || schedule->heap[0].due > now)
		return false;
	*entry = schedule->heap[0];
	if (--schedule->count)
		sink(schedule, schedule->heap[schedule->count]);
	return true;
}

size_t schedule_count(const struct schedule *schedule)
{
	return schedule->count;
}
