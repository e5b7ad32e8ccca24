#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"

int error_set(struct error *error, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(error->text, sizeof(error->text), format, list);
	va_end(list);
	return -1;
}

struct complaint {
	enum complaint_kind kind;
	size_t file; /* index of its file, in the order in which files were first named */
	int line;
	size_t order;
	size_t place_size; /* bytes of `head` that are file and line */
	const char *head, *text;
};

struct complaints {
	struct arena *arena;
	struct complaint *all;
	size_t count;
	const char **files;
	size_t file_count;
};

struct complaints *complaints_new(void)
{
	struct arena *arena = arena_new();
	struct complaints *complaints = arena_get(arena, sizeof(*complaints));

	complaints->arena = arena;
	return complaints;
}

void complaints_free(struct complaints *complaints)
{
	if (complaints)
		arena_free(complaints->arena);
}

static size_t file_index(struct complaints *complaints, const char *file)
{
	for (size_t i = 0; i < complaints->file_count; i++)
		if (strcmp(complaints->files[i], file) == 0)
			return i;
	complaints->files = arena_grow(
	    complaints->arena, complaints->files, complaints->file_count, sizeof(*complaints->files));
	complaints->files[complaints->file_count] = arena_text(complaints->arena, file, strlen(file));
	return complaints->file_count++;
}

/* What holds for both ways of a link is found twice and told once. */
static bool known(const struct complaints *complaints, const char *head, const char *text)
{
	for (size_t i = 0; i < complaints->count; i++)
		if (strcmp(complaints->all[i].head, head) == 0 && strcmp(complaints->all[i].text, text) == 0)
			return true;
	return false;
}

void complaints_add(struct complaints *complaints, enum complaint_kind kind, const struct place *place,
    const char *format, ...)
{
	struct text head = {0}, text = {0};
	struct complaint *one;
	size_t place_size;
	va_list list;

	text_add(&head, "%s:%d: ", place->file, place->line);
	place_size = head.size;
	if (kind == COMPLAINT_NOTE)
		text_add(&head, "note: ");
	if (place->section)
		text_add(&head, "[%s]%s", place->section, place->key ? " " : ": ");
	if (place->key)
		text_add(&head, "%s: ", place->key);
	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);

	if (!known(complaints, head.at, text.at)) {
		complaints->all = arena_grow(
		    complaints->arena, complaints->all, complaints->count, sizeof(*complaints->all));
		one = &complaints->all[complaints->count];
		*one = (struct complaint){.kind = kind,
		    .file = file_index(complaints, place->file),
		    .line = place->line,
		    .order = complaints->count,
		    .head = arena_text(complaints->arena, head.at, head.size),
		    .place_size = place_size,
		    .text = arena_text(complaints->arena, text.at, text.size)};
		complaints->count++;
	}
	text_free(&head);
	text_free(&text);
}

size_t complaints_count(const struct complaints *complaints, enum complaint_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < complaints->count; i++)
		count += complaints->all[i].kind == kind;
	return count;
}

static int by_place(const void *a, const void *b)
{
	const struct complaint *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

void complaints_print(struct complaints *complaints, FILE *out)
{
	if (complaints->count)
		qsort(complaints->all, complaints->count, sizeof(*complaints->all), by_place);
	for (size_t i = 0; i < complaints->count; i++)
		fprintf(out, "%s%s\n", complaints->all[i].head, complaints->all[i].text);
}

void complaints_errors(const struct complaints *complaints, struct text *out)
{
	for (size_t i = 0; i < complaints->count; i++) {
		const struct complaint *one = &complaints->all[i];

		if (one->kind != COMPLAINT_ERROR)
			continue;
		if (out->size)
			text_add(out, "\n");
		text_add(out, "%s%s", one->head + one->place_size, one->text);
	}
}

const char *complaints_text(const struct complaints *complaints, size_t index)
{
	return index < complaints->count ? complaints->all[index].text : NULL;
}
