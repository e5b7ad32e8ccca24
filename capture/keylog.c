#include "capture/keylog.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct followed_file {
	char *path;
	off_t at; /* bytes taken, up to the end of a line */
};

struct keylog {
	struct followed_file *files;
	size_t count;
	struct text lines;
};

struct keylog *keylog_new(const char *const *paths, size_t count)
{
	struct keylog *keylog = calloc(1, sizeof(*keylog));

	assert(keylog);
	keylog->files = calloc(count + 1, sizeof(*keylog->files));
	assert(keylog->files);
	for (size_t i = 0; i < count; i++) {
		keylog->files[i].path = strdup(paths[i]);
		assert(keylog->files[i].path);
	}
	keylog->count = count;
	return keylog;
}

void keylog_free(struct keylog *keylog)
{
	if (!keylog)
		return;
	for (size_t i = 0; i < keylog->count; i++)
		free(keylog->files[i].path);
	free(keylog->files);
	text_free(&keylog->lines);
	free(keylog);
}

/* One block from where it stands; false where there is no whole line more. */
static bool take_lines(struct keylog *keylog, struct followed_file *file, int fd)
{
	char block[65536];
	ssize_t got = pread(fd, block, sizeof(block), file->at);
	size_t size = got > 0 ? (size_t)got : 0;

	while (size && block[size - 1] != '\n')
		size--;
	if (!size && got == (ssize_t)sizeof(block))
		size = sizeof(block); /* no key log has such a line: it is not waited for */
	file->at += (off_t)size;
	if (keylog->lines.size + size <= KEYLOG_MOST)
		text_add_bytes(&keylog->lines, block, size);
	return size > 0;
}

void keylog_follow(struct keylog *keylog)
{
	for (size_t i = 0; i < keylog->count; i++) {
		struct followed_file *file = &keylog->files[i];
		int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		struct stat status;

		if (fd < 0)
			continue;
		if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
			if (status.st_size < file->at)
				file->at = 0;
			while (status.st_size > file->at && take_lines(keylog, file, fd))
				;
		}
		close(fd);
	}
}

const struct text *keylog_lines(const struct keylog *keylog)
{
	return &keylog->lines;
}
