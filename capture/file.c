#include "capture/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

struct file {
	char *pattern;
	struct text name, stem; /* stem: as the pattern gave it, to know a repetition */
	unsigned keep, repeated;
	char **kept;
	size_t kept_count;
	int fd;
	uint64_t size;
	bool seekable;
};

struct file *file_new(const char *name, unsigned keep)
{
	struct file *file = calloc(1, sizeof(*file));

	assert(file);
	file->pattern = strdup(name);
	file->keep = keep;
	file->kept = calloc(keep + 1, sizeof(*file->kept));
	file->fd = -1;
	assert(file->pattern && file->kept);
	return file;
}

void file_free(struct file *file)
{
	if (!file)
		return;
	file_close(file);
	for (size_t i = 0; i < file->kept_count; i++)
		free(file->kept[i]);
	free(file->kept);
	free(file->pattern);
	text_free(&file->name);
	text_free(&file->stem);
	free(file);
}

bool file_is_stream(const struct file *file)
{
	return strcmp(file->pattern, "-") == 0;
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
	struct stat facts;

	return file->fd >= 0 && file->seekable && fstat(file->fd, &facts) == 0 && facts.st_nlink == 0;
}

const char *file_name(const struct file *file)
{
	return file->name.at ? file->name.at : file->pattern;
}

uint64_t file_size(const struct file *file)
{
	return file->size;
}

/* "run.pcapng" becomes "run-2.pcapng". */
static void number_name(struct file *file, const char *stem)
{
	const char *slash = strrchr(stem, '/');
	const char *dot = strrchr(slash ? slash : stem, '.');
	size_t head = dot && dot != (slash ? slash + 1 : stem) ? (size_t)(dot - stem) : strlen(stem);

	text_add_bytes(&file->name, stem, head);
	text_add(&file->name, "-%u%s", file->repeated + 1, stem + head);
}

static void next_name(struct file *file, ns_t at)
{
	time_t seconds = (time_t)(at / NS_S);
	struct tm local;
	char stem[4096];

	localtime_r(&seconds, &local);
	if (strftime(stem, sizeof(stem), file->pattern, &local) == 0)
		snprintf(stem, sizeof(stem), "%s", file->pattern);
	if (file->stem.at && strcmp(file->stem.at, stem) == 0) {
		file->repeated += access(file->name.at, F_OK) == 0;
	} else {
		file->repeated = 0;
		text_clear(&file->stem);
		text_add(&file->stem, "%s", stem);
	}
	text_clear(&file->name);
	if (file->repeated)
		number_name(file, stem);
	else
		text_add(&file->name, "%s", stem);
}

/* Remembers the file; of those opened before, only `keep` stay. */
static void keep_few(struct file *file)
{
	if (!file->keep)
		return;
	if (file->kept_count == file->keep) {
		unlink(file->kept[0]);
		free(file->kept[0]);
		memmove(file->kept, file->kept + 1, --file->kept_count * sizeof(*file->kept));
	}
	file->kept[file->kept_count] = strdup(file->name.at);
	assert(file->kept[file->kept_count]);
	file->kept_count++;
}

int file_open(struct file *file, ns_t at, struct error *error)
{
	file->size = 0;
	if (file_is_stream(file)) {
		text_clear(&file->name);
		text_add(&file->name, "standard output");
		file->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		return file->fd < 0 ? error_set(error, "standard output: %s", strerror(errno)) : 0;
	}
	next_name(file, at);
	file->fd = open(file->name.at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (file->fd < 0)
		return error_set(error, "`%s` cannot be written: %s", file->name.at, strerror(errno));
	file->seekable = lseek(file->fd, 0, SEEK_CUR) == 0;
	keep_few(file);
	return 0;
}

int file_write(struct file *file, const void *bytes, size_t size, struct error *error)
{
	const char *at = bytes;
	size_t left = size;

	while (left) {
		ssize_t wrote = write(file->fd, at, left);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			int reason = wrote < 0 ? errno : ENOSPC;

			/* Take back the part of a block that got there. */
			if (left < size && file->seekable && ftruncate(file->fd, (off_t)file->size) == 0)
				lseek(file->fd, (off_t)file->size, SEEK_SET);
			return error_set(
			    error, "`%s` cannot be written: %s", file_name(file), strerror(reason));
		}
		at += wrote;
		left -= (size_t)wrote;
	}
	file->size += size;
	return 0;
}

void file_close(struct file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}
