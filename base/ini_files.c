/*
 * ini_files: the bytes of files, from disk or as they were read before.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ini_inside.h"

static int file_load(
    struct arena *arena, const char *path, const char **text, size_t *size, struct error *error)
{
	struct text whole = {0};
	struct stat status;
	char block[65536];
	size_t got;
	FILE *in = fopen(path, "re");

	if (!in)
		return error_set(error, "`%s` cannot be read: %s", path, strerror(errno));
	if (fstat(fileno(in), &status) == 0 && S_ISDIR(status.st_mode)) {
		fclose(in);
		return error_set(error, "`%s` cannot be read: it is a directory", path);
	}
	while ((got = fread(block, 1, sizeof(block), in)) > 0 && whole.size <= INI_FILE_MAX)
		text_add_bytes(&whole, block, got);
	if (ferror(in) || whole.size > INI_FILE_MAX) {
		error_set(error, "`%s` cannot be read: %s", path,
		    ferror(in) ? strerror(errno) : "it is larger than 4MiB");
		fclose(in);
		text_free(&whole);
		return -1;
	}
	fclose(in);
	*text = arena_text(arena, whole.size ? whole.at : "", whole.size);
	*size = whole.size;
	text_free(&whole);
	return 0;
}

struct ini_files {
	struct arena *arena;
	struct known_file {
		struct known_file *next;
		const char *path, *text;
		size_t size;
	} * first;
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
	if (files)
		arena_free(files->arena);
}

void ini_use_files(struct ini *ini, struct ini_files *files)
{
	ini->files = files;
}

int ini_file_load(const struct ini *ini, struct arena *arena, const char *path, const char **text,
    size_t *size, struct error *error)
{
	struct known_file *known = ini->files ? ini->files->first : NULL;

	if (!ini->files)
		return file_load(arena, path, text, size, error);
	while (known && strcmp(known->path, path) != 0)
		known = known->next;
	if (!known) {
		known = arena_get(ini->files->arena, sizeof(*known));
		if (file_load(ini->files->arena, path, &known->text, &known->size, error))
			return -1;
		known->path = arena_text(ini->files->arena, path, strlen(path));
		known->next = ini->files->first;
		ini->files->first = known;
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
	return ini_file_load(reading->ini, reading->arena,
	    ini_path_beside(reading->arena, reading->entry->file, path), text, size, &reading->error);
}
