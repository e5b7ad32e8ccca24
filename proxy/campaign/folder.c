/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/campaign/folder.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPEN_AT_A_TIME 16

bool folder_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Makes the folder `part` and those above it. Returns 0, or -1 with errno set; `part` is then the one that
 * failed. */
static int make_all(char *part)
{
	for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(part, 0777)) {
			int reason = errno;

			if (!folder_exists(part)) {
				errno = reason == EEXIST ? ENOTDIR : reason;
				return -1;
			}
		}
		if (!slash)
			return 0;
		*slash = '/';
	}
}

int folder_make(const char *path, struct error *error)
{
	char part[PATH_MAX];
	int failed, tries = 0;

	if (strlen(path) >= sizeof(part))
		return error_set(error, "`%.200s…` is too long for a path", path);
	do {
		strcpy(part, path);
		failed = make_all(part);
	} while (failed && errno == ENOENT && ++tries < FOLDER_TRIES); /* another job has removed one above */
	return failed ? error_set(error, "`%s` cannot be made: %s", part, strerror(errno)) : 0;
}

int folder_make_above(const char *path, struct error *error)
{
	char above[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return 0;
	snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
	return folder_make(above, error);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)walk;
	if (kind == FTW_DNR)
		chmod(path, 0700);
	return remove(path) && errno != ENOENT ? errno : 0;
}

int folder_remove(const char *path, struct error *error)
{
	int failed = nftw(path, remove_one, OPEN_AT_A_TIME, FTW_DEPTH | FTW_PHYS);

	if (!failed || (failed < 0 && errno == ENOENT))
		return 0;
	return error_set(error, "`%s` cannot be removed: %s", path, strerror(failed > 0 ? failed : errno));
}

void folder_remove_empty(const char *path, const char *top)
{
	char part[PATH_MAX];
	char *slash;

	snprintf(part, sizeof(part), "%s", path);
	while ((slash = strrchr(part, '/'))) {
		*slash = '\0';
		if (strlen(part) <= strlen(top) || rmdir(part))
			return;
	}
}

int folder_copy(const char *from, const char *to, struct error *error)
{
	char *const words[] = {"cp", "-a", "--", (char *)from, (char *)to, NULL};
	pid_t pid;
	int status, failed = posix_spawnp(&pid, "cp", NULL, NULL, words, environ);

	if (failed)
		return error_set(error, "cp cannot be run: %s", strerror(failed));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status ? error_set(error, "`%s` cannot be copied to `%s`", from, to) : 0;
}
