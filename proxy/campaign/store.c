/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A case runs in running/ or, if `scratch` is set, in a folder of this invocation below that; store_finish
 * moves it to units/ when it is over. When a campaign is resumed, each folder below units/ is read; what
 * cannot be read does not count, and is listed for the user.
 */
#include "proxy/campaign/store.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "base/regular.h"
#include "proxy/campaign/folder.h"

#define SCRATCH_RANDOM "XXXXXX" /* as mkdtemp wants it */
#define RESULT_FILE "result.json"
#define RESULT_MAX ((size_t)16 << 20)
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
	*store = (struct store){.folder = absolute(folder, error)};
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
	*store = (struct store){0};
}

/* ---- Results ---- */

static json_t *read_json(const char *path, struct error *error)
{
	struct text text = {0};
	json_error_t wrong;
	json_t *json = NULL;

	if (regular_load(path, RESULT_MAX, &text, error) == 0) {
		json = json_loadb(text.size ? text.at : "", text.size, 0, &wrong);
		if (!json)
			error_set(error, "`%s` is no JSON: %s", path, wrong.text);
	}
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

char *store_running_prefix(const struct store *store)
{
	struct text prefix = {0};

	if (store->scratch) /* another invocation's differs in its last characters */
		text_add(
		    &prefix, "%.*s", (int)(strlen(store->scratch) - strlen(SCRATCH_RANDOM)), store->scratch);
	else
		text_add(&prefix, "%s/", store->folder);
	return prefix.at;
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
