/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hidden.h"
#include "base/memory.h"

#define MIB ((size_t)1 << 20)

static int read_error(struct error *error, const char *path, const char *why)
{
	return error_set(error, "`%s` cannot be read: %s", path, why);
}

static const char *describe_kind(mode_t mode)
{
	return S_ISDIR(mode)    ? "it is a directory"
	       : S_ISFIFO(mode) ? "it is a pipe, and only a regular file can be read again"
	                        : "it is no regular file";
}

int regular_open(const char *path, bool may_wait, struct error *error)
{
	struct stat st;
	bool is_blocking;
	int fd;

	/* Check before opening: open(2) alone has side effects on some devices. */
	if (stat(path, &st)) {
		if (strncmp(path, "profile:", 8) == 0)
			return error_set(error,
			    "`%s` cannot be read: a profile is included by an ini file, `include = %s` in "
			    "[proxy]",
			    path, path);
		return read_error(error, path, strerror(errno));
	}
	is_blocking = may_wait && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode));
	if (!S_ISREG(st.st_mode) && !is_blocking)
		return read_error(error, path, describe_kind(st.st_mode));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (is_blocking ? 0 : O_NONBLOCK));
	if (fd < 0)
		return read_error(error, path, hidden_strerror(errno, path, false));
	if (!is_blocking && (fstat(fd, &st) || !S_ISREG(st.st_mode))) { /* replaced since the check */
		close(fd);
		return read_error(error, path, describe_kind(st.st_mode));
	}
	return fd;
}

static int read_all(int fd, const char *path, size_t max, struct text *whole, struct error *error)
{
	size_t start = whole->size;
	char block[65536], why[64];
	ssize_t got;

	while ((got = read(fd, block, sizeof(block))) != 0 && !whole->failed) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return read_error(error, path, strerror(errno));
		if (whole->size - start + (size_t)got > max) {
			snprintf(why, sizeof(why), "it is larger than %zu %s", max < MIB ? max : max / MIB,
			    max < MIB ? "bytes" : "MiB");
			return read_error(error, path, why);
		}
		text_add_bytes(whole, block, (size_t)got);
	}
	return 0;
}

int regular_read(int fd, const char *path, size_t max, struct text *whole, struct error *error)
{
	bool nonfatal = memory_set_nonfatal(true); /* until the file is closed */
	int failed = read_all(fd, path, max, whole, error);

	close(fd);
	memory_set_nonfatal(nonfatal);
	if (whole->failed)
		memory_out();
	return failed;
}

int regular_load(const char *path, size_t max, struct text *whole, struct error *error)
{
	int fd = regular_open(path, false, error);

	return fd < 0 ? -1 : regular_read(fd, path, max, whole, error);
}
