/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text: a string that grows, always terminated; and the name that is nearest to a misspelt one.
 */
#include "test/unit/unit.h"

#include <inttypes.h>

#include "base/text.h"

static void test_grows(void **state)
{
	struct text text = {0};

	(void)state;
	text_add(&text, "%s", "");
	assert_string_equal(text.at, "");
	for (int i = 0; i < 1000; i++)
		text_add(&text, "%d,", i);
	assert_int_equal(text.size, strlen(text.at));
	assert_int_equal(strncmp(text.at, "0,1,2,3,", 8), 0);
	assert_string_equal(text.at + text.size - 4, "999,");
	text_clear(&text);
	assert_int_equal(text.size, 0);
	assert_string_equal(text.at, "");
	text_add_bytes(&text, "a\0b", 3);
	assert_int_equal(text.size, 3);
	assert_memory_equal(text.at, "a\0b", 4);
	text_add_bytes(&text, NULL, 0);
	assert_int_equal(text.size, 3);
	text_free(&text);
	assert_null(text.at);
	text_clear(&text);
	text_free(&text);
}

static void test_words_and_numbers(void **state)
{
	static const uint64_t numbers[] = {0, 9, 10, 99, 100, UINT32_MAX, UINT64_MAX};
	struct text text = {0};

	(void)state;
	text_add_word(&text, "");
	assert_string_equal(text.at, "");
	for (size_t i = 0; i < COUNT(numbers); i++) {
		char printed[32];

		text_clear(&text);
		text_add_word(&text, "n=");
		text_add_number(&text, numbers[i]);
		snprintf(printed, sizeof(printed), "n=%" PRIu64, numbers[i]);
		assert_string_equal(text.at, printed);
	}
	text_free(&text);
}

/* At every size, around the doublings too, the string is terminated. */
static void test_ends(void **state)
{
	(void)state;
	for (size_t size = 0; size < 300; size++) {
		struct text text = {0};
		char bytes[300];

		memset(bytes, 'x', sizeof(bytes));
		text_add_bytes(&text, bytes, size);
		assert_int_equal(strlen(text.at), size);
		text_add(&text, "%s", "end");
		assert_string_equal(text.at + size, "end");
		text_free(&text);
	}
}

/* A UTF-8 character is never cut; bytes that are not UTF-8 are. */
static void test_whole_characters(void **state)
{
	const char *text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
	static const size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};

	(void)state;
	for (size_t cap = 1; cap <= 10; cap++)
		assert_int_equal(text_whole_characters(text, 10, cap), ends[cap]);
	assert_int_equal(text_whole_characters(text, 10, 99), 10);
	assert_int_equal(text_whole_characters("\x80\x80\x80\x80", 4, 2), 2);
}

static void test_nearest(void **state)
{
	static const char *const names[] = {
	    "latency", "jitter", "loss", "loss_run", "loss_at", "rate", "queue", "mtu"};
	static const struct {
		const char *written, *nearest;
	} rows[] = {{"latncy", "latency"}, {"latenzy", "latency"}, {"laetncy", "latency"}, {"los", "loss"},
	    {"losss", "loss"}, {"loss_rn", "loss_run"}, {"mtuu", "mtu"}, {"loss", "loss"}, {"quee", "queue"},
	    {"bandwidth", NULL}, {"", NULL}, {"x", NULL},
	    {"a_word_that_is_far_longer_than_any_name_of_a_key_that_there_could_be", NULL}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *nearest = text_nearest(rows[i].written, names, COUNT(names));

		if (rows[i].nearest) {
			assert_non_null(nearest);
			assert_string_equal(nearest, rows[i].nearest);
		} else {
			assert_null(nearest);
		}
	}
	assert_null(text_nearest("loss", names, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_grows),
	    cmocka_unit_test(test_words_and_numbers),
	    cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_whole_characters),
	    cmocka_unit_test(test_nearest),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
