/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void print(const struct clock *clock, const char *category, const char *level, const char *format,
    va_list rest) __attribute__((format(printf, 4, 0)));

static void print(
    const struct clock *clock, const char *category, const char *level, const char *format, va_list rest)
{
	printf("%010" PRIu64 " [%s] %s: ", clock_ms(clock), category, level);
	vprintf(format, rest);
	putchar('\n');
	fflush(stdout);
}

void trace_info(const struct clock *clock, const char *category, const char *format, ...)
{
	va_list rest;

	va_start(rest, format);
	print(clock, category, "INFO", format, rest);
	va_end(rest);
}

void trace_warn(const struct clock *clock, const char *category, const char *format, ...)
{
	va_list rest;

	va_start(rest, format);
	print(clock, category, "WARN", format, rest);
	va_end(rest);
}
