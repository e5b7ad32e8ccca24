/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log: messages on standard error. Its level and queue are the program's only global state. Any thread may
 * call these functions.
 *
 * Commands write their messages directly. `run`, which must never block on whoever reads them, starts a queue
 * (log_start): messages that do not fit into LOG_QUEUE_MAX bytes are skipped and counted, and the count is
 * logged as soon as there is room. On a terminal, a status line may be shown below the messages: it is erased
 * before a message and drawn again after it.
 */
#ifndef PROXY_LOG_H
#define PROXY_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ns.h"

#define LOG_QUEUE_MAX ((size_t)1 << 20) /* bytes */

enum log_level { LOG_QUIET, LOG_NORMAL, LOG_VERBOSE };

void log_set_level(enum log_level level);
enum log_level log_level(void);

/* log_start starts a thread that writes messages from a queue; log_stop ends it, and gives up on unwritten
 * messages after `patience` without progress. */
void log_start(void);
void log_stop(ns_t patience);

/* Each adds a newline. Errors and notices are written at every level, information unless -q is given, debug
 * messages with -v only. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Logs an event of the run, on a terminal with the seconds since the first event. */
void log_event(const char *text);

/* Writes lines without the program's name in front. `must`: queue them regardless of LOG_QUEUE_MAX (for the
 * summary at the end). */
void log_lines(const char *text, size_t size, bool must);

/* Logs all errors and notes of reading a configuration. */
struct complaints;
void log_complaints(struct complaints *complaints);

/* Replaces the status line; "" removes it. Does nothing unless standard error is a terminal. */
void log_status(const char *text);
bool log_is_terminal(void);

#endif
