/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A number is checked digit by digit before strtod sees it, and its unit is looked up in a table; an unknown
 * unit is answered with the one that was likely meant. Times are computed in integers, so that none is
 * rounded.
 */
#include "base/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_SIZE 64                     /* bytes of a number as text, with its NUL */
#define UNITS_WHOLE_MAX 9007199254740992.0 /* 2^53: a double represents every integer up to it */

/* Splits "1.5ms" into its number and its unit. The number is plain decimal: no sign, exponent or blank. */
static int read_number_and_unit(const char *text, double *value, const char **unit, struct error *error)
{
	char digits[NUMBER_SIZE];
	size_t size = strspn(text, "0123456789.");
	const char *dot = memchr(text, '.', size);

	if (text[0] == '-')
		return error_set(error, "`%s` is negative; 0 is the least", text);
	if (size == 0 || (dot && (size == 1 || memchr(dot + 1, '.', size - (size_t)(dot + 1 - text)))))
		return error_set(error, "`%s` is not a number", text);
	if (size >= sizeof(digits))
		return error_set(error, "`%s` has too many digits", text);
	memcpy(digits, text, size);
	digits[size] = '\0';
	*value = strtod(digits, NULL);
	*unit = text + size;
	return 0;
}

struct unit {
	const char *name;
	double worth;
};

/* Names of units in other tools. */
static const struct {
	const char *word, *unit;
} unit_words[] = {{"sec", "s"}, {"secs", "s"}, {"second", "s"}, {"seconds", "s"}, {"msec", "ms"},
    {"msecs", "ms"}, {"usec", "us"}, {"usecs", "us"}, {"\xc2\xb5s", "us"}, {"min", "m"}, {"mins", "m"},
    {"hr", "h"}, {"hours", "h"}, {"bps", "bit"}, {"kbps", "kbit"}, {"mbps", "Mbit"}, {"gbps", "Gbit"},
    {"bit/s", "bit"}, {"kbit/s", "kbit"}, {"mbit/s", "Mbit"}, {"k", "KiB"}, {"kb", "KiB"}, {"m", "MiB"},
    {"mb", "MiB"}, {"g", "GiB"}, {"gb", "GiB"}, {"percent", "%"}};

static const struct unit *unit_find(const struct unit *units, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(units[i].name, name) == 0)
			return &units[i];
	return NULL;
}

/* Returns the unit that was probably meant by `name`, which is not a unit: the same in another case, or
 * another tool's word for one; or NULL. */
static const char *guess_unit(const struct unit *units, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(units[i].name, name) == 0)
			return units[i].name;
	for (size_t i = 0; i < sizeof(unit_words) / sizeof(*unit_words); i++)
		if (strcasecmp(unit_words[i].word, name) == 0 && unit_find(units, count, unit_words[i].unit))
			return unit_words[i].unit;
	return NULL;
}

/* Sets *error to why the unit `name` in `text` is missing or wrong, and returns -1. `kind` is as in "unit
 * of time", `examples` as in "a time is 20ms". */
static int unit_error(const char *text, const char *name, const struct unit *units, size_t count,
    const char *kind, const char *examples, struct error *error)
{
	int number_size = (int)(name - text);
	const char *trimmed = name + strspn(name, " \t"), *meant = guess_unit(units, count, trimmed);

	if (name[0] == ',' && isdigit((unsigned char)name[1]))
		return error_set(
		    error, "`%s`: the decimal sign is a point, %.*s.%s", text, number_size, text, name + 1);
	if (strchr(name, ';') || strchr(name, '#'))
		return error_set(error, "`%s`: a comment behind a value needs a space before its `;`", text);
	if (meant && trimmed > name)
		return error_set(
		    error, "`%s`: no space between number and unit, %.*s%s", text, number_size, text, meant);
	if (meant && strcasecmp(meant, trimmed) == 0)
		return error_set(
		    error, "`%s`: units are case-sensitive, %.*s%s", text, number_size, text, meant);
	if (meant)
		return error_set(error, "`%s` has no %s; did you mean %.*s%s? %s", text, kind, number_size,
		    text, meant, examples);
	if (!*name)
		return error_set(error, "`%s` lacks its unit; %s", text, examples);
	return error_set(error, "`%s` has no %s; %s", text, kind, examples);
}

/* Computes the exact nanoseconds of a number of units of `worth` nanoseconds. Returns false if they are
 * not a whole number. `digits` must be valid. */
static bool exact_ns(const char *digits, ns_t worth, ns_t *time)
{
	__int128 sum = 0, scale = worth;
	bool fraction = false;

	for (; (*digits >= '0' && *digits <= '9') || *digits == '.'; digits++) {
		if (*digits == '.') {
			fraction = true;
		} else if (!fraction) {
			sum = sum * 10 + (*digits - '0') * (__int128)worth;
		} else {
			if (scale % 10 && *digits != '0')
				return false;
			scale /= 10;
			sum += (*digits - '0') * scale;
		}
	}
	*time = (ns_t)sum;
	return true;
}

int units_time(const char *text, ns_t *time, struct error *error)
{
	static const struct unit units[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
	const struct unit *unit;
	const char *name;
	double value;

	if (read_number_and_unit(text, &value, &name, error))
		return -1;
	if (*name == '\0' && value == 0) {
		*time = 0;
		return 0;
	}
	unit = unit_find(units, sizeof(units) / sizeof(*units), name);
	if (!unit)
		return unit_error(text, name, units, sizeof(units) / sizeof(*units), "unit of time",
		    "a time is 250us, 20ms, 1.5s, 2m or 1h", error);
	if (value * unit->worth > (double)UNITS_TIME_MAX)
		return error_set(error, "`%s` is out of range; 100000h is the most", text);
	if (!exact_ns(text, (ns_t)unit->worth, time))
		return error_set(error, "`%s` is finer than a nanosecond", text);
	return 0;
}

int units_time_range(const char *text, struct time_range *range, struct error *error)
{
	char low[NUMBER_SIZE];
	const char *dash = strchr(text, '-');

	if (!dash || dash == text) {
		if (units_time(text, &range->low, error))
			return -1;
		range->high = range->low;
		return 0;
	}
	if ((size_t)(dash - text) >= sizeof(low))
		return error_set(error, "`%s` is not a time or a range like 1s-10s", text);
	memcpy(low, text, (size_t)(dash - text));
	low[dash - text] = '\0';
	if (units_time(low, &range->low, error) || units_time(dash + 1, &range->high, error))
		return -1;
	if (range->high < range->low)
		return error_set(error, "the range `%s` runs backwards; the smaller time comes first", text);
	return 0;
}

int units_share(const char *text, double *share, struct error *error)
{
	static const struct unit units[] = {{"%", 0.01}};
	const char *unit;
	double value;

	if (read_number_and_unit(text, &value, &unit, error))
		return -1;
	if (strcmp(unit, "%") != 0 && !(value == 0 && *unit == '\0'))
		return unit_error(text, unit, units, 1, "unit", "a share is 2% or 0.5%", error);
	if (value > 100)
		return error_set(error, "`%s` is out of range; a share is 0%% to 100%%", text);
	*share = value / 100;
	return 0;
}

static int to_whole(const char *text, double value, uint64_t *number, struct error *error)
{
	if (value > UNITS_WHOLE_MAX)
		return error_set(error, "`%s` is out of range; %.0f is the most", text, UNITS_WHOLE_MAX);
	if (value != floor(value))
		return error_set(error, "`%s` is not a whole number", text);
	*number = (uint64_t)value;
	return 0;
}

int units_size(const char *text, uint64_t *bytes, struct error *error)
{
	static const struct unit units[] = {
	    {"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
	const struct unit *unit;
	const char *name;
	double value;

	if (read_number_and_unit(text, &value, &name, error))
		return -1;
	unit = unit_find(units, sizeof(units) / sizeof(*units), name);
	if (!unit)
		return unit_error(text, name, units, sizeof(units) / sizeof(*units), "unit of size",
		    "a size is 1200B, 64KiB or 10MiB", error);
	return to_whole(text, value * unit->worth, bytes, error);
}

int units_rate(const char *text, uint64_t *bits_per_second, struct error *error)
{
	static const struct unit units[] = {{"bit", 1}, {"kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}};
	const struct unit *unit;
	const char *name;
	double value;

	if (read_number_and_unit(text, &value, &name, error))
		return -1;
	unit = unit_find(units, sizeof(units) / sizeof(*units), name);
	if (!unit)
		return unit_error(text, name, units, sizeof(units) / sizeof(*units), "unit of rate",
		    "a rate is 18kbit or 1.5Mbit (per second)", error);
	if (value * unit->worth < 1 || value * unit->worth > 1e12)
		return error_set(error, "`%s` is out of range; a rate is 1bit to 1000Gbit", text);
	return to_whole(text, round(value * unit->worth * 1e3) / 1e3, bits_per_second, error);
}

int units_integer(const char *text, uint64_t *number, struct error *error)
{
	const char *unit;
	double value;

	if (read_number_and_unit(text, &value, &unit, error))
		return -1;
	if (*unit)
		return error_set(error, "`%s` is not a whole number", text);
	return to_whole(text, value, number, error);
}

typedef int read_number(const char *text, uint64_t *number, struct error *error);

static int span_read(const char *text, struct span *span, read_number *read, struct error *error)
{
	char low[NUMBER_SIZE];
	const char *dash = strchr(text, '-');
	size_t size = dash ? (size_t)(dash - text) : strlen(text);

	*span = (struct span){.low = 0, .high = UNITS_NO_LIMIT};
	if (size >= sizeof(low) || strcmp(text, "-") == 0 || !(isdigit((unsigned char)*text) || *text == '-'))
		return error_set(error, "`%s` is not a range; one is `7`, `5-9`, `5-` or `-9`", text);
	memcpy(low, text, size);
	low[size] = '\0';
	if (size && read(low, &span->low, error))
		return -1;
	if (!dash)
		span->high = span->low;
	else if (dash[1] && read(dash + 1, &span->high, error))
		return -1;
	if (span->high < span->low)
		return error_set(
		    error, "the range `%s` runs backwards; the smaller number comes first", text);
	return 0;
}

int units_span(const char *text, struct span *span, struct error *error)
{
	return span_read(text, span, units_integer, error);
}

int units_span_of_sizes(const char *text, struct span *span, struct error *error)
{
	return span_read(text, span, units_size, error);
}

const char *units_time_text(ns_t time, char *text, size_t cap)
{
	static const struct {
		ns_t worth;
		int digits;
		const char *name;
	} units[] = {{NS_S, 9, "s"}, {NS_MS, 6, "ms"}, {NS_US, 3, "us"}};
	size_t i = 0;
	int size;

	while (i < 2 && time < units[i].worth)
		i++;
	if (time == 0)
		i = 0;
	size = snprintf(text, cap, "%" PRId64 ".%0*" PRId64, time / units[i].worth, units[i].digits,
	    time % units[i].worth);
	while (size > 0 && text[size - 1] == '0')
		size--;
	if (size > 0 && text[size - 1] == '.')
		size--;
	snprintf(text + size, cap - (size_t)size, "%s", units[i].name);
	return text;
}

const char *units_size_text(uint64_t bytes, char *text, size_t cap)
{
	if (bytes && bytes % 1048576 == 0)
		snprintf(text, cap, "%" PRIu64 "MiB", bytes / 1048576);
	else if (bytes && bytes % 1024 == 0)
		snprintf(text, cap, "%" PRIu64 "KiB", bytes / 1024);
	else
		snprintf(text, cap, "%" PRIu64 "B", bytes);
	return text;
}

const char *units_span_text(const struct span *span, char *text, size_t cap)
{
	if (span->high == UNITS_NO_LIMIT)
		snprintf(text, cap, "%" PRIu64 "-", span->low);
	else if (span->low == span->high)
		snprintf(text, cap, "%" PRIu64, span->low);
	else
		snprintf(text, cap, "%" PRIu64 "-%" PRIu64, span->low, span->high);
	return text;
}
