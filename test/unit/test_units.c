/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * units: values of ini files: how they are read, and the message for each bad one.
 */
#include "test/unit/unit.h"

#include "base/units.h"

static void test_time(void **state)
{
	static const struct {
		const char *text;
		ns_t time;
	} rows[] = {{"250us", 250000}, {"20ms", 20 * NS_MS}, {"1.5s", 1500 * NS_MS}, {"2m", 120 * NS_S},
	    {"1h", NS_HOUR}, {"0", 0}, {"0.0", 0}, {"0ms", 0}, {"0.25us", 250}, {"20.48s", 20480 * NS_MS},
	    {".5s", 500 * NS_MS}, {"100000h", UNITS_TIME_MAX}, {"007ms", 7 * NS_MS}, {"0.000000001s", 1}};
	struct error error;
	ns_t time;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(units_time(rows[i].text, &time, &error), 0);
		assert_int_equal(time, rows[i].time);
	}
}

static void test_time_range(void **state)
{
	static const struct {
		const char *text;
		ns_t low, high;
	} rows[] = {{"1s-10s", NS_S, 10 * NS_S}, {"0-20.48s", 0, 20480 * NS_MS}, {"0s-0s", 0, 0},
	    {"5ms", 5 * NS_MS, 5 * NS_MS}, {"900ms-1s", 900 * NS_MS, NS_S}, {"0", 0, 0}};
	struct error error;
	struct time_range range;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(units_time_range(rows[i].text, &range, &error), 0);
		assert_int_equal(range.low, rows[i].low);
		assert_int_equal(range.high, rows[i].high);
	}
}

static void test_share(void **state)
{
	static const struct {
		const char *text;
		double share;
	} rows[] = {
	    {"2%", 0.02}, {"33.333333%", 0.33333333}, {"0%", 0}, {"0", 0}, {"100%", 1}, {"0.0000001%", 1e-9}};
	struct error error;
	double share;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(units_share(rows[i].text, &share, &error), 0);
		assert_near(share, rows[i].share, 1e-16);
	}
}

static void test_size_and_rate(void **state)
{
	static const struct {
		const char *text;
		uint64_t number;
	} sizes[] = {{"1200B", 1200}, {"64KiB", 65536}, {"10MiB", 10485760}, {"1200", 1200}, {"0", 0},
	    {"1.5KiB", 1536}, {"2GiB", UINT64_C(2147483648)}},
	  rates[] = {{"18kbit", 18000}, {"1.5Mbit", 1500000}, {"1bit", 1}, {"0.3kbit", 300},
	      {"1Gbit", 1000000000}, {"1000Gbit", UINT64_C(1000000000000)}};
	struct error error;
	uint64_t number;

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(units_size(sizes[i].text, &number, &error), 0);
		assert_int_equal(number, sizes[i].number);
	}
	for (size_t i = 0; i < COUNT(rates); i++) {
		assert_int_equal(units_rate(rates[i].text, &number, &error), 0);
		assert_int_equal(number, rates[i].number);
	}
}

static void test_span(void **state)
{
	static const struct {
		const char *text;
		uint64_t low, high;
	} rows[] = {{"7", 7, 7}, {"5-9", 5, 9}, {"5-", 5, UNITS_NO_LIMIT}, {"-9", 0, 9}, {"0", 0, 0},
	    {"3-3", 3, 3}},
	  sizes[] = {{"20KiB-21KiB", 20480, 21504}, {"33", 33, 33}, {"500-600", 500, 600},
	      {"64KiB-", 65536, UNITS_NO_LIMIT}};
	struct error error;
	struct span span;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(units_span(rows[i].text, &span, &error), 0);
		assert_int_equal(span.low, rows[i].low);
		assert_int_equal(span.high, rows[i].high);
		assert_int_equal(span.period, 0);
	}
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(units_span_of_sizes(sizes[i].text, &span, &error), 0);
		assert_int_equal(span.low, sizes[i].low);
		assert_int_equal(span.high, sizes[i].high);
	}
}

static void test_span_holds(void **state)
{
	const struct span some = {5, 9, 0}, every = {5, 5, 5};

	(void)state;
	assert_false(span_holds(&some, 4));
	assert_true(span_holds(&some, 5));
	assert_true(span_holds(&some, 9));
	assert_false(span_holds(&some, 10));
	assert_false(span_holds(&every, 0));
	assert_false(span_holds(&every, 4));
	assert_true(span_holds(&every, 5));
	assert_true(span_holds(&every, 1000000));
}

/* ---- Mistakes ---- */

enum reader { TIME, RANGE, SHARE, SIZE, RATE, WHOLE, SPAN, SIZES };

static int read_by(enum reader reader, const char *text, struct error *error)
{
	union {
		ns_t time;
		struct time_range range;
		double share;
		uint64_t number;
		struct span span;
	} into;

	switch (reader) {
	case TIME: return units_time(text, &into.time, error);
	case RANGE: return units_time_range(text, &into.range, error);
	case SHARE: return units_share(text, &into.share, error);
	case SIZE: return units_size(text, &into.number, error);
	case RATE: return units_rate(text, &into.number, error);
	case WHOLE: return units_integer(text, &into.number, error);
	case SPAN: return units_span(text, &into.span, error);
	case SIZES: return units_span_of_sizes(text, &into.span, error);
	}
	return 0;
}

#define TIME_WORDS "a time is 250us, 20ms, 1.5s, 2m or 1h"
#define RATE_WORDS "a rate is 18kbit or 1.5Mbit (per second)"

static void test_mistakes(void **state)
{
	static const struct {
		enum reader reader;
		const char *text, *want;
	} rows[] = {
	    {TIME, "20", "`20` lacks its unit; " TIME_WORDS},
	    {TIME, "20msec", "`20msec` has no unit of time; did you mean 20ms? " TIME_WORDS},
	    {TIME, "20 ms", "`20 ms`: no space between number and unit, 20ms"},
	    {TIME, "20MS", "`20MS`: units are case-sensitive, 20ms"},
	    {TIME, "1e3s", "`1e3s` has no unit of time; " TIME_WORDS},
	    {TIME, "0x10s", "`0x10s` has no unit of time; " TIME_WORDS},
	    {TIME, "-5ms", "`-5ms` is negative; 0 is the least"},
	    {TIME, "ms", "`ms` is not a number"},
	    {TIME, "", "`` is not a number"},
	    {TIME, ".", "`.` is not a number"},
	    {TIME, "1.2.3s", "`1.2.3s` is not a number"},
	    {TIME, "+5ms", "`+5ms` is not a number"},
	    {TIME, "inf", "`inf` is not a number"},
	    {TIME, "100001h", "`100001h` is out of range; 100000h is the most"},
	    {TIME, "99999999999999999999999h",
	        "`99999999999999999999999h` is out of range; 100000h is the most"},
	    {TIME, "0.0001us", "`0.0001us` is finer than a nanosecond"},
	    {TIME, "1.0000000001s", "`1.0000000001s` is finer than a nanosecond"},
	    {RANGE, "10s-1s", "the range `10s-1s` runs backwards; the smaller time comes first"},
	    {RANGE, "1-10s", "`1` lacks its unit; " TIME_WORDS},
	    {RANGE, "1s-10", "`10` lacks its unit; " TIME_WORDS},
	    {RANGE, "1s-", "`` is not a number"},
	    {RANGE, "-1s", "`-1s` is negative; 0 is the least"},
	    {SHARE, "2", "`2` lacks its unit; a share is 2% or 0.5%"},
	    {SHARE, "0.02", "`0.02` lacks its unit; a share is 2% or 0.5%"},
	    {SHARE, "2 %", "`2 %`: no space between number and unit, 2%"},
	    {SHARE, "100.1%", "`100.1%` is out of range; a share is 0% to 100%"},
	    {SHARE, "-1%", "`-1%` is negative; 0 is the least"},
	    {SHARE, "2,5%", "`2,5%`: the decimal sign is a point, 2.5%"},
	    {SHARE, "5%;five", "`5%;five`: a comment behind a value needs a space before its `;`"},
	    {RATE, "10mbit", "`10mbit`: units are case-sensitive, 10Mbit"},
	    {SPAN, ">=1", "`>=1` is not a range; one is `7`, `5-9`, `5-` or `-9`"},
	    {SPAN, "yes", "`yes` is not a range; one is `7`, `5-9`, `5-` or `-9`"},
	    {SHARE, "%", "`%` is not a number"},
	    {SIZE, "64kB", "`64kB` has no unit of size; did you mean 64KiB? a size is 1200B, 64KiB or 10MiB"},
	    {SIZE, "64k", "`64k` has no unit of size; did you mean 64KiB? a size is 1200B, 64KiB or 10MiB"},
	    {SIZE, "1.5", "`1.5` is not a whole number"},
	    {SIZE, "1.0001KiB", "`1.0001KiB` is not a whole number"},
	    {SIZE, "99999999GiB", "`99999999GiB` is out of range; 9007199254740992 is the most"},
	    {SIZE, "-1", "`-1` is negative; 0 is the least"},
	    {RATE, "18", "`18` lacks its unit; " RATE_WORDS},
	    {RATE, "18kbps", "`18kbps` has no unit of rate; did you mean 18kbit? " RATE_WORDS},
	    {RATE, "18kbit/s", "`18kbit/s` has no unit of rate; did you mean 18kbit? " RATE_WORDS},
	    {RATE, "0kbit", "`0kbit` is out of range; a rate is 1bit to 1000Gbit"},
	    {RATE, "0", "`0` lacks its unit; " RATE_WORDS},
	    {RATE, "1001Gbit", "`1001Gbit` is out of range; a rate is 1bit to 1000Gbit"},
	    {WHOLE, "1.5", "`1.5` is not a whole number"},
	    {WHOLE, "5x", "`5x` is not a whole number"},
	    {WHOLE, "99999999999999999", "`99999999999999999` is out of range; 9007199254740992 is the most"},
	    {SPAN, "-", "`-` is not a range; one is `7`, `5-9`, `5-` or `-9`"},
	    {SPAN, "", "`` is not a range; one is `7`, `5-9`, `5-` or `-9`"},
	    {SPAN, "9-5", "the range `9-5` runs backwards; the smaller number comes first"},
	    {SPAN, "a-5", "`a-5` is not a range; one is `7`, `5-9`, `5-` or `-9`"},
	    {SPAN, "5-b", "`b` is not a number"},
	    {SPAN, "1-2-3", "`2-3` is not a whole number"},
	    {SIZES, "21KiB-20KiB", "the range `21KiB-20KiB` runs backwards; the smaller number comes first"},
	    {SIZES, "5kB", "`5kB` has no unit of size; did you mean 5KiB? a size is 1200B, 64KiB or 10MiB"},
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = {"(nothing)"};
		int result = read_by(rows[i].reader, rows[i].text, &error);

		if (result == -1 && strcmp(error.text, rows[i].want) == 0)
			continue;
		print_error("for `%s` got: %s\n     want: %s\n", rows[i].text, error.text, rows[i].want);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* A figure too fine to be stored is not silently rounded away. */
static void test_nothing_is_rounded_away(void **state)
{
	struct error error;
	ns_t time;
	uint64_t rate;

	(void)state;
	assert_int_equal(units_time("0.0001us", &time, &error), -1);
	assert_int_equal(units_rate("1.5bit", &rate, &error), -1);
}

/* A long run of digits is refused, not cut. */
static void test_long_figures(void **state)
{
	char text[200];
	struct error error;
	ns_t time;

	(void)state;
	memset(text, '1', sizeof(text));
	strcpy(text + 100, "ms");
	assert_int_equal(units_time(text, &time, &error), -1);
	assert_non_null(strstr(error.text, "has too many digits"));
}

/* ---- Writing ---- */

static void test_texts(void **state)
{
	static const struct {
		ns_t time;
		const char *text;
	} times[] = {{40 * NS_S, "40s"}, {1500 * NS_MS, "1.5s"}, {250000, "250us"}, {0, "0s"},
	    {NS_HOUR, "3600s"}, {20480 * NS_MS, "20.48s"}, {999 * NS_MS, "999ms"}, {500, "0.5us"}};
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {{1200, "1200B"}, {65536, "64KiB"}, {10485760, "10MiB"}, {0, "0B"}, {1536, "1536B"}};
	static const struct {
		struct span span;
		const char *text;
	} spans[] = {{{7, 7, 0}, "7"}, {{5, 9, 0}, "5-9"}, {{1, UNITS_NO_LIMIT, 0}, "1-"}, {{0, 0, 0}, "0"}};
	char text[32];
	struct error error;
	ns_t back;

	(void)state;
	for (size_t i = 0; i < COUNT(times); i++) {
		assert_string_equal(units_time_text(times[i].time, text, sizeof(text)), times[i].text);
		assert_int_equal(units_time(text, &back, &error), 0);
		assert_int_equal(back, times[i].time);
	}
	for (size_t i = 0; i < COUNT(sizes); i++)
		assert_string_equal(units_size_text(sizes[i].bytes, text, sizeof(text)), sizes[i].text);
	for (size_t i = 0; i < COUNT(spans); i++)
		assert_string_equal(units_span_text(&spans[i].span, text, sizeof(text)), spans[i].text);
}

/* Every time that is written reads back as the same one. */
static void test_round_trip(void **state)
{
	static const ns_t times[] = {1, 999, 1001, 123456789, 12 * NS_S + 345678901, 86399 * NS_S + 999999999,
	    99999 * NS_HOUR + 1, UNITS_TIME_MAX};
	char text[32];
	struct error error;
	ns_t back;

	(void)state;
	for (size_t i = 0; i < COUNT(times); i++) {
		assert_int_equal(units_time(units_time_text(times[i], text, sizeof(text)), &back, &error), 0);
		assert_int_equal(back, times[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_time_range),
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_size_and_rate),
	    cmocka_unit_test(test_span),
	    cmocka_unit_test(test_span_holds),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_nothing_is_rounded_away),
	    cmocka_unit_test(test_long_figures),
	    cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_round_trip),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
