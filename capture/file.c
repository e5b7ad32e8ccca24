/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file is opened unnamed (base/fresh.h), and gets its name after its first blocks are written. `kept_file`
 * identifies earlier files by device and inode: one that somebody has replaced meanwhile is not removed.
 */
#include "capture/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "base/text.h"
#include "capture/clock.h"

#define POLL_MS 20 /* interval at which file_stop_waiting is checked while waiting for a reader */

/* A file that this run has written: no other file is ever removed. */
struct kept_file {
	char *name;
	dev_t device;
	ino_t inode;
};

struct file {
	char *pattern;
	mode_t mode;
	struct text name, stem; /* stem: the expanded pattern, to detect a repeated name */
	struct text next, next_stem;
	unsigned keep, repeated, next_repeated;
	struct kept_file *kept; /* oldest first */
	size_t kept_count;
	int fd;
	uint64_t start; /* offset of the first byte written: standard output may be a file with contents */
	uint64_t size;
	bool regular, is_socket;
	atomic_bool hurry;
};

struct file *file_new(const char *name, unsigned keep, mode_t mode)
{
	struct file *file = memory_new(1, sizeof(*file));

	file->pattern = memory_text(name, strlen(name));
	file->keep = keep;
	file->mode = mode;
	file->kept = memory_new(keep + 1, sizeof(*file->kept));
	file->fd = -1;
	return file;
}

void file_free(struct file *file)
{
	if (!file)
		return;
	file_close(file);
	for (size_t i = 0; i < file->kept_count; i++)
		free(file->kept[i].name);
	free(file->kept);
	free(file->pattern);
	text_free(&file->name);
	text_free(&file->stem);
	text_free(&file->next);
	text_free(&file->next_stem);
	free(file);
}

bool file_is_standard_output(const struct file *file)
{
	return strcmp(file->pattern, "-") == 0;
}

bool file_is_stream(const struct file *file)
{
	return file_is_standard_output(file) || (file->fd >= 0 && !file->regular);
}

bool file_has_pattern(const struct file *file)
{
	return strchr(file->pattern, '%');
}

bool file_is_open(const struct file *file)
{
	return file->fd >= 0;
}

bool file_is_gone(const struct file *file)
{
	struct stat st;

	return file->fd >= 0 && file->regular && fstat(file->fd, &st) == 0 && st.st_nlink == 0;
}

const char *file_name(const struct file *file)
{
	return file->name.at ? file->name.at : file->pattern;
}

uint64_t file_size(const struct file *file)
{
	return file->size;
}

void file_stop_waiting(struct file *file)
{
	atomic_store(&file->hurry, true);
}

void file_close(struct file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

/* ---- Names ---- */

/* Appends stem "run.pcapng" with a number to `name`: "run-2.pcapng". */
static void number_name(struct text *name, const char *stem, unsigned number)
{
	const char *slash = strrchr(stem, '/');
	const char *dot = strrchr(slash ? slash : stem, '.');
	size_t head = dot && dot != (slash ? slash + 1 : stem) ? (size_t)(dot - stem) : strlen(stem);

	text_add_bytes(name, stem, head);
	text_add(name, "-%u%s", number, stem + head);
}

/* Sets the name of the next file, without using it yet. */
static void choose_name(struct file *file, ns_t at)
{
	time_t seconds = (time_t)(at / NS_S);
	struct tm local = {0};
	char stem[4096];

	localtime_r(&seconds, &local);
	if (strftime(stem, sizeof(stem), file->pattern, &local) == 0)
		snprintf(stem, sizeof(stem), "%s", file->pattern);
	file->next_repeated = 0;
	if (file->stem.at && strcmp(file->stem.at, stem) == 0)
		file->next_repeated = file->repeated + (access(file->name.at, F_OK) == 0);
	text_clear(&file->next_stem);
	text_add_word(&file->next_stem, stem);
	text_clear(&file->next);
	if (file->next_repeated)
		number_name(&file->next, stem, file->next_repeated + 1);
	else
		text_add_word(&file->next, stem);
}

/* Makes the next name the current one. */
static void commit_name(struct file *file)
{
	struct text name = file->name, stem = file->stem;

	file->name = file->next;
	file->stem = file->next_stem;
	file->next = name;
	file->next_stem = stem;
	file->repeated = file->next_repeated;
}

/* Removes a file from the list of kept files. */
static void forget_file(struct file *file, size_t index)
{
	free(file->kept[index].name);
	memmove(
	    &file->kept[index], &file->kept[index + 1], (--file->kept_count - index) * sizeof(*file->kept));
}

/* Adds the open file to the list of kept files, and removes the oldest ones if there are more than `keep`. */
static void prune_files(struct file *file)
{
	struct stat now, st;

	if (!file->keep || fstat(file->fd, &st))
		return;
	for (size_t i = 0; i < file->kept_count; i++)
		if (strcmp(file->kept[i].name, file->name.at) == 0)
			forget_file(file, i--);
	while (file->kept_count >= file->keep) {
		const struct kept_file *oldest = &file->kept[0];

		if (stat(oldest->name, &now) == 0 && now.st_dev == oldest->device &&
		    now.st_ino == oldest->inode)
			unlink(oldest->name);
		forget_file(file, 0);
	}
	file->kept[file->kept_count].name = strdup(file->name.at);
	if (!file->kept[file->kept_count].name)
		return; /* out of memory: this file will not be removed */
	file->kept[file->kept_count].device = st.st_dev;
	file->kept[file->kept_count++].inode = st.st_ino;
}

/* ---- Opening ---- */

/* Opens standard output anew, so that it can be non-blocking without affecting other processes. */
static int open_standard_output(void)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
		int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

		if (fd >= 0)
			return fd;
	}
	return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

/* Returns the offset at which writing to `fd` begins. */
static uint64_t start_of(int fd, const struct stat *st)
{
	off_t at = fcntl(fd, F_GETFL) & O_APPEND ? st->st_size : lseek(fd, 0, SEEK_CUR);

	return at > 0 ? (uint64_t)at : 0;
}

/* Closes the file that was open, and uses `fd` instead. */
static void replace_descriptor(struct file *file, int fd)
{
	struct stat st = {0};

	file_close(file);
	file->fd = fd;
	file->size = 0;
	fstat(fd, &st);
	file->regular = S_ISREG(st.st_mode);
	file->start = file->regular ? start_of(fd, &st) : 0;
	file->is_socket = S_ISSOCK(st.st_mode);
}

static enum file_outcome open_stream(
    struct file *file, int fd, const void *head, size_t head_size, struct error *error)
{
	replace_descriptor(file, fd);
	if (file_write(file, head, head_size, error) == 0)
		return FILE_OPENED;
	file_close(file);
	return FILE_FULL;
}

enum file_outcome file_open(
    struct file *file, ns_t at, const void *head, size_t head_size, struct error *error)
{
	struct file old = *file;
	struct fresh fresh;
	enum file_outcome outcome;

	if (file_is_standard_output(file)) {
		int fd = open_standard_output();

		text_clear(&file->name);
		text_add(&file->name, "standard output");
		if (fd < 0) {
			error_set(error, "standard output: %s", strerror(errno));
			return FILE_REFUSED;
		}
		return open_stream(file, fd, head, head_size, error);
	}
	choose_name(file, at);
	if (file->next.failed || file->next_stem.failed) {
		error_set(error, "out of memory");
		return FILE_FULL;
	}
	if (fresh_open(&fresh, file->next.at, file->mode ? file->mode : FRESH_DEFAULT, error))
		return errno == ENXIO ? FILE_UNREAD : FILE_REFUSED;
	if (fresh.direct) { /* a FIFO, a device, or a file in a folder where none can be created */
		fresh_publish(&fresh, error);
		outcome = open_stream(file, fresh.fd, head, head_size, error);
		if (outcome == FILE_OPENED)
			commit_name(file);
		if (outcome == FILE_OPENED && file->regular)
			prune_files(file);
		return outcome;
	}
	/* The previous file stays open until the new one has its head and its name. */
	file->fd = fresh.fd;
	file->start = file->size = 0;
	file->regular = true;
	file->is_socket = false;
	if (file_write(file, head, head_size, error) || fresh_publish(&fresh, error)) {
		file->fd = old.fd;
		file->start = old.start;
		file->size = old.size;
		file->regular = old.regular;
		file->is_socket = old.is_socket;
		fresh_discard(&fresh);
		return FILE_FULL;
	}
	if (old.fd >= 0)
		close(old.fd);
	commit_name(file);
	prune_files(file);
	return FILE_OPENED;
}

/* ---- Writing ---- */

static ssize_t write_some(const struct file *file, const char *bytes, size_t size)
{
	return file->is_socket ? send(file->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL)
	                       : write(file->fd, bytes, size);
}

/* Waits until the stream's reader has made room. Returns false if it is stuck and file_stop_waiting was
 * called. */
static bool wait_for_room(const struct file *file, ns_t since)
{
	struct pollfd writable = {.fd = file->fd, .events = POLLOUT};

	while (poll(&writable, 1, POLL_MS) == 0)
		if (atomic_load(&file->hurry) && monotonic() - since > FILE_STUCK)
			return false;
	return true;
}

/* Truncates the file after the last whole block. Returns the number of blocks that stay. */
static size_t truncate_to_block(struct file *file, size_t wrote, const uint32_t *ends, size_t end_count)
{
	size_t whole = 0;

	while (whole < end_count && ends[whole] <= wrote)
		whole++;
	if (whole)
		file->size += ends[whole - 1];
	if (wrote && file->regular && ftruncate(file->fd, (off_t)(file->start + file->size)) == 0)
		lseek(file->fd, (off_t)(file->start + file->size), SEEK_SET);
	return whole;
}

int file_write_blocks(struct file *file, const void *bytes, size_t size, const uint32_t *ends,
    size_t end_count, size_t *whole, struct error *error)
{
	const char *at = bytes;
	size_t left = size;
	ns_t progress_at = monotonic();

	while (left) {
		ssize_t wrote = write_some(file, at, left);
		int reason = wrote < 0 ? errno : ENOSPC;
		bool is_blocked = wrote < 0 && reason == EAGAIN && !file->regular;

		if (wrote > 0) {
			at += wrote;
			left -= (size_t)wrote;
			progress_at = monotonic();
			continue;
		}
		if ((wrote < 0 && reason == EINTR) || (is_blocked && wait_for_room(file, progress_at)))
			continue;
		*whole = truncate_to_block(file, size - left, ends, end_count);
		error_set(error, "`%s` cannot be written: %s", file_name(file),
		    is_blocked ? "its reader takes nothing" : strerror(reason));
		if (reason == EPIPE && !file_is_standard_output(file))
			file_close(file);
		return -1;
	}
	file->size += size;
	*whole = end_count;
	return 0;
}

int file_write(struct file *file, const void *bytes, size_t size, struct error *error)
{
	size_t whole;

	return file_write_blocks(file, bytes, size, NULL, 0, &whole, error);
}
