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

ns_t notify_watchdog(void)
{
	const char *period = getenv("WATCHDOG_USEC"), *process = getenv("WATCHDOG_PID");
	uint64_t microseconds = period ? strtoull(period, NULL, 10) : 0;

	if (process && strtoull(process, NULL, 10) != (uint64_t)getpid())
		return 0;
	return microseconds > (uint64_t)INT64_MAX / 1000 ? 0 : (ns_t)(microseconds * NS_US / 2);
}
