/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * units: values as they stand in ini files, read and written.
 *
 * Readers give 0, or -1 and the sentence of what is wrong and what would be right. Nothing is rounded up to a
 * default, cut or guessed: a figure without its unit is an error, but 0 needs none.
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

/* A time, or where `high` is above `low` a range from which one is drawn. */
struct time_range {
	ns_t low, high;
};

/* `low` to `high`, both included; with a period again and again: "5-8 every 8" is 5 to 8, 13 to 16 … */
struct span {
	uint64_t low, high, period; /* 0: once */
};

int units_time(const char *text, ns_t *time, struct error *error);
int units_time_range(const char *text, struct time_range *range, struct error *error);
int units_share(const char *text, double *share, struct error *error);
int units_size(const char *text, uint64_t *bytes, struct error *error);
int units_rate(const char *text, uint64_t *bits_per_second, struct error *error);
int units_whole(const char *text, uint64_t *number, struct error *error);

/* `N`, `A-B`, `A-`, `-B`; the plain numbers, or sizes with or without unit. */
int units_span(const char *text, struct span *span, struct error *error);
int units_span_of_sizes(const char *text, struct span *span, struct error *error);

static inline bool span_holds(const struct span *span, uint64_t number)
{
	if (number < span->low)
		return false;
	return (span->period ? span->low + (number - span->low) % span->period : number) <= span->high;
}

/* Shortest text that reads back as the same value: "40s", "1.5s", "250us". `room` of 32 is enough. */
const char *units_time_text(ns_t time, char *text, size_t cap);
const char *units_size_text(uint64_t bytes, char *text, size_t cap);
const char *units_span_text(const struct span *span, char *text, size_t cap);

#endif
