/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message is put together in a buffer, and leaves in one write or as one piece of the queue (output.h), so
 * that lines of several threads do not mix. Whatever a stranger could have chosen is shown with its control
 * characters escaped.
 */
#include "proxy/run/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"
#include "proxy/run/output.h"

#define LINE_BUFFER_SIZE 2048 /* bytes; longer lines are allocated */

static enum log_level level = LOG_NORMAL;
static bool is_terminal;                                 /* standard error, as it was first asked for */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects the variables below */
static char status[256];
static struct output *queue; /* NULL: messages are written directly */
static uint64_t skipped;     /* messages, since their count was last logged */

void log_set_level(enum log_level wanted)
{
	level = wanted;
}

enum log_level log_level(void)
{
	return level;
}

/* isatty(3) is a system call, and each event asks. */
static void look_at_stderr(void)
{
	is_terminal = isatty(STDERR_FILENO);
}

bool log_is_terminal(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, look_at_stderr);
	return is_terminal;
}

/* ---- Writing; called with the lock held, except for put_visible ---- */

static bool put(const char *text, size_t size, size_t max)
{
	if (queue)
		return output_put(queue, text, size, max);
	fwrite(text, 1, size, stderr);
	return true;
}

static void put_skipped(size_t max)
{
	char text[120];
	int size;

	if (!skipped)
		return;
	size = snprintf(text, sizeof(text),
	    "deadzone: %" PRIu64 " message%s skipped: standard error was not read\n", skipped,
	    skipped == 1 ? " was" : "s were");
	if (put(text, (size_t)size, max))
		skipped = 0;
}

/* Writes complete lines above the status line, if there is one. */
static void put_lines(const char *text, size_t size, size_t max)
{
	static const char erase[] = "\r\033[K";

	put_skipped(max);
	if (status[0])
		put(erase, sizeof(erase) - 1, max);
	skipped += !put(text, size, max);
	if (status[0])
		put(status, strlen(status), max);
}

/* Escapes like text_add_visible, but returns NULL if out of memory. */
static char *escape(const char *bytes, size_t size, size_t *escaped_size)
{
	char *escaped = malloc(TEXT_ESCAPE_SIZE * size + 1), *at = escaped;

	while (escaped && size) {
		size_t visible = text_visible_prefix(bytes, size);

		memcpy(at, bytes, visible);
		at += visible;
		if (visible < size) {
			text_escape(at, bytes[visible++]);
			at += TEXT_ESCAPE_SIZE;
		}
		bytes += visible;
		size -= visible;
	}
	*escaped_size = (size_t)(at - escaped);
	return escaped;
}

/* Escapes control characters: messages quote names, paths and answers from outside. */
static void put_visible(const char *bytes, size_t size, size_t max)
{
	bool is_visible = text_visible_prefix(bytes, size) == size;
	char *escaped = is_visible ? NULL : escape(bytes, size, &size);

	pthread_mutex_lock(&lock);
	if (is_visible || escaped)
		put_lines(escaped ? escaped : bytes, size, max);
	else
		skipped++;
	pthread_mutex_unlock(&lock);
	free(escaped);
}

/* ---- Messages ---- */

static void log_message(const char *format, va_list list) __attribute__((format(printf, 1, 0)));
static void log_message(const char *format, va_list list)
{
	static const char name[] = "deadzone: ";
	const size_t head = sizeof(name) - 1;
	char buffer[LINE_BUFFER_SIZE], *line = buffer;
	va_list copy;
	size_t size;

	va_copy(copy, list);
	size = head + (size_t)vsnprintf(NULL, 0, format, copy);
	va_end(copy);
	if (size + 2 > sizeof(buffer) && !(line = malloc(size + 2))) {
		line = buffer; /* out of memory: truncate */
		size = sizeof(buffer) - 2;
	}
	memcpy(line, name, head);
	vsnprintf(line + head, size - head + 1, format, list);
	line[size] = '\n';
	put_visible(line, size + 1, LOG_QUEUE_MAX);
	if (line != buffer)
		free(line);
}

void log_notice(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	log_message(format, list);
	va_end(list);
}

void log_error(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	log_message(format, list);
	va_end(list);
}

void log_info(const char *format, ...)
{
	va_list list;

	if (level < LOG_NORMAL)
		return;
	va_start(list, format);
	log_message(format, list);
	va_end(list);
}

void log_event(const char *text)
{
	static struct timespec began;
	struct timespec now;

	if (level < LOG_NORMAL)
		return;
	if (!log_is_terminal()) {
		log_info("%s", text);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&lock);
	if (!began.tv_sec)
		began = now;
	pthread_mutex_unlock(&lock);
	log_info("%9.3f s  %s",
	    (double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9, text);
}

void log_debug(const char *format, ...)
{
	va_list list;

	if (level < LOG_VERBOSE)
		return;
	va_start(list, format);
	log_message(format, list);
	va_end(list);
}

void log_lines(const char *text, size_t size, bool must)
{
	put_visible(text, size, must ? SIZE_MAX : LOG_QUEUE_MAX);
}

void log_complaints(struct complaints *complaints)
{
	struct text text = {0};
	FILE *out = text_stream(&text);

	if (!out)
		memory_out();
	complaints_print(complaints, out);
	if (text_stream_close(out, &text))
		memory_out();
	if (text.size)
		log_lines(text.at, text.size, false);
	text_free(&text);
}

void log_status(const char *text)
{
	char line[sizeof(status) + 8];

	if (!log_is_terminal() || level < LOG_NORMAL)
		return;
	pthread_mutex_lock(&lock);
	snprintf(status, sizeof(status), "%s", text);
	snprintf(line, sizeof(line), "\r\033[K%s", status);
	put(line, strlen(line), LOG_QUEUE_MAX);
	pthread_mutex_unlock(&lock);
}

/* ---- The queue ---- */

void log_start(void)
{
	fflush(stderr);
	pthread_mutex_lock(&lock);
	queue = output_open(STDERR_FILENO);
	pthread_mutex_unlock(&lock);
}

void log_stop(ns_t patience)
{
	struct output *ended;

	pthread_mutex_lock(&lock);
	put_skipped(SIZE_MAX);
	ended = queue;
	queue = NULL;
	pthread_mutex_unlock(&lock);
	output_close(ended, patience);
}
