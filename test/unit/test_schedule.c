/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schedule: entries come out in the order of their due times, those of equal times in the order of arrival,
 * those of one arrival in the order of insertion; never early; a timer can be removed. Tested with small
 * tables, and with 10^5 random steps against a reference that sorts, within one turn of the wheel and over
 * more time than it holds.
 */
#include "test/unit/unit.h"

#include "base/chance.h"
#include "rules/schedule.h"

/* The entries in these tests point to this. A timer must begin with its place. */
struct packet_record {
	struct schedule_place place;
	ns_t due;
	uint64_t arrival;
	uint32_t put; /* how many were put in before */
	bool out;
};

static void test_order(void **state)
{
	static const struct {
		ns_t due;
		uint64_t arrival;
		int place; /* where it comes out */
	} rows[] = {{30, 1, 6}, {10, 9, 0}, {20, 5, 3}, {20, 5, 4}, {40, 1, 7}, {20, 4, 2}, {20, 6, 5},
	    {40, 2, 8}, {20, 0, 1}, {NS_NEVER, 0, 9}};
	struct schedule *schedule = schedule_new();
	struct packet_record marks[COUNT(rows)];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(schedule_put(schedule, rows[i].due, rows[i].arrival,
		                     (enum schedule_kind)(i % 3), &marks[i]),
		    0);
	assert_int_equal(schedule_count(schedule), COUNT(rows));
	for (int place = 0; place < (int)COUNT(rows); place++) {
		struct schedule_entry entry;
		size_t i;

		assert_true(schedule_next(schedule, NS_NEVER, &entry));
		i = (size_t)((struct packet_record *)entry.what - marks);
		assert_int_equal(rows[i].place, place);
		assert_int_equal(entry.due, rows[i].due);
		assert_int_equal(entry.kind, i % 3);
	}
	assert_int_equal(schedule_count(schedule), 0);
	schedule_free(schedule);
}

static void test_not_before_its_time(void **state)
{
	struct schedule *schedule = schedule_new();
	struct schedule_entry entry;
	struct packet_record mark;

	(void)state;
	assert_false(schedule_next(schedule, NS_NEVER, &entry));
	assert_int_equal(schedule_due(schedule), NS_NEVER);
	schedule_put(schedule, 10, 0, SCHEDULE_LEAVES, &mark);
	assert_int_equal(schedule_due(schedule), 10);
	assert_false(schedule_next(schedule, 9, &entry));
	assert_true(schedule_next(schedule, 10, &entry));
	assert_false(schedule_next(schedule, 10, &entry));
	/* A time before all others works like any other. */
	schedule_put(schedule, -5, 0, SCHEDULE_LEAVES, &mark);
	assert_true(schedule_next(schedule, 0, &entry));
	schedule_free(schedule);
	schedule_free(NULL);
}

static void test_remove(void **state)
{
	struct schedule *schedule = schedule_new();
	struct schedule_entry entry;
	struct packet_record timers[3] = {{.due = 30}, {.due = 10}, {.due = 20}};

	(void)state;
	for (int i = 0; i < 3; i++)
		schedule_put(schedule, timers[i].due, 0, SCHEDULE_TIMER, &timers[i]);
	schedule_remove(schedule, &timers[1].place); /* the earliest */
	assert_int_equal(schedule_due(schedule), 20);
	schedule_remove(schedule, &timers[0].place); /* the latest */
	assert_true(schedule_next(schedule, NS_NEVER, &entry));
	assert_ptr_equal(entry.what, &timers[2]);
	schedule_put(schedule, 5, 0, SCHEDULE_TIMER, &timers[0]);
	schedule_remove(schedule, &timers[0].place); /* the only one */
	assert_int_equal(schedule_count(schedule), 0);
	assert_int_equal(schedule_due(schedule), NS_NEVER);
	schedule_free(schedule);
}

/* ---- Against a reference ---- */

#define STEPS 100000u

static const ns_t scales[] = {1, 3 * NS_MS};

static struct packet_record marks[STEPS], *sorted[STEPS];

static int by_due(const void *a, const void *b)
{
	const struct packet_record *x = *(struct packet_record *const *)a,
	                           *y = *(struct packet_record *const *)b;

	if (x->due != y->due)
		return x->due < y->due ? -1 : 1;
	if (x->arrival != y->arrival)
		return x->arrival < y->arrival ? -1 : 1;
	return x->put < y->put ? -1 : 1;
}

/* Inserts all, timers and datagrams, with many equal times and arrivals, over 12,500 times `scale`. */
static struct schedule *put_all(ns_t scale)
{
	struct schedule *schedule = schedule_new();

	for (uint32_t i = 0; i < STEPS; i++) {
		struct draw draw = {chance_mix(i)};

		marks[i] = (struct packet_record){.due = scale * (ns_t)chance_below(draw, 0, STEPS / 8),
		    .arrival = chance_below(draw, 1, 4),
		    .put = i};
		sorted[i] = &marks[i];
		assert_int_equal(schedule_put(schedule, marks[i].due, marks[i].arrival,
		                     i % 2 ? SCHEDULE_TIMER : SCHEDULE_LEAVES, &marks[i]),
		    0);
	}
	return schedule;
}

static void check_sorted(ns_t scale)
{
	struct schedule *schedule = put_all(scale);
	struct schedule_entry entry;

	qsort(sorted, STEPS, sizeof(*sorted), by_due);
	for (uint32_t i = 0; i < STEPS; i++) {
		assert_int_equal(schedule_due(schedule), sorted[i]->due);
		assert_true(schedule_next(schedule, NS_NEVER, &entry));
		assert_ptr_equal(entry.what, sorted[i]);
		assert_int_equal(entry.due, sorted[i]->due);
	}
	assert_int_equal(schedule_count(schedule), 0);
	schedule_free(schedule);
}

static void test_sorts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(scales); i++)
		check_sorted(scales[i]);
}

/* Half of the timers are removed before their time; the rest come out in order all the same. */
static void check_sorted_without_removed(ns_t scale)
{
	struct schedule *schedule = put_all(scale);
	struct schedule_entry entry;
	size_t left = STEPS;

	for (uint32_t i = 1; i < STEPS; i += 4) {
		schedule_remove(schedule, &marks[i].place);
		marks[i].out = true;
		left--;
	}
	assert_int_equal(schedule_count(schedule), left);
	qsort(sorted, STEPS, sizeof(*sorted), by_due);
	for (uint32_t i = 0; i < STEPS; i++) {
		if (sorted[i]->out)
			continue;
		assert_true(schedule_next(schedule, NS_NEVER, &entry));
		assert_ptr_equal(entry.what, sorted[i]);
	}
	assert_int_equal(schedule_count(schedule), 0);
	schedule_free(schedule);
}

static void test_sorts_without_removed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(scales); i++)
		check_sorted_without_removed(scales[i]);
}

/* Entries of all times and many of one time come out in order, and a schedule may be freed when not empty. */
static void test_one_turn(void **state)
{
	struct schedule *schedule = schedule_new();
	struct schedule_entry entry;

	(void)state;
	for (uint32_t i = 0; i < STEPS; i++) {
		marks[i] = (struct packet_record){
		    .due = i < STEPS / 2 ? i : NS_S, .arrival = STEPS - i, .put = i};
		schedule_put(schedule, marks[i].due, STEPS - i, SCHEDULE_LEAVES, &marks[i]);
	}
	for (uint32_t i = 0; i < STEPS / 2; i++)
		assert_true(schedule_next(schedule, NS_S - 1, &entry));
	assert_false(schedule_next(schedule, NS_S - 1, &entry));
	for (uint32_t i = 0; i < STEPS / 4; i++) {
		assert_true(schedule_next(schedule, NS_S, &entry));
		assert_ptr_equal(entry.what, &marks[STEPS - 1 - i]);
	}
	assert_int_equal(schedule_count(schedule), STEPS / 4);
	schedule_free(schedule);
}

/* Takes out what is due; returns how many. Each comes once, not early, and not after one that should come
 * later. */
static uint32_t drain(struct schedule *schedule, ns_t now, const struct packet_record **last)
{
	struct schedule_entry entry;
	uint32_t count = 0;

	for (; schedule_next(schedule, now, &entry); count++) {
		struct packet_record *mark = entry.what;

		assert_false(mark->out);
		assert_true(mark->due <= now);
		if (*last)
			assert_true(by_due(last, &mark) < 0);
		mark->out = true;
		*last = mark;
	}
	assert_true(schedule_due(schedule) > now);
	return count;
}

/* Inserts and takes out by turns, while time runs on: nothing is inserted that is due before what came out,
 * so the whole sequence is sorted. Many wait at a time. */
static void check_mixed(ns_t scale)
{
	struct schedule *schedule = schedule_new();
	const struct packet_record *last = NULL;
	uint32_t in = 0, out = 0;
	ns_t now = 0;

	for (uint64_t step = 0; out < STEPS; step++) {
		struct draw draw = {chance_mix(step)};

		if (in < STEPS && chance_hit(draw, 0, 0.9)) {
			marks[in] = (struct packet_record){
			    .due = now + 1 + scale * (ns_t)chance_below(draw, 1, 5000),
			    .arrival = in,
			    .put = in};
			schedule_put(schedule, marks[in].due, in, in % 2 ? SCHEDULE_TIMER : SCHEDULE_LEAVES,
			    &marks[in]);
			in++;
			continue;
		}
		now += scale * (ns_t)chance_below(draw, 2, 10);
		out += drain(schedule, now, &last);
		assert_int_equal(schedule_count(schedule), in - out);
	}
	schedule_free(schedule);
}

static void test_mixed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(scales); i++)
		check_mixed(scales[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_not_before_its_time),
	    cmocka_unit_test(test_remove),
	    cmocka_unit_test(test_sorts),
	    cmocka_unit_test(test_sorts_without_removed),
	    cmocka_unit_test(test_one_turn),
	    cmocka_unit_test(test_mixed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
