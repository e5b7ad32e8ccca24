/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots: each slot begins at a cache line, is cleared and overlaps no other; slots given back are handed out
 * again.
 */
#include "test/unit/unit.h"

#include "base/cache.h"
#include "base/slots.h"

#define SIZE 700  /* no whole number of cache lines */
#define MANY 9000 /* several of the largest pieces */

static void test_own(void **state)
{
	static unsigned char *all[MANY];
	struct slots *slots = slots_new(SIZE);

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		all[i] = slots_get(slots);
		assert_non_null(all[i]);
		assert_int_equal((uintptr_t)all[i] % CACHE_LINE, 0);
		assert_true(all[i][0] == 0 && memcmp(all[i], all[i] + 1, SIZE - 1) == 0);
		memset(all[i], (int)(i % 255) + 1, SIZE);
	}
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(all[i][0], i % 255 + 1);
		assert_memory_equal(all[i], all[i] + 1, SIZE - 1);
		slots_put(slots, all[i]);
	}
	slots_free(slots);
	slots_free(NULL);
}

static int ascending(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

/* However often all are taken and given back, the memory stays the same, but for slots that are kept back. */
static void test_again(void **state)
{
	static void *all[MANY], *seen[4 * MANY];
	struct slots *slots = slots_new(SIZE);
	size_t count = 0, different = 0;

	(void)state;
	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < MANY; i++) {
			all[i] = seen[count++] = slots_get(slots);
			assert_non_null(all[i]);
			assert_true(*(unsigned char *)all[i] == 0);
			memset(all[i], 0xa5, SIZE);
		}
		for (size_t i = 0; i < MANY; i++)
			slots_put(slots, all[(i * 7) % MANY]);
	}
	slots_free(slots);
	qsort(seen, count, sizeof(*seen), ascending);
	for (size_t i = 0; i < count; i++)
		different += i == 0 || seen[i] != seen[i - 1];
	assert_in_range(different, MANY, MANY + 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_own),
	    cmocka_unit_test(test_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
