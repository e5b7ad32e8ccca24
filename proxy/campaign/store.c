/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A claim is made with O_EXCL, so that one of many wins. Whether the owner of one that exists lives is known
 * by its process id and start time, if it is of this host and boot; of another host's it is only known
 * whether the claim is renewed. One whose owner is gone is removed, and made anew by whoever comes first.
 */
#include "proxy/campaign/store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "base/regular.h"
#include "proxy/campaign/child.h"
#include "proxy/campaign/folder.h"

#define SCRATCH_RANDOM "XXXXXX" /* as mkdtemp wants it */
#define RESULT_FILE "result.json"
#define RESULT_MAX ((size_t)16 << 20)
#define CLAIM_MAX 4096
#define OPEN_AT_A_TIME 16
#define OLD_MAX 10000

char *store_path(const struct store *store, const char *format, ...)
{
	struct text path = {0};
	va_list list;

	text_add(&path, "%s/", store->folder);
	va_start(list, format);
	text_add_list(&path, format, list);
	va_end(list);
	return path.at;
}

static char *absolute(const char *path, struct error *error)
{
	char whole[PATH_MAX];

	if (folder_make(path, error))
		return NULL;
	if (!realpath(path, whole)) {
		error_set(error, "`%s`: %s", path, strerror(errno));
		return NULL;
	}
	return memory_text(whole, strlen(whole));
}

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

/* Returns "HOST BOOT NAMESPACE PID START": a process id alone is used again, and containers share ids. */
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

/* Makes a folder of our own there: other campaigns may use the same one. */
static int open_scratch(struct store *store, const char *folder, struct error *error)
{
	char *top = absolute(folder, error);
	struct text path = {0};

	if (!top)
		return -1;
	text_add(&path, "%s/deadzone-" SCRATCH_RANDOM, top);
	free(top);
	if (!mkdtemp(path.at)) {
		error_set(error, "`%s` cannot be made: %s", path.at, strerror(errno));
		text_free(&path);
		return -1;
	}
	store->scratch = path.at;
	return 0;
}

int store_open(struct store *store, const char *folder, const char *scratch, struct error *error)
{
	*store = (struct store){.folder = absolute(folder, error), .owner = describe_owner()};
	if (!store->folder)
		return -1;
	if (access(store->folder, W_OK))
		return error_set(error, "`%s` cannot be written: %s", folder, strerror(errno));
	return scratch ? open_scratch(store, scratch, error) : 0;
}

void store_close(struct store *store)
{
	if (store->scratch)
		rmdir(store->scratch);
	free(store->folder);
	free(store->scratch);
	free(store->owner);
	*store = (struct store){0};
}

/* ---- Results ---- */

static json_t *read_json(const char *path, struct error *error)
{
	struct text text = {0};
	json_error_t wrong;
	json_t *json = NULL;
	int fd = regular_open(path, false, error);

	if (fd < 0)
		return NULL;
	if (regular_read(fd, path, RESULT_MAX, &text, error) == 0) {
		json = json_loadb(text.size ? text.at : "", text.size, 0, &wrong);
		if (!json)
			error_set(error, "`%s` is no JSON: %s", path, wrong.text);
	}
	close(fd);
	text_free(&text);
	return json;
}

/* nftw passes no context to its callback. */
static struct {
	struct results *results;
	struct text *odd;
} loading;

/* Returns whether the folder of the file is one that was replaced (ID.old-N), or a copy that never became
 * whole (ID.new-N). */
static bool does_not_count(const char *path)
{
	const char *file = strrchr(path, '/'), *dash;

	if (!file)
		return true;
	for (dash = file; dash > path && strchr("0123456789", dash[-1]); dash--)
		;
	return dash < file && dash - path > 5 &&
	       (memcmp(dash - 5, ".old-", 5) == 0 || memcmp(dash - 5, ".new-", 5) == 0);
}

/* Returns whether the path is units/ID/result.json. */
static bool is_at(const char *path, const char *id)
{
	struct text want = {0};
	bool fits;
	size_t size = strlen(path);

	text_add(&want, "/units/%s/%s", id, RESULT_FILE);
	fits = size >= want.size && strcmp(path + size - want.size, want.at) == 0;
	text_free(&want);
	return fits;
}

static void load_result(const char *path, struct results *results, struct text *odd)
{
	struct result result;
	struct error error;
	json_t *json = read_json(path, &error);

	if (!json || result_read(json, &result, &error)) {
		text_add(odd, "%s: %s\n", path, error.text);
	} else if (!is_at(path, result.id)) {
		text_add(odd, "%s: it is the result of another case, `%.200s`\n", path, result.id);
		result_fini(&result);
	} else {
		results_put(results, &result);
	}
	json_decref(json);
}

static int load_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	if (kind == FTW_F && strcmp(path + walk->base, RESULT_FILE) == 0 && !does_not_count(path))
		load_result(path, loading.results, loading.odd);
	return 0;
}

void store_load_one(const struct store *store, const char *id, struct results *results, struct text *odd)
{
	char *path = store_path(store, "units/%s/%s", id, RESULT_FILE);

	if (access(path, F_OK) == 0)
		load_result(path, results, odd);
	free(path);
}

void store_load(const struct store *store, struct results *results, struct text *odd)
{
	/* With the slash a link is followed. */
	char *units = store_path(store, "units/");

	loading.results = results;
	loading.odd = odd;
	nftw(units, load_one, OPEN_AT_A_TIME, FTW_PHYS);
	free(units);
}

/* ---- Folders of cases ---- */

static char *running_folder(const struct store *store, const char *id)
{
	struct text path = {0};

	text_add(&path, "%s/running/%s", store->scratch ? store->scratch : store->folder, id);
	return path.at;
}

char *store_begin(const struct store *store, const char *id, struct error *error)
{
	char *folder = running_folder(store, id);

	if (folder_remove(folder, error) == 0 && folder_make(folder, error) == 0)
		return folder;
	free(folder);
	return NULL;
}

void store_discard(const struct store *store, char *folder)
{
	struct error error;
	struct text top = {0};

	text_add(&top, "%s", store->scratch ? store->scratch : store->folder);
	folder_remove(folder, &error);
	folder_remove_empty(folder, top.at);
	text_free(&top);
	free(folder);
}

int store_finish(
    const struct store *store, const char *top, const char *id, const char *folder, struct error *error)
{
	char *to = store_path(store, "%s/%s", top, id), *beside = NULL;
	const char *from = folder;
	int failed = folder_make_above(to, error);

	/* From another file system it is copied beside its place first. */
	if (!failed && store->scratch) {
		beside = store_path(store, "%s/%s.new-%d", top, id, (int)getpid());
		failed = folder_remove(beside, error) || folder_copy(folder, beside, error);
		from = beside;
	}
	if (!failed && rename(from, to)) {
		if (errno != EEXIST && errno != ENOTEMPTY)
			failed = error_set(
			    error, "`%s` cannot be renamed to `%s`: %s", from, to, strerror(errno));
		else
			failed = folder_remove(from, error); /* another job was first */
	}
	if (!failed && store->scratch)
		failed = folder_remove(folder, error);
	folder_remove_empty(folder, store->scratch ? store->scratch : store->folder);
	free(to);
	free(beside);
	return failed ? -1 : 0;
}

int store_retire(const struct store *store, const char *id, struct error *error)
{
	char *from = store_path(store, "units/%s", id);
	int failed = 0;

	if (folder_exists(from)) {
		failed = error_set(error, "`%s` was replaced %d times already", from, OLD_MAX);
		for (int n = 1; n < OLD_MAX && failed; n++) {
			char *to = store_path(store, "units/%s.old-%d", id, n);

			if (!folder_exists(to)) {
				failed = rename(from, to);
				if (failed) {
					error_set(error, "`%s` cannot be renamed: %s", from, strerror(errno));
					n = OLD_MAX;
				}
			}
			free(to);
		}
	}
	free(from);
	return failed ? -1 : 0;
}

/* ---- Claims ---- */

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
static int write_claim(struct claim *claim, const struct store *store, int fd)
{
	struct text text = {0};
	ssize_t written;

	text_add(&text, "%s group %d renewed %u\n", store->owner, (int)claim->group, claim->renewed);
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
 * has not for STORE_STALE is stale. */
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
	if (now - entry->since >= STORE_STALE) {
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
	    sscanf(store->owner, "%255s %63s %63s", own_host, own_boot, own_namespace) != 3 ||
	    strcmp(host, own_host) != 0 || strcmp(boot, own_boot) != 0 ||
	    strcmp(namespace, own_namespace) != 0)
		return HOLDER_UNKNOWN;
	state = process_state(pid, &started);
	if (state && state != 'Z' && started == start && pid != getpid())
		return HOLDER_LIVES;
	/* Only what carries the mark of a case here: process ids are used again. */
	if (group > 1) {
		struct text mark = {0};

		if (store->scratch) /* another invocation's differs in its last characters */
			text_add(&mark, "DEADZONE_DIR=%.*s",
			    (int)(strlen(store->scratch) - strlen(SCRATCH_RANDOM)), store->scratch);
		else
			text_add(&mark, "DEADZONE_DIR=%s/", store->folder);
		child_kill_marked(group, mark.at);
		text_free(&mark);
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
	if (folder_make_above(claim->path, error))
		return give_up(claim, CLAIM_FAILED);
	for (int try = 0; try < 2; try++) {
		int fd = open(claim->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

		if (fd >= 0) {
			int failed = write_claim(claim, store, fd);

			close(fd);
			if (!failed)
				return CLAIM_TAKEN;
			error_set(error, "`%s` cannot be written: %s", claim->path, strerror(errno));
			unlink(claim->path);
			return give_up(claim, CLAIM_FAILED);
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

void claim_set_group(struct claim *claim, const struct store *store, pid_t group)
{
	if (!claim->path || claim->group == group)
		return;
	claim->group = group;
	claim_renew(claim, store);
}

/* Returns whether the claim is still ours: after a long pause, another may have taken it over. */
static bool is_ours(const struct claim *claim, const struct store *store)
{
	char content[CLAIM_MAX];
	size_t size = strlen(store->owner);

	return claim->path && read_claim(claim->path, content, sizeof(content)) &&
	       strncmp(content, store->owner, size) == 0 && content[size] == ' ';
}

void claim_renew(struct claim *claim, const struct store *store)
{
	int fd = is_ours(claim, store) ? open(claim->path, O_WRONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	claim->renewed++;
	write_claim(claim, store, fd);
	close(fd);
}

void claim_release(struct claim *claim, const struct store *store)
{
	char *top;

	if (!claim->path)
		return;
	if (is_ours(claim, store))
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
}

/* ---- Identity ---- */

int store_write_json(const char *path, const json_t *json, struct error *error)
{
	struct output_file file;
	int failed;

	if (output_file_open(&file, path, error))
		return -1;
	failed = json_dumpf(json, file.out, JSON_INDENT(2));
	fputc('\n', file.out);
	return output_file_close(&file, path, error) || failed ? -1 : 0;
}

/* Describes the first line that two texts do not share. */
static void describe_difference(const char *name, const char *old, const char *now, struct error *error)
{
	while (*old && *now) {
		size_t a = strcspn(old, "\n"), b = strcspn(now, "\n");

		if (a != b || strncmp(old, now, a) != 0)
			break;
		old += a + (old[a] == '\n');
		now += b + (now[b] == '\n');
	}
	error_set(error, "%s differs: `%.*s` was `%.*s` when its cases ran", name, (int)strcspn(now, "\n"),
	    now, (int)strcspn(old, "\n"), old);
}

int store_identify(const struct store *store, const json_t *identity, struct error *error)
{
	char *path = store_path(store, "identity.json");
	json_t *known = access(path, F_OK) == 0 ? read_json(path, error) : json_object();
	const char *name;
	json_t *value;
	int failed = known ? 0 : -1;
	bool has_grown = false;

	if (known && !json_is_object(known))
		failed = error_set(error, "`%s` is damaged; remove it if the results are to be kept", path);

	json_object_foreach((json_t *)identity, name, value)
	{
		const json_t *before = json_object_get(known, name);
		const char *old = json_string_value(before);

		if (failed)
			break;
		if (before && !old) {
			failed = error_set(
			    error, "`%s` is damaged; remove it if the results are to be kept", path);
			break;
		}
		if (!old) {
			has_grown = true;
			json_object_set(known, name, value);
		} else if (strcmp(old, json_string_value(value)) != 0) {
			describe_difference(name, old, json_string_value(value), error);
			failed = -1;
		}
	}
	if (!failed && has_grown)
		failed = store_write_json(path, known, error);
	json_decref(known);
	free(path);
	return failed;
}
