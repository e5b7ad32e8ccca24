/* SPDX-License-Identifier: BSD-2-Clause */
/* case_files: the files in a case's folder, which its commands may write, fill or remove. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/regular.h"
#include "proxy/campaign/case_inside.h"

#define PREPARED_MAX ((size_t)1 << 20)

void case_break(struct case_run *run, const char *format, ...)
{
	va_list list;

	if (run->broken.size)
		return; /* the first reason counts */
	va_start(list, format);
	text_add_list(&run->broken, format, list);
	va_end(list);
}

char *case_file(const struct case_run *run, const char *name)
{
	struct text path = {0};

	text_add(&path, "%s/%s", run->task.folder, name);
	return path.at;
}

char *case_read_small(const struct case_run *run, const char *name, struct error *error)
{
	char *path = case_file(run, name), *contents = NULL;
	struct text text = {0};
	bool is_missing = access(path, F_OK) && errno == ENOENT;
	bool is_read = is_missing || regular_load(path, PREPARED_MAX, &text, error) == 0;

	if (is_read && text.size && strlen(text.at) != text.size)
		error_set(error, "`%s` holds a NUL byte", path);
	else if (is_read)
		contents = memory_text(text.size ? text.at : "", text.size);
	text_free(&text);
	free(path);
	return contents;
}

int case_open_log(const struct case_run *run, const char *name, struct error *error)
{
	char *path = case_file(run, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	/* The test may have removed its folder; cleanup must run all the same. */
	if (fd < 0 && errno == ENOENT)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		error_set(error, "`%s` cannot be written: %s", path, strerror(errno));
	free(path);
	return fd;
}
