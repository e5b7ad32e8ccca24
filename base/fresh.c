/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The new file has no name (O_TMPFILE) until it is published or, if the file system cannot do that, a hidden
 * temporary one in the same folder. A rename then gives it its name. Nothing waits for the disk: a power
 * failure may lose the new contents, the end of the process does not.
 */
#include "base/fresh.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hidden.h"
#include "base/memory.h"
#include "base/text.h"

#define TEMPORARY_TRIES 1000
#define STUCK_MS 500 /* a FIFO whose reader reads nothing for this long is given up */

/* Sets *error from errno, which stays as it was. Returns -1. */
static int write_error(const char *path, struct error *error)
{
	int saved = errno;

	error_set(error, "`%s` cannot be written: %s", path,
	    saved == ENXIO ? "nobody reads it" : hidden_strerror(saved, path, true));
	errno = saved;
	return -1;
}

/* Returns "/a/.b.json.XXXXXX" for "/a/b.json" and "XXXXXX"; NULL: out of memory. */
static char *name_beside(const char *target, const char *ending)
{
	const char *slash = strrchr(target, '/');
	int folder = slash ? (int)(slash + 1 - target) : 0;
	char *name;

	return asprintf(&name, "%.*s.%s.%s", folder, target, target + folder, ending) < 0 ? NULL : name;
}

/* open(2) that creates a file with exactly this mode, or with what the umask leaves of FRESH_DEFAULT. The
 * umask belongs to the process, so that one thread at a time may change it; fchmod(2) would be simpler, but
 * the sandbox refuses it. */
static int create(const char *path, int flags, mode_t mode)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	bool is_exact = mode != FRESH_DEFAULT;
	mode_t mask = 0;
	int fd, reason;

	pthread_mutex_lock(&lock);
	if (is_exact)
		mask = umask(0);
	fd = open(path, flags | O_CLOEXEC, is_exact ? mode & 0666 : 0666);
	reason = errno;
	if (is_exact)
		umask(mask);
	pthread_mutex_unlock(&lock);
	errno = reason;
	return fd;
}

/* Opens a file without a name (O_TMPFILE) in the folder of `target`. */
static int open_unnamed(const char *target, mode_t mode)
{
	char folder[PATH_MAX];

	text_folder(target, folder, sizeof(folder));
	return create(folder, O_WRONLY | O_TMPFILE, mode);
}

/* Opens a file with a temporary name next to fresh->target, for file systems without O_TMPFILE. */
static int open_temporary(struct fresh *fresh, mode_t mode)
{
	for (unsigned i = 0; fresh->fd < 0 && i < TEMPORARY_TRIES; i++) {
		char ending[32];

		free(fresh->temporary);
		snprintf(ending, sizeof(ending), "%ld-%u", (long)getpid(), i);
		fresh->temporary = name_beside(fresh->target, ending);
		if (!fresh->temporary)
			break;
		fresh->fd = create(fresh->temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
		if (fresh->fd < 0 && errno != EEXIST)
			break;
	}
	if (fresh->fd < 0)
		free(fresh->temporary), fresh->temporary = NULL;
	return fresh->fd;
}

const char *temporary_folder(void)
{
	const char *folder = getenv("TMPDIR");

	return folder && *folder ? folder : "/tmp";
}

int fresh_open(struct fresh *fresh, const char *path, mode_t mode, struct error *error)
{
	struct stat old;
	bool exists = stat(path, &old) == 0, dangling = !exists && lstat(path, &old) == 0;
	char *real = exists ? realpath(path, NULL) : NULL;

	*fresh = (struct fresh){.fd = -1};
	if (exists && S_ISREG(old.st_mode) && mode == FRESH_DEFAULT)
		mode = old.st_mode & 0666;
	if (exists && S_ISREG(old.st_mode) && access(path, W_OK)) {
		free(real);
		return write_error(path, error);
	}
	fresh->target = real ? real : strdup(path);
	if (!fresh->target && !memory_is_nonfatal())
		memory_out();
	if (!fresh->target)
		return write_error(path, error);
	if (!dangling && (!exists || S_ISREG(old.st_mode))) {
		fresh->fd = open_unnamed(fresh->target, mode);
		if (fresh->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
			open_temporary(fresh, mode);
	}
	if (fresh->fd < 0) { /* or if the file cannot be created in its folder */
		fresh->direct = true;
		fresh->fd = create(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, mode);
	}
	if (fresh->fd >= 0)
		return 0;
	write_error(path, error);
	free(fresh->target);
	fresh->target = NULL;
	return -1;
}

/* Links an unnamed file (O_TMPFILE) to its target or, if that exists, to a temporary name from which it
 * will be renamed. */
static int link_name(struct fresh *fresh)
{
	char fd_path[64];

	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", fresh->fd);
	if (linkat(AT_FDCWD, fd_path, AT_FDCWD, fresh->target, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	for (unsigned i = 0; errno == EEXIST && i < TEMPORARY_TRIES; i++) {
		char ending[32];

		free(fresh->temporary);
		snprintf(ending, sizeof(ending), "%ld-%u", (long)getpid(), i);
		fresh->temporary = name_beside(fresh->target, ending);
		if (!fresh->temporary)
			return -1;
		if (linkat(AT_FDCWD, fd_path, AT_FDCWD, fresh->temporary, AT_SYMLINK_FOLLOW) == 0)
			return 0;
	}
	free(fresh->temporary);
	fresh->temporary = NULL;
	return -1;
}

int fresh_publish(struct fresh *fresh, struct error *error)
{
	int failed = 0;

	if (!fresh->direct) {
		failed = !fresh->temporary && link_name(fresh);
		if (!failed && fresh->temporary)
			failed = rename(fresh->temporary, fresh->target);
		if (failed)
			write_error(fresh->target, error);
		if (failed && fresh->temporary)
			unlink(fresh->temporary);
	}
	free(fresh->target);
	free(fresh->temporary);
	fresh->target = fresh->temporary = NULL;
	return failed ? -1 : 0;
}

void fresh_discard(struct fresh *fresh)
{
	if (fresh->fd >= 0)
		close(fresh->fd);
	if (fresh->temporary)
		unlink(fresh->temporary);
	free(fresh->target);
	free(fresh->temporary);
	*fresh = (struct fresh){.fd = -1};
}

/* ---- Through stdio ---- */

int output_file_open(struct output_file *file, const char *path, struct error *error)
{
	struct stat st;

	*file = (struct output_file){.fresh.fd = -1};
	if (strcmp(path, "-") == 0) {
		file->out = stdout;
		return 0;
	}
	if (fresh_open(&file->fresh, path, FRESH_DEFAULT, error))
		return -1;
	if (fstat(file->fresh.fd, &st) == 0 && S_ISREG(st.st_mode))
		file->out = fdopen(file->fresh.fd, "w");
	else
		file->out = text_stream(&file->kept);
	if (file->out)
		return 0;
	write_error(path, error);
	fresh_discard(&file->fresh);
	return -1;
}

/* Writes to a FIFO or a device. Fails with ENXIO if its reader reads nothing for STUCK_MS. */
static int write_patiently(int fd, const char *bytes, size_t size)
{
	struct pollfd writable = {.fd = fd, .events = POLLOUT};

	while (size) {
		ssize_t wrote = write(fd, bytes, size);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0 && errno == EAGAIN) {
			if (poll(&writable, 1, STUCK_MS) == 1)
				continue;
			errno = ENXIO;
		}
		if (wrote < 0)
			return -1;
		bytes += wrote;
		size -= (size_t)wrote;
	}
	return 0;
}

int output_file_close(struct output_file *file, const char *path, struct error *error)
{
	bool is_memory = file->out != stdout && fileno(file->out) < 0;
	int failed = ferror(file->out) | fflush(file->out);

	if (file->out == stdout)
		return failed ? write_error(path, error) : 0;
	if (is_memory) {
		if (text_stream_close(file->out, &file->kept)) {
			failed = -1;
			errno = ENOMEM;
		}
		failed = failed || write_patiently(file->fresh.fd, file->kept.at, file->kept.size);
		if (failed)
			write_error(path, error);
		text_free(&file->kept);
		fresh_discard(&file->fresh);
		return failed ? -1 : 0;
	}
	if (failed)
		write_error(path, error);
	else
		failed = fresh_publish(&file->fresh, error);
	fclose(file->out);
	file->fresh.fd = -1;
	fresh_discard(&file->fresh);
	return failed ? -1 : 0;
}
