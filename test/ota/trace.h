/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trace: log lines in the format of Device OS, `0000021234 [comm.ota] WARN: text`, on standard output. The
 * timestamp is the clock's, in milliseconds.
 */
#ifndef OTA_TRACE_H
#define OTA_TRACE_H

#include "clock.h"

void trace_info(const struct clock *clock, const char *category, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void trace_warn(const struct clock *clock, const char *category, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
