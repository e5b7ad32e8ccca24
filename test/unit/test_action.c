/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * action: the value of `do`, read into one struct, and the message for each mistake.
 */
#include "test/unit/unit.h"

static void test_words(void **state)
{
	(void)state;
	for (int i = 0; i < ACT_COUNT; i++) {
		assert_non_null(action_table[i].word);
		assert_non_null(action_table[i].takes);
		assert_non_null(action_table[i].what);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(action_table[i].word, action_table[k].word);
	}
	/* A timed rule can do exactly the actions that need no datagram. */
	for (int i = 0; i < ACT_COUNT; i++)
		assert_int_equal(action_table[i].timed, i == ACT_BLACKOUT || i == ACT_REBIND ||
		                                            i == ACT_LINK || i == ACT_UPSTREAM ||
		                                            i == ACT_NOTE);
}

/* Reads one `do` of a rule in a file with two links. */
static const struct action *action_of(struct given *given, const char *action)
{
	char text[512];

	snprintf(text, sizeof(text), "[link a]\n[link b]\n[rule x]\ndo = %s\n", action);
	given_read(given, text);
	assert_string_equal(given->printed, "");
	assert_int_equal(given->config->rules[0].actions.count, 1);
	return &given->config->rules[0].actions.all[0];
}

#define NONE ACTION_NO_BYTE

/* The fields that an action does not use are 0. */
static void test_figures(void **state)
{
	static const struct {
		const char *text;
		enum act act;
		uint32_t count, byte, size;
		ns_t low, high;
		uint8_t value;
		bool either;
	} rows[] = {
	    {"drop", ACT_DROP, 0, 0, 0, 0, 0, 0, false},
	    {"delay 40s", ACT_DELAY, 0, 0, 0, 40 * NS_S, 40 * NS_S, 0, false},
	    {"delay  1s-10s", ACT_DELAY, 0, 0, 0, NS_S, 10 * NS_S, 0, false},
	    {"delay 0", ACT_DELAY, 0, 0, 0, 0, 0, 0, false},
	    {"hold 3", ACT_HOLD, 3, 0, 0, 0, 0, 0, false},
	    {"hold 65535 either", ACT_HOLD, 65535, 0, 0, 0, 0, 0, true},
	    {"duplicate", ACT_DUPLICATE, 1, 0, 0, 0, 0, 0, false},
	    {"duplicate 2", ACT_DUPLICATE, 2, 0, 0, 0, 0, 0, false},
	    {"duplicate 30ms", ACT_DUPLICATE, 1, 0, 0, 30 * NS_MS, 30 * NS_MS, 0, false},
	    {"duplicate 2 30ms", ACT_DUPLICATE, 2, 0, 0, 30 * NS_MS, 30 * NS_MS, 0, false},
	    {"corrupt", ACT_CORRUPT, 1, NONE, 0, 0, 0, 0, false},
	    {"corrupt 3", ACT_CORRUPT, 3, NONE, 0, 0, 0, 0, false},
	    {"corrupt at 57", ACT_CORRUPT, 1, 57, 0, 0, 0, 0, false},
	    {"corrupt 64 at 0", ACT_CORRUPT, 64, 0, 0, 0, 0, 0, false},
	    {"decoy 2 at 5", ACT_DECOY, 2, 5, 0, 0, 0, 0, false},
	    {"decoy", ACT_DECOY, 1, NONE, 0, 0, 0, 0, false},
	    {"set 0 255", ACT_SET, 0, 0, 0, 0, 0, 255, false},
	    {"set 65506 0", ACT_SET, 0, 65506, 0, 0, 0, 0, false},
	    {"truncate 100", ACT_TRUNCATE, 0, 0, 100, 0, 0, 0, false},
	    {"truncate 0", ACT_TRUNCATE, 0, 0, 0, 0, 0, 0, false},
	    {"truncate 1KiB", ACT_TRUNCATE, 0, 0, 1024, 0, 0, 0, false},
	    {"replay 2", ACT_REPLAY, 2, 0, 0, 0, 0, 0, false},
	    {"pack 20ms", ACT_PACK, 0, 0, ACTION_PACK_SIZE, 20 * NS_MS, 20 * NS_MS, 0, false},
	    {"pack 20ms 600", ACT_PACK, 0, 0, 600, 20 * NS_MS, 20 * NS_MS, 0, false},
	    {"bypass", ACT_BYPASS, 0, 0, 0, 0, 0, 0, false},
	    {"note", ACT_NOTE, 0, 0, 0, 0, 0, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;
		const struct action *action = action_of(&given, rows[i].text);

		assert_int_equal(action->act, rows[i].act);
		assert_int_equal(action->count, rows[i].count);
		assert_int_equal(action->byte, rows[i].byte);
		assert_int_equal(action->size, rows[i].size);
		assert_int_equal(action->time.low, rows[i].low);
		assert_int_equal(action->time.high, rows[i].high);
		assert_int_equal(action->value, rows[i].value);
		assert_int_equal(action->either, rows[i].either);
		given_free(&given);
	}
}

static void test_blackout(void **state)
{
	static const struct {
		const char *text;
		bool up, down;
		enum blackout_mode mode;
		ns_t high;
	} rows[] = {
	    {"blackout 40s", true, true, BLACKOUT_DROP, 40 * NS_S},
	    {"blackout 40s both drop", true, true, BLACKOUT_DROP, 40 * NS_S},
	    {"blackout 40s up", true, false, BLACKOUT_DROP, 40 * NS_S},
	    {"blackout 40s down hold", false, true, BLACKOUT_HOLD, 40 * NS_S},
	    {"blackout 40s hold", true, true, BLACKOUT_HOLD, 40 * NS_S},
	    {"blackout 10s-40s hold up", true, false, BLACKOUT_HOLD, 40 * NS_S},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;
		const struct action *action = action_of(&given, rows[i].text);

		assert_int_equal(action->act, ACT_BLACKOUT);
		assert_int_equal(action->ways[WAY_UP], rows[i].up);
		assert_int_equal(action->ways[WAY_DOWN], rows[i].down);
		assert_int_equal(action->mode, rows[i].mode);
		assert_int_equal(action->time.high, rows[i].high);
		given_free(&given);
	}
}

static void test_bytes_order_and_names(void **state)
{
	static const uint8_t order[] = {2, 0, 1}, bytes[] = {0x40, 0x01, 0xAB, 0xcd};
	struct given given;
	const struct action *action;

	(void)state;
	action = action_of(&given, "permute 3 1 2");
	assert_int_equal(action->count, 3);
	assert_memory_equal(action->order, order, 3);
	given_free(&given);
	action = action_of(&given, "inject 4001ABcd");
	assert_int_equal(action->size, 4);
	assert_memory_equal(action->bytes, bytes, 4);
	given_free(&given);
	action = action_of(&given, "link b");
	assert_string_equal(given.config->links[action->link].name, "b");
	given_free(&given);
	action = action_of(&given, "replay client_hello");
	assert_true(action->by_kind);
	assert_int_equal(action->kinds.kinds, 1u << DTLS_KIND_CLIENT_HELLO);
	given_free(&given);
	action = action_of(&given, "replay type:22");
	assert_true(action->by_kind && action->kinds.any_types);
	given_free(&given);
}

/* Two replays of one kind share what is kept; the largest `replay N` decides how many datagrams are kept. */
static void test_replay_is_kept(void **state)
{
	struct given given;

	(void)state;
	given_read(&given, "[rule x]\ndo = replay alert\ndo = replay ack\ndo = replay alert\ndo = replay "
	                   "3\ndo = replay 2\n");
	assert_string_equal(given.printed, "");
	assert_int_equal(given.config->first_count, 2);
	assert_int_equal(
	    given.config->rules[0].actions.all[2].kept, given.config->rules[0].actions.all[0].kept);
	assert_int_not_equal(
	    given.config->rules[0].actions.all[1].kept, given.config->rules[0].actions.all[0].kept);
	assert_int_equal(given.config->recent, 3);
	given_free(&given);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
	    {"frop", "`frop` is unknown; did you mean `drop`?"},
	    {"Drop", "`Drop` is unknown; did you mean `drop`?"},
	    {"drop 5", "`drop 5` is not right; it is written `drop`"},
	    {"note this", "`note this` is not right; it is written `note`"},
	    {"delay", "`delay` is not right; it is written `delay T`"},
	    {"delay 5", "`5` lacks its unit; a time is 250us, 20ms, 1.5s, 2m or 1h"},
	    {"delay 1s 2s", "`delay 1s 2s` is not right; it is written `delay T`"},
	    {"hold", "`hold` is not right; it is written `hold N [either]`"},
	    {"hold 0", "`0` is out of range; it is 1 to 65535"},
	    {"hold 2 both", "`hold 2 both` is not right; it is written `hold N [either]`"},
	    {"duplicate 0", "`0` is out of range; it is 1 to 1000"},
	    {"duplicate 1001", "`1001` is out of range; it is 1 to 1000"},
	    {"duplicate 30ms 2", "`duplicate 30ms 2` is not right; it is written `duplicate [N] [T]`"},
	    {"corrupt 65", "`65` is out of range; it is 1 to 64"},
	    {"corrupt at", "`corrupt at` is not right; it is written `corrupt [N] [at BYTE]`"},
	    {"corrupt 1 5", "`corrupt 1 5` is not right; it is written `corrupt [N] [at BYTE]`"},
	    {"corrupt at 65507", "`65507` is out of range; it is 0 to 65506"},
	    {"decoy at", "`decoy at` is not right; it is written `decoy [N] [at BYTE]`"},
	    {"set 5", "`set 5` is not right; it is written `set BYTE VALUE`"},
	    {"set 5 256", "`256` is out of range; it is 0 to 255"},
	    {"truncate", "`truncate` is not right; it is written `truncate N`"},
	    {"truncate 65508", "`65508` is out of range; it is 0 to 65507"},
	    {"replay", "`replay` is not right; it is written `replay N or KIND`"},
	    {"replay 0", "`0` is out of range; it is 1 to 64"},
	    {"replay 65", "`65` is out of range; it is 1 to 64"},
	    {"replay client_helo", "`client_helo` is unknown; did you mean `client_hello`?"},
	    {"permute 1", "`permute 1` is not right; ORDER is 2 to 16 numbers, as in `permute 3 1 2`"},
	    {"permute 1 3", "`3` is out of range; it is 1 to 2"},
	    {"permute 0 1", "`0` is out of range; it is 1 to 2"},
	    {"permute 1 1", "`permute 1 1` names a place twice; ORDER holds each of 1 to 2 once"},
	    {"inject", "`inject` is not right; `inject` takes bytes as pairs of hex digits"},
	    {"inject 123", "`inject 123` is not right; `inject` takes bytes as pairs of hex digits"},
	    {"inject 12 34", "`inject 12 34` is not right; `inject` takes bytes as pairs of hex digits"},
	    {"inject 12g4", "`g4` is not a hex byte; `inject` takes pairs of hex digits"},
	    {"pack", "`pack` is not right; it is written `pack T [SIZE]`"},
	    {"pack 600", "`600` lacks its unit; a time is 250us, 20ms, 1.5s, 2m or 1h"},
	    {"pack 1s 0", "`0` is out of range; it is 1 to 65507"},
	    {"pack 1s-2s", "`1s-2s` has no unit of time; a time is 250us, 20ms, 1.5s, 2m or 1h"},
	    {"blackout",
	        "`blackout` is not right; it is written `blackout T [both or up or down] [drop or hold]`"},
	    {"blackout 40", "`40` lacks its unit; a time is 250us, 20ms, 1.5s, 2m or 1h"},
	    {"blackout 40s left", "`left` is unknown; it is both, up, down, drop or hold"},
	    {"blackout 40s up down", "`blackout 40s up down` is not right; it is written `blackout T [both "
	                             "or up or down] [drop or hold]`"},
	    {"blackout 40s drop hold", "`blackout 40s drop hold` is not right; it is written `blackout T "
	                               "[both or up or down] [drop or hold]`"},
	    {"rebind host", "`host` is unknown; it is port or address"},
	    {"link", "`link` is not right; it is written `link NAME`"},
	    {"link nowhere", "there is no [link nowhere]"},
	    {"bypass now", "`bypass now` is not right; it is written `bypass`"},
	    {"drop, note", "`drop, note`: one action a line; repeat `do` for another"},
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[256], want[512];

		snprintf(text, sizeof(text), "[rule x]\ndo = %s\n", rows[i].text);
		snprintf(want, sizeof(want), "t.ini:2: [rule x] do: %s\n", rows[i].want);
		wrong += complaints_differ(text, want);
	}
	assert_int_equal(wrong, 0);
}

/* If one of several `do` is wrong, the message names its line. */
static void test_mistake_in_its_line(void **state)
{
	(void)state;
	assert_complaints("[rule x]\ndo = delay 1s\ndo = set 5\ndo = note\n",
	    "t.ini:3: [rule x] do: `set 5` is not right; it is written `set BYTE VALUE`\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_figures),
	    cmocka_unit_test(test_blackout),
	    cmocka_unit_test(test_bytes_order_and_names),
	    cmocka_unit_test(test_replay_is_kept),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_mistake_in_its_line),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
