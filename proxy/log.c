#include "proxy/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level level = LOG_NORMAL;
static char status[256];

void log_set_level(enum log_level wanted)
{
	level = wanted;
}

enum log_level log_level(void)
{
	return level;
}

bool log_is_terminal(void)
{
	return isatty(STDERR_FILENO);
}

static void say(const char *format, va_list list) __attribute__((format(printf, 1, 0)));
static void say(const char *format, va_list list)
{
	flockfile(stderr); /* several workers may tell at once; it guards `status` too */
	if (status[0])
		fputs("\r\033[K", stderr);
	fputs("deadzone: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	if (status[0])
		fputs(status, stderr);
	fflush(stderr);
	funlockfile(stderr);
}

void log_error(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say(format, list);
	va_end(list);
}

void log_tell(const char *format, ...)
{
	va_list list;

	if (level < LOG_NORMAL)
		return;
	va_start(list, format);
	say(format, list);
	va_end(list);
}

void log_detail(const char *format, ...)
{
	va_list list;

	if (level < LOG_VERBOSE)
		return;
	va_start(list, format);
	say(format, list);
	va_end(list);
}

void log_status(const char *text)
{
	if (!log_is_terminal() || level < LOG_NORMAL)
		return;
	flockfile(stderr);
	snprintf(status, sizeof(status), "%s", text);
	fprintf(stderr, "\r\033[K%s", status);
	fflush(stderr);
	funlockfile(stderr);
}
