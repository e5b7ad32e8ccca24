/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram: the pool hands out datagrams of every size, cleared, counted and without overlap; lists keep
 * their order.
 */
#include "test/unit/unit.h"

#include "base/chance.h"
#include "base/datagram.h"
#include "base/pool.h"

static void test_sizes(void **state)
{
	static const size_t sizes[] = {
	    0, 1, 64, 100, 1400, 1500, 1900, 2000, 4000, 9000, 20000, 40000, DATAGRAM_MAX};
	struct pool *pool = pool_new();

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct datagram *datagram = pool_get(pool, sizes[i]);

		assert_non_null(datagram);
		assert_int_equal(datagram->size, sizes[i]);
		memset(datagram->bytes, 0xa5, sizes[i]);
		datagram->n = 7;
		datagram->flags = DATAGRAM_HELD;
		datagram->arrived = datagram->due = 9;
		assert_int_equal(pool_taken(pool), 1);
		pool_put(pool, datagram);
		assert_int_equal(pool_taken(pool), 0);
		/* The next one of that size is cleared. */
		datagram = pool_get(pool, sizes[i]);
		assert_int_equal(datagram->n, 0);
		assert_int_equal(datagram->flags, 0);
		assert_int_equal(datagram->due, 0);
		assert_null(datagram->next);
		assert_null(datagram->session);
		pool_put(pool, datagram);
	}
	pool_free(pool);
	pool_free(NULL);
}

#define HELD 500

/* Datagrams are taken and given back at random: each keeps its own bytes, whatever happens to the others. */
static void test_no_overlap(void **state)
{
	struct datagram *held[HELD] = {0};
	struct pool *pool = pool_new();
	size_t taken = 0;

	(void)state;
	for (uint64_t step = 0; step < 20000; step++) {
		struct draw draw = {chance_mix(step)};
		size_t at = chance_below(draw, 0, HELD);

		if (!held[at]) {
			size_t size = chance_below(
			    draw, 1, chance_hit(draw, 2, 0.02) ? DATAGRAM_MAX + 1 : 1500);

			held[at] = pool_get(pool, size);
			assert_non_null(held[at]);
			memset(held[at]->bytes, (int)at, size);
			taken++;
		} else {
			for (uint32_t i = 0; i < held[at]->size; i++)
				if (held[at]->bytes[i] != (uint8_t)at)
					fail_msg("the bytes of datagram %zu were overwritten", at);
			pool_put(pool, held[at]);
			held[at] = NULL;
			taken--;
		}
		assert_int_equal(pool_taken(pool), taken);
	}
	pool_free(pool);
}

static void test_list(void **state)
{
	struct pool *pool = pool_new();
	struct datagram_list list = {0};
	struct datagram *all[5];

	(void)state;
	assert_null(datagram_pop(&list));
	for (int i = 0; i < 5; i++) {
		all[i] = pool_get(pool, 10);
		datagram_append(&list, all[i]);
	}
	datagram_remove(&list, all[0]); /* the first, … */
	datagram_remove(&list, all[2]); /* … one in the middle, … */
	datagram_remove(&list, all[4]); /* … the last, … */
	datagram_remove(&list, all[2]); /* … and one that is not there */
	assert_ptr_equal(list.last, all[3]);
	datagram_append(&list, all[4]);
	assert_ptr_equal(datagram_pop(&list), all[1]);
	assert_ptr_equal(datagram_pop(&list), all[3]);
	assert_ptr_equal(datagram_pop(&list), all[4]);
	assert_null(datagram_pop(&list));
	assert_null(list.last);
	datagram_append(&list, all[0]);
	assert_ptr_equal(list.first, all[0]);
	datagram_remove(&list, all[0]);
	assert_null(list.first);
	assert_null(list.last);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_no_overlap),
	    cmocka_unit_test(test_list),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
