/* SPDX-License-Identifier: BSD-2-Clause */
/* dump: random values are written exactly like jansson writes them, character by character. */
#include "test/unit/drawn.h"

#include "report/dump.h"

#define FLAGS (JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12) | JSON_ENCODE_ANY)

static json_t *drawn_string(struct dice *dice)
{
	static const char *const parts[] = {"a", "zone ", "\"", "\\", "/", "\n", "\x1b[2J", "\x01", "é",
	    "\u202e", "\u20ac", "\U0001f600", "\U0010ffff", "\xc2\x80", ""};
	struct text text = {0};
	json_t *string;

	text_add_word(&text, "");
	for (unsigned i = roll(dice, 6); i; i--)
		text_add_word(&text, parts[roll(dice, COUNT(parts))]);
	string = json_string(text.at);
	text_free(&text);
	assert_non_null(string);
	return string;
}

static double drawn_real(struct dice *dice)
{
	static const double reals[] = {0, -0.0, 1, 0.1, 1e-4, 9.9e-5, 1e-6, 5e-324, 1e300, -1e-300, 1e12,
	    1e11, 999999.999999, 1000000.5, 123456.789012, 999999999999.0, 1e15, 0.000001, 3145.727, 1.0 / 3,
	    1e6};
	double value;

	if (once_in(dice, 3))
		return reals[roll(dice, COUNT(reals))];
	value = (double)roll(dice, 1u << 30) / (double)(1 + roll(dice, 1000));
	if (once_in(dice, 2))
		value = round(value * 1e6) / 1e6;
	if (once_in(dice, 2))
		value = round(value * 1e3) / 1e3;
	return once_in(dice, 4) ? -value : value;
}

static json_t *drawn_value(struct dice *dice, unsigned depth)
{
	json_t *container;

	switch (roll(dice, depth ? 8 : 6)) {
	case 0: return json_null();
	case 1: return json_boolean(roll(dice, 2));
	case 2: return json_integer((json_int_t)roll(dice, 1u << 30) * (once_in(dice, 2) ? 1 : -1));
	case 3: return json_real(drawn_real(dice));
	case 4: return drawn_string(dice);
	case 5: return json_integer(once_in(dice, 2) ? INT64_MAX : INT64_MIN);
	case 6:
		container = json_array();
		for (unsigned i = roll(dice, 4); i; i--)
			json_array_append_new(container, drawn_value(dice, depth - 1));
		return container;
	default:
		container = json_object();
		for (unsigned i = roll(dice, 4); i; i--) {
			json_t *key = drawn_string(dice);

			json_object_set_new(container, json_string_value(key), drawn_value(dice, depth - 1));
			json_decref(key);
		}
		return container;
	}
}

static void test_like_jansson(void **state)
{
	static const struct {
		enum dump_form form;
		size_t flags;
	} forms[] = {{DUMP_COMPACT, FLAGS | JSON_COMPACT}, {DUMP_INDENTED, FLAGS | JSON_INDENT(2)}};
	struct dice dice = {6};

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		json_t *json = drawn_value(&dice, 1 + roll(&dice, 20));

		for (size_t k = 0; k < COUNT(forms); k++) {
			char *want = json_dumps(json, forms[k].flags);
			struct text text = {0};

			dump_json(json, forms[k].form, &text);
			assert_string_equal(text.at, want);
			text_free(&text);
			free(want);
		}
		json_decref(json);
	}
}

/* DEL is escaped; jansson writes it unescaped. */
static void test_del(void **state)
{
	json_t *json = json_string("a\x7f");
	struct text text = {0};

	(void)state;
	dump_json(json, DUMP_COMPACT, &text);
	assert_string_equal(text.at, "\"a\\u007F\"");
	text_free(&text);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_like_jansson),
	    cmocka_unit_test(test_del),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
