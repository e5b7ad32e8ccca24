#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define LEAST 64 /* room: most lines fit */

static bool make_room(struct text *text, size_t more)
{
	size_t room = text->room ? text->room : LEAST;
	char *at;

	while (room < text->size + more + 1)
		room *= 2;
	if (room == text->room)
		return true;
	at = realloc(text->at, room);
	if (!at && !memory_goes_on())
		memory_out();
	if (!at) {
		text->failed = true;
		return false;
	}
	text->at = at;
	text->room = room;
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
	left = text->room - text->size;
	va_copy(again, list);
	size = vsnprintf(text->at + text->size, left, format, again);
	va_end(again);
	if (size < 0) { /* a format that needs memory and finds none */
		if (!memory_goes_on())
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

#define NAME_MAX_SIZE 40

static size_t distance(const char *a, const char *b)
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
	size_t least = strlen(written) / 2 + 1;

	for (size_t i = 0; i < count; i++) {
		size_t d = distance(written, names[i]);

		if (d < least) {
			least = d;
			nearest = names[i];
		}
	}
	return nearest;
}
