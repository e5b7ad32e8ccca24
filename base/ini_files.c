/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads the bytes of files, from disk or as they were loaded before.
 *
 * The proxy loads files while it relays: a FIFO, a terminal or a socket would block it, so only regular files
 * are opened.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ini_inside.h"
#include "base/regular.h"

/* ---- Confinement ---- */

/* Returns true if `path` is in or below the folder of `file`. */
static bool is_below(const char *path, const char *file)
{
	char *folder = realpath(file, NULL), *slash = folder ? strrchr(folder, '/') : NULL;
	size_t size = slash ? (size_t)(slash - folder) : 0;
	bool below = slash && strncmp(path, folder, size) == 0 && path[size] == '/';

	free(folder);
	return below;
}

struct ini_files {
	struct arena *arena;
	struct dictionary known; /* struct known_file, by path */
};

/* Returns true if `path` is in or below the folder of a file that was read without being confined. */
static bool is_confined(const struct ini *ini, const char *path)
{
	for (size_t i = 0; i < ini->files_read.cap; i++) {
		const struct dictionary_slot *slot = &ini->files_read.slots[i];

		if (slot->name && is_below(path, ((const struct ini_file_read *)slot->value)->path))
			return true;
	}
	return false;
}

/* Stores the path of an open descriptor with all symbolic links resolved; "" if it cannot be found. */
static void fd_path(int fd, char *path, size_t cap)
{
	char link[64];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, path, cap - 1);
	path[size > 0 ? size : 0] = '\0';
}

static int read_descriptor(
    int fd, struct arena *arena, const char *path, const char **text, size_t *size, struct error *error)
{
	struct text whole = {0};
	int failed = regular_read(fd, path, INI_FILE_MAX, &whole, error);

	if (!failed) {
		*text = arena_text(arena, whole.size ? whole.at : "", whole.size);
		*size = whole.size;
	}
	text_free(&whole);
	return failed;
}

static int load_from_disk(const struct ini *ini, struct arena *arena, const char *path, enum ini_trust trust,
    const char **text, size_t *size, struct error *error)
{
	char real[PATH_MAX] = "";
	int fd;

	if (trust == INI_REFUSED)
		return error_set(error,
		    "`%s` is named by a capture: its files are not opened unless --live-files says so", path);
	fd = regular_open(path, trust == INI_ANY, error);
	if (trust == INI_CONFINED) {
		if (fd >= 0)
			fd_path(fd, real, sizeof(real));
		if (!is_confined(ini, real)) {
			if (fd >= 0)
				close(fd);
			return error_set(
			    error, "`%s` is no file in or below the folders of the ini files in force", path);
		}
	}
	if (fd < 0)
		return -1;
	return read_descriptor(fd, arena, path, text, size, error);
}

struct known_file {
	const char *text;
	size_t size;
};

struct ini_files *ini_files_new(void)
{
	struct arena *arena = arena_new();
	struct ini_files *files = arena_get(arena, sizeof(*files));

	files->arena = arena;
	return files;
}

void ini_files_free(struct ini_files *files)
{
	if (!files)
		return;
	dictionary_free(&files->known);
	arena_free(files->arena);
}

void ini_use_files(struct ini *ini, struct ini_files *files)
{
	ini->files = files;
}

void ini_files_visit(const struct ini_files *files, ini_files_visitor *visit, void *user)
{
	for (size_t i = 0; i < files->known.cap; i++)
		if (files->known.slots[i].name)
			visit(user, files->known.slots[i].name);
}

int ini_file_load(const struct ini *ini, struct arena *arena, const char *path, enum ini_trust trust,
    const char **text, size_t *size, struct error *error)
{
	struct known_file *known;

	if (!ini->files)
		return load_from_disk(ini, arena, path, trust, text, size, error);
	known = dictionary_get(&ini->files->known, NULL, path);
	if (!known) {
		known = arena_get(ini->files->arena, sizeof(*known));
		if (load_from_disk(ini, ini->files->arena, path, trust, &known->text, &known->size, error))
			return -1;
		dictionary_put(
		    &ini->files->known, NULL, arena_text(ini->files->arena, path, strlen(path)), known);
	}
	*text = known->text;
	*size = known->size;
	return 0;
}

const char *ini_path_beside(struct arena *arena, const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	struct text whole = {0};
	const char *result;

	if (path[0] == '/' || !slash || strcmp(file, INI_SETTINGS) == 0)
		return path;
	text_add_bytes(&whole, file, (size_t)(slash + 1 - file));
	text_add(&whole, "%s", path);
	result = arena_text(arena, whole.at, whole.size);
	text_free(&whole);
	return result;
}

int ini_load(struct reading *reading, const char *path, const char **text, size_t *size)
{
	const char *file = reading->entry->file;
	bool is_live = strcmp(file, INI_LIVE) == 0;

	if (is_live && reading->ini->main_file)
		file = reading->ini->main_file;
	return ini_file_load(reading->ini, reading->arena, ini_path_beside(reading->arena, file, path),
	    is_live ? reading->ini->live : INI_REGULAR, text, size, &reading->error);
}
