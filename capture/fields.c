/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/fields.h"

#include <string.h>

bool word_is(struct word word, const char *text)
{
	return word.at && strlen(text) == word.size && memcmp(word.at, text, word.size) == 0;
}

/* Parses a decimal number; returns 0 if it is invalid or too large. */
static uint32_t parse_number(struct word word)
{
	uint64_t value = 0;

	for (size_t i = 0; i < word.size; i++) {
		if (word.at[i] < '0' || word.at[i] > '9')
			return 0;
		value = value * 10 + (uint64_t)(word.at[i] - '0');
		if (value > UINT32_MAX)
			return 0;
	}
	return (uint32_t)value;
}

/* Parses "652.114ms", with exactly three decimals. Returns NS_UNKNOWN if it is invalid. */
static ns_t parse_milliseconds(struct word word)
{
	bool negative = word.size && word.at[0] == '-';
	uint64_t us = 0;
	size_t decimals = 0;

	for (size_t i = negative; i < word.size; i++) {
		char c = word.at[i];

		if (c == '.' && !decimals) {
			decimals = 1;
			continue;
		}
		if (c < '0' || c > '9' || us > UINT64_MAX / 20000) {
			if (word.size - i == 2 && memcmp(word.at + i, "ms", 2) == 0 && decimals == 4)
				return negative ? -(ns_t)us * NS_US : (ns_t)us * NS_US;
			return NS_UNKNOWN;
		}
		us = us * 10 + (uint64_t)(c - '0');
		decimals += decimals > 0;
	}
	return NS_UNKNOWN;
}

/* Returns the index of a word in `names`, or 0. */
static int find_name(struct word word, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (names[i] && word_is(word, names[i]))
			return i;
	return 0;
}

static void read_word(struct fields *fields, struct word word)
{
	if (word_is(word, "sent"))
		fields->kind = FIELDS_SENT;
	else if (word_is(word, "unsent"))
		fields->kind = FIELDS_UNSENT;
}

static void read_field(struct fields *fields, struct word key, struct word value)
{
	if (word_is(key, "s"))
		fields->session = parse_number(value);
	else if (word_is(key, "n"))
		fields->n = parse_number(value);
	else if (word_is(key, "dir"))
		fields->way = word_is(value, "down") ? WAY_DOWN : WAY_UP;
	else if (word_is(key, "reason"))
		fields->reason = (enum reason)find_name(value, verdict_reasons, REASON_COUNT);
	else if (word_is(key, "delay"))
		fields->delay = parse_milliseconds(value);
	else if (word_is(key, "late"))
		fields->late = parse_milliseconds(value);
	else if (word_is(key, "copies"))
		fields->copies = parse_number(value);
	else if (word_is(key, "copy"))
		fields->copy = parse_number(value);
	else if (word_is(key, "of"))
		fields->origin = (enum origin)find_name(value, verdict_origins, ORIGIN_COUNT);
	else if (word_is(key, "by"))
		fields->by = value;
	else if (word_is(key, "hold"))
		fields->hold = value;
	else if (word_is(key, "did"))
		fields->did = value;
	else if (word_is(key, "dtls"))
		fields->dtls = value;
	else if (word_is(key, "dev"))
		fields->device = value;
	else if (word_is(key, "packed"))
		fields->packed = value;
}

bool fields_read(const char *comment, struct fields *fields)
{
	*fields = (struct fields){.delay = NS_UNKNOWN, .late = NS_UNKNOWN};
	if (strncmp(comment, "s=", 2) != 0)
		return false;
	while (*(comment += strspn(comment, " "))) {
		size_t size = strcspn(comment, " ");
		const char *equals = memchr(comment, '=', size);

		if (equals)
			read_field(fields, (struct word){comment, (size_t)(equals - comment)},
			    (struct word){equals + 1, size - (size_t)(equals - comment) - 1});
		else
			read_word(fields, (struct word){comment, size});
		comment += size;
	}
	return fields->n > 0;
}

struct word word_first(struct word list)
{
	const char *comma = list.at ? memchr(list.at, ',', list.size) : NULL;

	return comma ? (struct word){list.at, (size_t)(comma - list.at)} : list;
}

bool fields_packed(struct word *packed, uint32_t *n)
{
	struct word first = word_first(*packed);

	if (!first.at || !first.size)
		return false;
	*n = parse_number(first);
	packed->at += first.size;
	packed->size -= first.size;
	if (packed->size) { /* skip the comma */
		packed->at++;
		packed->size--;
	}
	return true;
}

struct word line_field(const char *line, size_t size, const char *key)
{
	const char *end = line + size;
	size_t key_size = strlen(key);

	while (line < end) {
		const char *blank = memchr(line, ' ', (size_t)(end - line));
		const char *stop = blank ? blank : end;

		if ((size_t)(stop - line) > key_size && line[key_size] == '=' &&
		    memcmp(line, key, key_size) == 0)
			return (struct word){line + key_size + 1, (size_t)(stop - line) - key_size - 1};
		line = stop + 1;
	}
	return (struct word){0};
}
