/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * units: parses and formats the values of ini files.
 *
 * Parsers return 0, or -1 and set *error to a sentence that says what is wrong and what would be right.
 * Nothing is truncated, guessed or replaced by a default: a number without its unit is an error, except that
 * 0 needs no unit.
 *
 *   time   250us 20ms 1.5s 2m 1h           nanoseconds
 *   share  2% 33.333333%                   0 to 1
 *   size   1200B 64KiB 10MiB, 1200         bytes
 *   rate   bit kbit Mbit Gbit (SI)         bits per second
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/ns.h"

#define UNITS_TIME_MAX (100000 * NS_HOUR)
#define UNITS_NO_LIMIT UINT64_MAX

/* A time or, if `high` is above `low`, a range from which a time is drawn. */
struct time_range {
	ns_t low, high;
};

/* `low` to `high`, both included; with a period it repeats: "5-8 every 8" is 5 to 8, 13 to 16 … */
struct span {
	uint64_t low, high, period; /* 0: it does not repeat */
};

int units_time(const char *text, ns_t *time, struct error *error);
int units_time_range(const char *text, struct time_range *range, struct error *error);
int units_share(const char *text, double *share, struct error *error);
int units_size(const char *text, uint64_t *bytes, struct error *error);
int units_rate(const char *text, uint64_t *bits_per_second, struct error *error);
int units_integer(const char *text, uint64_t *number, struct error *error);

/* Parse `N`, `A-B`, `A-`, `-B`, of plain numbers, or of sizes with or without unit. */
int units_span(const char *text, struct span *span, struct error *error);
int units_span_of_sizes(const char *text, struct span *span, struct error *error);

static inline bool span_holds(const struct span *span, uint64_t number)
{
	if (number < span->low)
		return false;
	return (span->period ? span->low + (number - span->low) % span->period : number) <= span->high;
}

/* Write the shortest text that parses to the same value, such as "40s", "1.5s" or "250us", and return it.
 * `cap` of 32 is enough. */
const char *units_time_text(ns_t time, char *text, size_t cap);
const char *units_size_text(uint64_t bytes, char *text, size_t cap);
const char *units_span_text(const struct span *span, char *text, size_t cap);

#endif
