/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text: a string that grows. `at` is NUL-terminated as soon as anything was added; free it with text_free.
 *
 * If memory runs out, the process ends (see base/memory.h). In a thread that goes on (memory_set_nonfatal),
 * the text is marked `failed` instead: it is incomplete then, and must be treated as lost.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct text {
	char *at;
	size_t size, cap;
	bool failed;
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_list(struct text *text, const char *format, va_list list) __attribute__((format(printf, 2, 0)));
void text_add_bytes(struct text *text, const void *bytes, size_t size);
/* The same as text_add with "%s" and "%u", for frequent use: several times faster. */
void text_add_word(struct text *text, const char *word);
void text_add_number(struct text *text, uint64_t number);
/* Appends untrusted text, made safe for a terminal: control characters and invalid UTF-8 become escapes
 * such as \x1b; newlines and tabs are kept. */
void text_add_visible(struct text *text, const char *bytes, size_t size);
/* Returns how many of the first bytes text_add_visible would add unchanged. */
size_t text_visible_prefix(const char *bytes, size_t size);
/* Returns how many of the `size` bytes of UTF-8 fit into `cap` bytes without splitting a character. */
size_t text_whole_characters(const char *bytes, size_t size, size_t cap);
/* Writes the escape of one byte, such as \x1b, without a NUL. */
#define TEXT_ESCAPE_SIZE 4
void text_escape(char escape[TEXT_ESCAPE_SIZE], char byte);
/* Opens a stream that appends to the text; NULL: out of memory. text_stream_close returns -1 if a part of
 * what was written is missing, which glibc's own memory streams do not tell. */
FILE *text_stream(struct text *text);
int text_stream_close(FILE *stream, struct text *text);
void text_clear(struct text *text);
void text_free(struct text *text);

/* Writes the decimal digits of `number`, without a NUL. Returns the end of the digits. */
#define TEXT_DIGITS_MAX 20
char *text_digits(char *at, uint64_t number);

/* Returns the value of a hex digit, or -1. */
int text_hex_digit(char c);

/* Returns the member of `names` that is nearest to `written` by edit distance, or NULL if none is near. */
const char *text_nearest(const char *written, const char *const *names, size_t count);

bool text_ends_with(const char *text, const char *end);
/* Stores the folder of a path, cut if it does not fit: "." for "a", "/" for "/a". */
void text_folder(const char *path, char *folder, size_t cap);

#endif
