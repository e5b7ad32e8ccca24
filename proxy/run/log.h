/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log: messages on standard error. The level and the queue are the program's only variables that all may see.
 *
 * A command writes its messages as they come. `run`, which must never wait for whoever reads them, starts a
 * queue (log_start): what does not fit into LOG_QUEUE_MAX bytes is skipped, counted, and the count is told as
 * soon as there is room. On a terminal a status line may stand below the messages: it is wiped before a
 * message and drawn again after it.
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

/* From here on a thread of its own writes; and the end of it, which waits for a reader no longer than
 * `patience` without progress. */
void log_start(void);
void log_stop(ns_t patience);

/* A newline is added to each. Errors and notices are written at every level, information unless -q is given,
 * debug messages with -v. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An event of the run, which a terminal shows with the seconds since the program began. */
void log_event(const char *text);

/* Lines as they are, without the program's name in front. `must`: queued however much waits (the summary at
 * the end). */
void log_lines(const char *text, size_t size, bool must);

/* Of reading a configuration: every error and note. */
struct complaints;
void log_complaints(struct complaints *complaints);

/* Replaces the status line; "" takes it away. Only on a terminal. */
void log_status(const char *text);
bool log_is_terminal(void);

#endif
