/* SPDX-License-Identifier: BSD-2-Clause */
/* dictionary and index: what was put in is found, nothing else is, and what was removed is gone. */
#include "test/unit/drawn.h"

#include "base/dictionary.h"
#include "report/index.h"

#define NAMES 5000

static void test_dictionary(void **state)
{
	static char names[NAMES][12];
	static const char spaces[2] = {0};
	struct dictionary dictionary = {0};

	(void)state;
	assert_null(dictionary_get(&dictionary, &spaces[0], "n0"));
	for (size_t i = 0; i < NAMES; i++) {
		snprintf(names[i], sizeof(names[i]), "n%zu", i);
		dictionary_put(&dictionary, &spaces[0], names[i], names[i]);
		if (i % 2)
			dictionary_put(&dictionary, &spaces[1], names[i], names[0]);
	}
	for (size_t i = 0; i < NAMES; i++) {
		char copy[12];

		memcpy(copy, names[i], sizeof(copy));
		assert_ptr_equal(dictionary_get(&dictionary, &spaces[0], copy), names[i]);
		assert_ptr_equal(dictionary_get(&dictionary, &spaces[1], copy), i % 2 ? names[0] : NULL);
	}
	dictionary_put(&dictionary, &spaces[0], "n7", names[8]);
	assert_ptr_equal(dictionary_get(&dictionary, &spaces[0], "n7"), names[8]);
	assert_int_equal(dictionary.count, NAMES + NAMES / 2);
	assert_null(dictionary_get(&dictionary, &spaces[0], "n5000"));
	assert_null(dictionary_get(&dictionary, &spaces[0], ""));
	dictionary_free(&dictionary);
}

/* Compares the index with an array, using keys that collide in their low bits. */
static void test_index(void **state)
{
	static uint32_t model[512];
	struct index index = {0};
	struct dice dice = {3};
	size_t count = 0;

	(void)state;
	memset(model, 0xff, sizeof(model));
	for (unsigned i = 0; i < 100000; i++) {
		unsigned place = roll(&dice, COUNT(model));
		uint64_t key = (uint64_t)place << 48 | place % 4;

		assert_int_equal(index_find(&index, key), model[place]);
		if (once_in(&dice, 2)) {
			index_remove(&index, key);
			count -= model[place] != INDEX_NONE;
			model[place] = INDEX_NONE;
		} else if (model[place] == INDEX_NONE) {
			index_add(&index, key, i);
			model[place] = i;
			count++;
		}
		assert_int_equal(index.count, count);
	}
	index_free(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dictionary),
	    cmocka_unit_test(test_index),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
