/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring: records go from one thread to another in order and whole; only a record that does not fit is
 * refused.
 */
#include "test/unit/unit.h"

#include <pthread.h>
#include <sched.h>

#include "base/chance.h"
#include "capture/ring.h"

static void test_one_thread(void **state)
{
	struct ring *ring = ring_new(1024);
	unsigned in = 0, out = 0;

	(void)state;
	assert_null(ring_peek(ring));
	for (int round = 0; round < 100; round++) {
		uint8_t *room;

		while ((room = ring_reserve(ring, 1 + in % 200))) {
			memset(room, (int)in, 1 + in % 200);
			ring_commit(ring);
			in++;
		}
		assert_true(in > out);
		while (out < in) {
			const uint8_t *record = ring_peek(ring);

			assert_non_null(record);
			assert_ptr_equal(record, ring_peek(ring)); /* it stays until it is taken */
			for (unsigned i = 0; i < 1 + out % 200; i++)
				assert_int_equal(record[i], (uint8_t)out);
			ring_pop(ring);
			out++;
		}
		assert_null(ring_peek(ring));
	}
	ring_free(ring);
	ring_free(NULL);
}

/* Room that was reserved but not committed holds no record. */
static void test_room_without_put(void **state)
{
	struct ring *ring = ring_new(1024);

	(void)state;
	assert_non_null(ring_reserve(ring, 100));
	assert_null(ring_peek(ring));
	memset(ring_reserve(ring, 10), 1, 10);
	ring_commit(ring);
	assert_non_null(ring_peek(ring));
	ring_pop(ring);
	assert_null(ring_peek(ring));
	ring_free(ring);
}

/* A record larger than the ring is always refused, and does no harm. */
static void test_too_large(void **state)
{
	struct ring *ring = ring_new(1024);

	(void)state;
	assert_null(ring_reserve(ring, 1025));
	assert_null(ring_reserve(ring, 1 << 20));
	assert_non_null(ring_reserve(ring, 100));
	ring_commit(ring);
	ring_pop(ring);
	assert_null(ring_peek(ring));
	ring_free(ring);
}

/* An empty ring takes any record of up to half its size, wherever its head stands. */
static void test_half_always_fits(void **state)
{
	struct ring *ring = ring_new(1024);

	(void)state;
	for (size_t step = 0; step < 200; step++) {
		assert_non_null(ring_reserve(ring, 1 + step * 37 % 480));
		ring_commit(ring);
		assert_non_null(ring_peek(ring));
		ring_pop(ring);
		assert_non_null(ring_reserve(ring, 480));
		ring_commit(ring);
		assert_non_null(ring_peek(ring));
		ring_pop(ring);
	}
	ring_free(ring);
}

/* ---- Two threads ---- */

#define RECORDS 1000000u

struct record {
	uint64_t number;
	uint32_t size;
	uint8_t bytes[];
};

static size_t size_of(uint64_t number)
{
	return chance_mix(number) % 97;
}

static void *put_all(void *user)
{
	struct ring *ring = user;

	for (uint64_t i = 0; i < RECORDS; i++) {
		struct record *record;
		size_t size = size_of(i);

		while (!(record = ring_reserve(ring, sizeof(*record) + size)))
			sched_yield(); /* full: the other thread makes room */
		record->number = i;
		record->size = (uint32_t)size;
		memset(record->bytes, (int)i, size);
		ring_commit(ring);
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct ring *ring = ring_new(16384);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, put_all, ring), 0);
	for (uint64_t i = 0; i < RECORDS; i++) {
		const struct record *record;

		while (!(record = ring_peek(ring)))
			sched_yield();
		if (record->number != i || record->size != size_of(i))
			fail_msg("record %llu holds number %llu", (unsigned long long)i,
			    (unsigned long long)record->number);
		for (uint32_t k = 0; k < record->size; k++)
			if (record->bytes[k] != (uint8_t)i)
				fail_msg("record %llu is not whole", (unsigned long long)i);
		ring_pop(ring);
	}
	assert_null(ring_peek(ring));
	pthread_join(thread, NULL);
	ring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_thread),
	    cmocka_unit_test(test_room_without_put),
	    cmocka_unit_test(test_too_large),
	    cmocka_unit_test(test_half_always_fits),
	    cmocka_unit_test(test_two_threads),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
