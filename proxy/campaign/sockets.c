/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/campaign/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "proxy/campaign/folder.h"

#define LOCK "lock" /* locked as long as the campaign lives */
#define TOP_MAX 60  /* bytes */

/* Removes the socket folders of campaigns that were killed: those whose lock nobody holds. */
static void remove_old(const char *top)
{
	struct text pattern = {0};
	struct error error;
	glob_t found;

	text_add(&pattern, "%s/deadzone-campaign-*", top);
	if (glob(pattern.at, GLOB_NOSORT, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			struct text lock = {0};
			struct stat st;
			int fd = -1;

			text_add(&lock, "%s/" LOCK, found.gl_pathv[i]);
			if (lstat(found.gl_pathv[i], &st) == 0 && S_ISDIR(st.st_mode) &&
			    st.st_uid == geteuid())
				fd = open(lock.at, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
			if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
				folder_remove(found.gl_pathv[i], &error);
			if (fd >= 0)
				close(fd);
			text_free(&lock);
		}
		globfree(&found);
	}
	text_free(&pattern);
}

int sockets_open(struct sockets *sockets, struct error *error)
{
	const char *top = getenv("XDG_RUNTIME_DIR");
	struct text path = {0}, lock = {0}, named = {0};

	if (!top || access(top, W_OK) || strlen(top) > TOP_MAX)
		top = "/tmp";
	remove_old(top);
	text_add(&path, "%s/deadzone-campaign-XXXXXX", top);
	if (!mkdtemp(path.at)) {
		error_set(error, "`%s` cannot be made: %s", path.at, strerror(errno));
		text_free(&path);
		return -1;
	}
	/* It gets its name once it is locked: whoever looks for old folders finds it held. */
	text_add(&lock, "%s/new", path.at);
	text_add(&named, "%s/" LOCK, path.at);
	sockets->folder = path.at;
	sockets->lock = open(lock.at, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (sockets->lock >= 0 && flock(sockets->lock, LOCK_EX) == 0)
		rename(lock.at, named.at);
	text_free(&lock);
	text_free(&named);
	return 0;
}

void sockets_close(struct sockets *sockets)
{
	struct error error;

	folder_remove(sockets->folder, &error);
	if (sockets->lock >= 0)
		close(sockets->lock);
	free(sockets->folder);
}
