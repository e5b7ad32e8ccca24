/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A text doubles when it is full. What ends up in logs and captures for each datagram is put together from
 * words and digits, because printf takes several times as long.
 */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define CAP_MIN 64 /* bytes; most lines fit */

/* Makes room for `more` bytes and a NUL. Returns false, and marks the text as failed, if memory runs out. */
static bool make_room(struct text *text, size_t more)
{
	size_t cap = text->cap ? text->cap : CAP_MIN;
	char *at;

	while (cap < text->size + more + 1)
		cap *= 2;
	if (cap == text->cap)
		return true;
	at = realloc(text->at, cap);
	if (!at && !memory_is_nonfatal())
		memory_out();
	if (!at) {
		text->failed = true;
		return false;
	}
	text->at = at;
	text->cap = cap;
	return true;
}

void text_add_bytes(struct text *text, const void *bytes, size_t size)
{
	if (!make_room(text, size))
		return;
	if (size)
		memcpy(text->at + text->size, bytes, size);
	text->size += size;
	text->at[text->size] = '\0';
}

void text_add_list(struct text *text, const char *format, va_list list)
{
	va_list again;
	size_t left;
	int size;

	if (!make_room(text, 0))
		return;
	left = text->cap - text->size;
	va_copy(again, list);
	size = vsnprintf(text->at + text->size, left, format, again);
	va_end(again);
	if (size < 0) { /* vsnprintf itself ran out of memory */
		if (!memory_is_nonfatal())
			memory_out();
		text->failed = true;
		return;
	}
	if ((size_t)size >= left) {
		if (!make_room(text, (size_t)size))
			return;
		vsnprintf(text->at + text->size, (size_t)size + 1, format, list);
	}
	text->size += (size_t)size;
}

void text_add(struct text *text, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	text_add_list(text, format, list);
	va_end(list);
}

void text_add_word(struct text *text, const char *word)
{
	text_add_bytes(text, word, strlen(word));
}

char *text_digits(char *at, uint64_t number)
{
	char digits[TEXT_DIGITS_MAX], *first = digits + sizeof(digits);
	size_t size;

	do {
		*--first = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	size = (size_t)(digits + sizeof(digits) - first);
	memcpy(at, first, size);
	return at + size;
}

void text_add_number(struct text *text, uint64_t number)
{
	char digits[TEXT_DIGITS_MAX];

	text_add_bytes(text, digits, (size_t)(text_digits(digits, number) - digits));
}

/* Returns the length of the UTF-8 character at `at`, or 0 if it is invalid or must not be shown on a
 * terminal. */
static size_t visible_size(const uint8_t *at, size_t left)
{
	size_t size = at[0] < 0x80       ? 1
	              : at[0] >> 5 == 6  ? 2
	              : at[0] >> 4 == 14 ? 3
	              : at[0] >> 3 == 30 ? 4
	                                 : 0;
	uint32_t code;

	if (size == 1)
		return (at[0] >= 0x20 && at[0] != 0x7f) || at[0] == '\n' || at[0] == '\t';
	if (!size || size > left)
		return 0;
	code = at[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (at[i] >> 6 != 2)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	/* Overlong encodings, C1 controls, surrogates, and codes beyond U+10FFFF. */
	if (code < (size == 2      ? 0x80u
	               : size == 3 ? 0x800u
	                           : 0x10000u) ||
	    code < 0xa0 || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff)
		return 0;
	/* Bidirectional controls, which reorder the rest of a line. */
	return code == 0x061c || (code >= 0x200e && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) ||
	               (code >= 0x2066 && code <= 0x2069)
	           ? 0
	           : size;
}

size_t text_visible_prefix(const char *bytes, size_t size)
{
	const uint8_t *at = (const uint8_t *)bytes;
	size_t done = 0, char_size;

	while (done < size && (char_size = visible_size(at + done, size - done)))
		done += char_size;
	return done;
}

void text_escape(char escape[TEXT_ESCAPE_SIZE], char byte)
{
	static const char digits[] = "0123456789abcdef";

	escape[0] = '\\';
	escape[1] = 'x';
	escape[2] = digits[(uint8_t)byte >> 4];
	escape[3] = digits[(uint8_t)byte & 15];
}

void text_add_visible(struct text *text, const char *bytes, size_t size)
{
	for (;;) {
		size_t visible = text_visible_prefix(bytes, size);
		char escape[TEXT_ESCAPE_SIZE];

		text_add_bytes(text, bytes, visible);
		if (visible == size)
			return;
		text_escape(escape, bytes[visible]);
		text_add_bytes(text, escape, sizeof(escape));
		bytes += visible + 1;
		size -= visible + 1;
	}
}

size_t text_whole_characters(const char *bytes, size_t size, size_t cap)
{
	size_t end = cap;

	if (size <= cap)
		return size;
	while (end && ((unsigned char)bytes[end] & 0xc0) == 0x80)
		end--;
	return end ? end : cap; /* this is not UTF-8 */
}

static ssize_t append_to_text(void *cookie, const char *bytes, size_t size)
{
	struct text *text = cookie;
	bool nonfatal = memory_set_nonfatal(true); /* stdio must not be left by a jump */

	text_add_bytes(text, bytes, size);
	memory_set_nonfatal(nonfatal);
	return text->failed ? 0 : (ssize_t)size;
}

FILE *text_stream(struct text *text)
{
	return fopencookie(text, "w", (cookie_io_functions_t){.write = append_to_text});
}

int text_stream_close(FILE *stream, struct text *text)
{
	return fclose(stream) || text->failed ? -1 : 0;
}

void text_clear(struct text *text)
{
	text->size = 0;
	text->failed = false;
	if (text->at)
		text->at[0] = '\0';
}

void text_free(struct text *text)
{
	free(text->at);
	*text = (struct text){0};
}

int text_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#define NAME_MAX_SIZE 40

/* Returns the Levenshtein distance of two names, or NAME_MAX_SIZE if one is longer than that. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_SIZE + 1];
	size_t m = strlen(a), n = strlen(b);

	if (m > NAME_MAX_SIZE || n > NAME_MAX_SIZE)
		return NAME_MAX_SIZE;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; i <= m; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j];
			size_t best = corner + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			corner = above;
		}
	}
	return row[n];
}

const char *text_nearest(const char *written, const char *const *names, size_t count)
{
	const char *nearest = NULL;
	size_t min = strlen(written) / 2 + 1;

	for (size_t i = 0; i < count; i++) {
		size_t d = edit_distance(written, names[i]);

		if (d < min) {
			min = d;
			nearest = names[i];
		}
	}
	return nearest;
}

bool text_ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);

	return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

void text_folder(const char *path, char *folder, size_t cap)
{
	const char *slash = strrchr(path, '/');

	if (slash)
		snprintf(folder, cap, "%.*s", (int)(slash - path) + (slash == path), path);
	else
		snprintf(folder, cap, ".");
}
