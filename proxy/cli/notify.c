/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/cli/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX 1024
#define WATCHDOG_LEAST 20000 /* us: each beat pauses the workers */

bool notify_is_wanted(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && (*path == '/' || *path == '@') && path[1];
}

void notify(const char *format, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = path ? strlen(path) : 0;
	char message[MESSAGE_MAX];
	va_list list;
	int fd;

	if (!notify_is_wanted() || size >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, size);
	if (*path == '@') /* an abstract name */
		address.sun_path[0] = '\0';
	va_start(list, format);
	vsnprintf(message, sizeof(message), format, list);
	va_end(list);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (*path == '/')));
	close(fd);
}

/* Reads a variable that holds a number; 0: it holds none. */
static uint64_t number_in(const char *name)
{
	const char *text = getenv(name);
	char *end = NULL;
	uint64_t number = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;

	return end && !*end ? number : 0;
}

ns_t notify_watchdog(void)
{
	uint64_t microseconds = number_in("WATCHDOG_USEC");

	if (!notify_is_wanted() ||
	    (getenv("WATCHDOG_PID") && number_in("WATCHDOG_PID") != (uint64_t)getpid()))
		return 0;
	if (!microseconds || microseconds > (uint64_t)INT64_MAX / 1000)
		return 0;
	microseconds = microseconds > WATCHDOG_LEAST ? microseconds : WATCHDOG_LEAST;
	return (ns_t)microseconds * NS_US / 2;
}
