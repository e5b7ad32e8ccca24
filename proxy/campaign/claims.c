/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A claim is made with O_EXCL, so that one of many wins. Whether the owner of one that exists lives is known
 * by its process id and start time, if it is of this host and boot; of another host's it is only known
 * whether the claim is renewed. One whose owner is gone is removed, and made anew by whoever comes first.
 */
#include "proxy/campaign/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "proxy/campaign/child.h"
#include "proxy/campaign/folder.h"

#define CLAIM_MAX 4096

/* Sets *start to when a process began, and returns its state ('Z': a zombie); 0: there is none. */
static char process_state(pid_t pid, unsigned long long *start)
{
	char path[64], text[1024], *after, state = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	in = fopen(path, "re");
	if (!in)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
	fclose(in);
	after = strrchr(text, ')'); /* the name before it may hold anything */
	if (!after || sscanf(after + 1,
	                  " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
	                  &state, start) != 2)
		return 0;
	return state;
}

static char *describe_owner(void)
{
	char host[256] = "?", boot[64] = "?", namespace[64] = "?";
	struct text text = {0};
	unsigned long long start = 0;
	FILE *in = fopen("/proc/sys/kernel/random/boot_id", "re");
	ssize_t size = readlink("/proc/self/ns/pid", namespace, sizeof(namespace) - 1);

	namespace[size > 0 ? size : 1] = '\0';
	process_state(getpid(), &start);

	gethostname(host, sizeof(host) - 1);
	if (in && fscanf(in, "%63s", boot) != 1)
		strcpy(boot, "?");
	if (in)
		fclose(in);
	text_add(&text, "%s %s %s %d %llu", host, boot, namespace, (int)getpid(), start);
	return text.at;
}

static char *own; /* NULL: not described yet */

const char *claims_owner(void)
{
	if (!own)
		own = describe_owner();
	return own;
}

static char *claim_path(const struct store *store, const char *name)
{
	return store_path(store, "claims/%s", name);
}

static bool read_claim(const char *path, char *content, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t size = fd >= 0 ? read(fd, content, cap - 1) : -1;

	content[size > 0 ? size : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Writes "OWNER GROUP COUNTER". */
static int write_claim(struct claim *claim, int fd)
{
	struct text text = {0};
	ssize_t written;

	text_add(&text, "%s group %d renewed %u\n", claims_owner(), (int)claim->group, claim->renewed);
	written = pwrite(fd, text.at, text.size, 0);
	if (written > 0 && ftruncate(fd, written))
		written = -1;
	text_free(&text);
	return written > 0 ? 0 : -1;
}

/* Claims of others that were seen, and since when their content has been the same. */
static struct watched {
	char *path, *content;
	ns_t since;
	bool is_renewed; /* it was seen to change */
} * watched;
static size_t watched_count;

enum holder { HOLDER_GONE, HOLDER_LIVES, HOLDER_UNKNOWN };

/* Says what is known of a holder elsewhere, by our own clock: a claim that has changed is renewed, one that
 * has not for CLAIM_STALE is stale. */
static enum holder watch_holder(const char *path, const char *content, ns_t now)
{
	struct watched *entry = NULL;

	for (size_t i = 0; i < watched_count && !entry; i++)
		if (strcmp(watched[i].path, path) == 0)
			entry = &watched[i];
	if (!entry) {
		watched = memory_grow(watched, watched_count, sizeof(*watched));
		entry = &watched[watched_count++];
		*entry = (struct watched){
		    memory_text(path, strlen(path)), memory_text(content, strlen(content)), now, false};
	}
	if (strcmp(entry->content, content) != 0) {
		free(entry->content);
		entry->content = memory_text(content, strlen(content));
		entry->since = now;
		entry->is_renewed = true;
	}
	if (now - entry->since >= CLAIM_STALE) {
		entry->is_renewed = false;
		return HOLDER_GONE;
	}
	return entry->is_renewed ? HOLDER_LIVES : HOLDER_UNKNOWN;
}

/* If the claim is of this host, boot and namespace, says whether its process lives; a process that is gone
 * has its group ended. */
static enum holder find_local_holder(const struct store *store, const char *content)
{
	char host[256], boot[64], namespace[64], own_host[256], own_boot[64], own_namespace[64], state;
	unsigned long long start, started;
	int pid, group;

	if (sscanf(content, "%255s %63s %63s %d %llu group %d", host, boot, namespace, &pid, &start,
	        &group) != 6 ||
	    sscanf(claims_owner(), "%255s %63s %63s", own_host, own_boot, own_namespace) != 3 ||
	    strcmp(host, own_host) != 0 || strcmp(boot, own_boot) != 0 ||
	    strcmp(namespace, own_namespace) != 0)
		return HOLDER_UNKNOWN;
	state = process_state(pid, &started);
	if (state && state != 'Z' && started == start && pid != getpid())
		return HOLDER_LIVES;
	/* Only what carries the mark of a case here: process ids are used again. */
	if (group > 1) {
		char *prefix = store_running_prefix(store);
		struct text mark = {0};

		text_add(&mark, "DEADZONE_DIR=%s", prefix);
		child_kill_marked(group, mark.at);
		text_free(&mark);
		free(prefix);
	}
	return HOLDER_GONE;
}

static enum claim_result give_up(struct claim *claim, enum claim_result result)
{
	free(claim->path);
	claim->path = NULL;
	return result;
}

enum claim_result claim_take(
    const struct store *store, const char *name, ns_t now, struct claim *claim, struct error *error)
{
	char content[CLAIM_MAX];
	enum holder holder;

	*claim = (struct claim){.path = claim_path(store, name)};
	for (int try = 0, removed = 0; try < 2; try++) {
		int fd;

		if (folder_make_above(claim->path, error))
			return give_up(claim, CLAIM_FAILED);
		fd = open(claim->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0) {
			int failed = write_claim(claim, fd);

			close(fd);
			if (!failed)
				return CLAIM_TAKEN;
			error_set(error, "`%s` cannot be written: %s", claim->path, strerror(errno));
			unlink(claim->path);
			return give_up(claim, CLAIM_FAILED);
		}
		if (errno == ENOENT && removed++ < FOLDER_TRIES) {
			try--; /* another job has released its claim, and removed the folder with it */
			continue;
		}
		if (errno != EEXIST) {
			error_set(error, "`%s` cannot be made: %s", claim->path, strerror(errno));
			return give_up(claim, CLAIM_FAILED);
		}
		if (!read_claim(claim->path, content, sizeof(content)) && errno == ENOENT &&
		    readlink(claim->path, content, sizeof(content)) < 0)
			continue; /* it was released just now */
		holder = find_local_holder(store, content);
		if (holder == HOLDER_UNKNOWN)
			holder = watch_holder(claim->path, content, now);
		if (holder != HOLDER_GONE)
			return give_up(claim, holder == HOLDER_LIVES ? CLAIM_HELD : CLAIM_WATCHED);
		if (unlink(claim->path) == 0 || errno == ENOENT)
			continue;
		if (errno == EISDIR)
			return give_up(claim, CLAIM_HELD); /* somebody's folder: the unit is passed over */
		error_set(error, "`%s` cannot be removed: %s", claim->path, strerror(errno));
		return give_up(claim, CLAIM_FAILED);
	}
	return give_up(claim, CLAIM_WATCHED); /* others were faster, twice */
}

void claim_clear(const struct store *store, const char *name, ns_t now)
{
	char *path = claim_path(store, name);
	struct claim claim;
	struct error error;

	if (access(path, F_OK) == 0 && claim_take(store, name, now, &claim, &error) == CLAIM_TAKEN)
		claim_release(&claim, store);
	free(path);
}

void claim_set_group(struct claim *claim, pid_t group)
{
	if (!claim->path || claim->group == group)
		return;
	claim->group = group;
	claim_renew(claim);
}

/* Returns whether the claim is still ours: after a long pause, another may have taken it over. */
static bool is_ours(const struct claim *claim)
{
	char content[CLAIM_MAX];
	size_t size = strlen(claims_owner());

	return claim->path && read_claim(claim->path, content, sizeof(content)) &&
	       strncmp(content, claims_owner(), size) == 0 && content[size] == ' ';
}

void claim_renew(struct claim *claim)
{
	int fd = is_ours(claim) ? open(claim->path, O_WRONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	claim->renewed++;
	write_claim(claim, fd);
	close(fd);
}

void claim_release(struct claim *claim, const struct store *store)
{
	char *top;

	if (!claim->path)
		return;
	if (is_ours(claim))
		unlink(claim->path);
	top = store_path(store, "claims");
	folder_remove_empty(claim->path, top);
	free(top);
	free(claim->path);
	*claim = (struct claim){0};
}

void claims_forget(void)
{
	for (size_t i = 0; i < watched_count; i++) {
		free(watched[i].path);
		free(watched[i].content);
	}
	free(watched);
	watched = NULL;
	watched_count = 0;
	free(own);
	own = NULL;
}
