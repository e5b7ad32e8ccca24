/* SPDX-License-Identifier: BSD-2-Clause */
#include "test/fuzz/file.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "/fuzz/input"
#define DESCRIPTOR (1 << 28) /* greater than any real descriptor */

static struct {
	const uint8_t *bytes;
	size_t size;
	off_t at;
	bool is_open;
} file;

const char *file_of(const uint8_t *data, size_t size)
{
	assert(!file.is_open);
	file.bytes = data;
	file.size = size;
	return PATH;
}

static ssize_t discard(void *user, const char *bytes, size_t size)
{
	(void)user;
	(void)bytes;
	return (ssize_t)size;
}

FILE *file_nowhere(void)
{
	static FILE *nowhere;

	if (!nowhere)
		nowhere = fopencookie(NULL, "w", (cookie_io_functions_t){.write = discard});
	assert(nowhere);
	return nowhere;
}

/* ---- Calls ---- */

int __real_open(const char *path, int flags, mode_t mode);
int __real_close(int fd);
int __real_fstat(int fd, struct stat *st);
off_t __real_lseek(int fd, off_t offset, int whence);
ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __real_pread(int fd, void *bytes, size_t size, off_t offset);

int __wrap_open(const char *path, int flags, mode_t mode);
int __wrap_close(int fd);
int __wrap_fstat(int fd, struct stat *st);
off_t __wrap_lseek(int fd, off_t offset, int whence);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset);

/* If the caller passes no mode, it is undefined here, and the system ignores it. */
int __wrap_open(const char *path, int flags, mode_t mode)
{
	if (strcmp(path, PATH) != 0)
		return __real_open(path, flags, mode);
	assert(!file.is_open);
	file.is_open = true;
	file.at = 0;
	return DESCRIPTOR;
}

int __wrap_close(int fd)
{
	if (fd != DESCRIPTOR)
		return __real_close(fd);
	assert(file.is_open);
	file.is_open = false;
	return 0;
}

int __wrap_fstat(int fd, struct stat *st)
{
	if (fd != DESCRIPTOR)
		return __real_fstat(fd, st);
	assert(file.is_open);
	*st = (struct stat){
	    .st_mode = S_IFREG | 0600, .st_nlink = 1, .st_ino = 1, .st_size = (off_t)file.size};
	return 0;
}

off_t __wrap_lseek(int fd, off_t offset, int whence)
{
	if (fd != DESCRIPTOR)
		return __real_lseek(fd, offset, whence);
	assert(file.is_open && offset == 0 && whence == SEEK_CUR);
	return file.at;
}

ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset)
{
	size_t left;

	if (fd != DESCRIPTOR)
		return __real_pread(fd, bytes, size, offset);
	assert(file.is_open && offset >= 0);
	left = (size_t)offset < file.size ? file.size - (size_t)offset : 0;
	size = size < left ? size : left;
	if (size)
		memcpy(bytes, file.bytes + offset, size);
	return (ssize_t)size;
}

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
	ssize_t got;

	if (fd != DESCRIPTOR)
		return __real_read(fd, bytes, size);
	got = __wrap_pread(fd, bytes, size, file.at);
	file.at += got;
	return got;
}

/* With _FILE_OFFSET_BITS=64 the calls have these names. */
int __wrap_open64(const char *path, int flags, mode_t mode) __attribute__((alias("__wrap_open")));
int __wrap_fstat64(int fd, struct stat *st) __attribute__((alias("__wrap_fstat")));
off_t __wrap_lseek64(int fd, off_t offset, int whence) __attribute__((alias("__wrap_lseek")));
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset) __attribute__((alias("__wrap_pread")));
