/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/dictionary.h"
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
	const char *whole;            /* complete line, as printed */
	size_t place_size, head_size; /* bytes of the place prefix, and of everything before the text */
};

struct complaints {
	struct arena *arena;
	struct complaint *all;
	size_t count, counts[2]; /* total, and of each kind */
	struct dictionary files; /* index of each file name, counted from 1 */
	struct dictionary lines; /* complete lines, to skip duplicates */
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
	if (!complaints)
		return;
	dictionary_free(&complaints->files);
	dictionary_free(&complaints->lines);
	arena_free(complaints->arena);
}

static size_t file_index(struct complaints *complaints, const char *file)
{
	uintptr_t index = (uintptr_t)dictionary_get(&complaints->files, NULL, file);

	if (index)
		return index;
	index = complaints->files.count + 1;
	dictionary_put(
	    &complaints->files, NULL, arena_text(complaints->arena, file, strlen(file)), (void *)index);
	return index;
}

void complaints_add(struct complaints *complaints, enum complaint_kind kind, const struct place *place,
    const char *format, ...)
{
	struct text whole = {0};
	struct complaint *complaint;
	size_t place_size, head_size;
	const char *line;
	va_list list;

	if (place->line)
		text_add(&whole, "%s:%d: ", place->file, place->line);
	else /* the command line, or a file as a whole */
		text_add(&whole, "%s: ", place->file);
	place_size = whole.size;
	if (kind == COMPLAINT_NOTE)
		text_add(&whole, "note: ");
	if (place->section)
		text_add(&whole, "[%s]%s", place->section, place->key ? " " : ": ");
	if (place->key)
		text_add(&whole, "%s: ", place->key);
	head_size = whole.size;
	va_start(list, format);
	text_add_list(&whole, format, list);
	va_end(list);

	/* A mistake that affects both directions of a link is found twice; report it once. */
	if (!dictionary_get(&complaints->lines, NULL, whole.at)) {
		complaints->all = arena_grow(
		    complaints->arena, complaints->all, complaints->count, sizeof(*complaints->all));
		line = arena_text(complaints->arena, whole.at, whole.size);
		complaint = &complaints->all[complaints->count];
		*complaint = (struct complaint){.kind = kind,
		    .file = file_index(complaints, place->file),
		    .line = place->line,
		    .order = complaints->count,
		    .place_size = place_size,
		    .head_size = head_size,
		    .whole = line};
		dictionary_put(&complaints->lines, NULL, line, complaints);
		complaints->count++;
		complaints->counts[kind]++;
	}
	text_free(&whole);
}

size_t complaints_count(const struct complaints *complaints, enum complaint_kind kind)
{
	return complaints->counts[kind];
}

static int compare_places(const void *a, const void *b)
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
		qsort(complaints->all, complaints->count, sizeof(*complaints->all), compare_places);
	for (size_t i = 0; i < complaints->count; i++)
		fprintf(out, "%s\n", complaints->all[i].whole);
}

void complaints_errors(const struct complaints *complaints, struct text *out)
{
	for (size_t i = 0; i < complaints->count; i++) {
		const struct complaint *complaint = &complaints->all[i];

		if (complaint->kind != COMPLAINT_ERROR)
			continue;
		if (out->size)
			text_add(out, "\n");
		text_add(out, "%s", complaint->whole + complaint->place_size);
	}
}

const char *complaints_text(const struct complaints *complaints, size_t index)
{
	if (index >= complaints->count)
		return NULL;
	return complaints->all[index].whole + complaints->all[index].head_size;
}
