/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/hidden.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

static bool is_confined;

void hidden_begin(void)
{
	is_confined = true;
}

/* Opens what writing `path` needs: the file, or its folder if there is no such file. Returns a descriptor, -1
 * with errno set, or -1 with errno 0 if access(2) does not grant it either. */
static int try_writing(const char *path)
{
	char folder[PATH_MAX];

	if (access(path, F_OK) == 0)
		return access(path, W_OK) == 0 ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
		                               : (errno = 0, -1);
	text_folder(path, folder, sizeof(folder));
	return access(folder, W_OK | X_OK) == 0 ? open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600)
	                                        : (errno = 0, -1);
}

bool hidden_is(const char *path, bool for_writing)
{
	int saved = errno, fd;
	bool is_hidden;

	if (!is_confined || (!for_writing && access(path, R_OK)))
		return errno = saved, false;
	fd = for_writing ? try_writing(path) : open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	is_hidden = fd < 0 && errno == EACCES;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return is_hidden;
}

const char *hidden_strerror(int error, const char *path, bool for_writing)
{
	return error == EACCES && hidden_is(path, for_writing) ? HIDDEN_REASON : strerror(error);
}
