/*
 * log: what the user is told on standard error. The level is the program's only variable that all may see.
 *
 * On a terminal a status line may stand below the messages: it is wiped before a message and drawn again
 * after it.
 */
#ifndef PROXY_LOG_H
#define PROXY_LOG_H

#include <stdbool.h>

enum log_level { LOG_QUIET, LOG_NORMAL, LOG_VERBOSE };

void log_set_level(enum log_level level);
enum log_level log_level(void);

/* Errors and what must always be told; what is worth knowing; what -v asks for. A newline is added. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Replaces the status line; "" takes it away. Only on a terminal. */
void log_status(const char *text);
bool log_is_terminal(void);

#endif
