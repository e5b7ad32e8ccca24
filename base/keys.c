/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A value is parsed by the reader in its key's row, into the struct of its section at the row's offset. A key
 * of a link may have a direction (`up.loss`): each direction has a struct of its own, and a key without
 * direction fills both. Defaults go through the same readers.
 */
#include "base/keys.h"

#include <stdint.h>
#include <string.h>

#include "base/ini_section.h"
#include "base/text.h"

const struct key *keys_find(const struct section_kind *kind, const char *name, int *way)
{
	const char *bare = name;

	*way = -1;
	if (strncmp(name, "up.", 3) == 0) {
		*way = 0;
		bare = name + 3;
	} else if (strncmp(name, "down.", 5) == 0) {
		*way = 1;
		bare = name + 5;
	}
	for (size_t i = 0; i < kind->key_count; i++)
		if (strcmp(kind->keys[i].name, bare) == 0)
			return *way == -1 || (kind->keys[i].flags & KEY_EACH_WAY) ? &kind->keys[i] : NULL;
	return NULL;
}

const struct section_kind *keys_kind(const struct section_kind *const *kinds, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

/* Reads a value or, of a KEY_LIST, each of its parts. */
static int read_parts(const struct key *key, const char *value, void *into, struct reading *reading)
{
	char *rest, *part;

	if (!(key->flags & KEY_LIST))
		return key->read(reading, value, into);
	rest = arena_text(reading->arena, value, strlen(value));
	while ((part = strsep(&rest, ","))) {
		size_t size;

		part += strspn(part, " \t");
		size = strlen(part);
		while (size && strchr(" \t", part[size - 1]))
			part[--size] = '\0';
		if (!size)
			return error_set(
			    &reading->error, "`%s` has an empty place between its commas", value);
		if (key->read(reading, part, into))
			return -1;
	}
	return 0;
}

/* Reads a value into its place; if it applies to both directions, into both places. */
static int read_value(const struct section_kind *kind, const struct key *key, int way, const char *value,
    void *into, struct reading *reading)
{
	char *base = into;

	if (!(key->flags & KEY_EACH_WAY))
		return read_parts(key, value, base + key->at, reading);
	base += kind->ways_at + key->at;
	if (way >= 0)
		return read_parts(key, value, base + (size_t)way * kind->way_size, reading);
	return read_parts(key, value, base, reading) || read_parts(key, value, base + kind->way_size, reading)
	           ? -1
	           : 0;
}

static void parse_presets(const struct section_kind *kind, void *into, struct reading *reading)
{
	static const struct ini_entry no_entry = {.key = "", .value = "", .file = "", .line = 0};

	reading->entry = &no_entry;
	for (size_t i = 0; i < kind->key_count; i++)
		if (kind->keys[i].preset && kind->keys[i].read)
			read_value(kind, &kind->keys[i], -1, kind->keys[i].preset, into, reading);
}

void keys_set_defaults(const struct section_kind *kind, void *into, struct reading *reading)
{
	const size_t cap = sizeof(reading->presets) / sizeof(*reading->presets);
	size_t i = 0;

	while (i < cap && reading->presets[i].kind && reading->presets[i].kind != kind)
		i++;
	if (i == cap) {
		parse_presets(kind, into, reading);
		return;
	}
	if (!reading->presets[i].kind) {
		reading->presets[i].kind = kind;
		reading->presets[i].bytes = arena_get(reading->arena, kind->size);
		parse_presets(kind, reading->presets[i].bytes, reading);
	}
	memcpy(into, reading->presets[i].bytes, kind->size);
}

static bool is_quoted(const char *value)
{
	size_t size = strlen(value);

	return size > 1 && (value[0] == '"' || value[0] == '\'') && value[size - 1] == value[0];
}

void keys_fill(const struct section_kind *kind, const struct ini_section *section, void *into,
    struct reading *reading, struct complaints *complaints)
{
	/* Keys for both directions first, so that those with `up.` or `down.` take precedence regardless
	 * of order. */
	for (int with_way = 0; section && with_way <= 1; with_way++) {
		for (size_t i = 0; i < section->entry_count; i++) {
			const struct ini_entry *entry = &section->entries[i];
			int way;
			const struct key *key = keys_find(kind, entry->key, &way);

			if ((way >= 0) != (with_way == 1) || !key->read)
				continue;
			reading->entry = entry;
			/* Errors in an inherited value are reported for the section that it comes from. */
			if (read_value(kind, key, way, entry->value, into, reading) && !entry->inherited)
				ini_complain(section, entry, complaints, "%s", reading->error.text);
			else if (is_quoted(entry->value) && !entry->inherited)
				ini_note(section, entry, complaints,
				    "the quotes are part of the value; ini values need none");
		}
	}
}

void *keys_append(struct reading *reading, void *items, size_t *count, size_t size)
{
	char *array;

	memcpy(&array, items, sizeof(array));
	array = arena_grow(reading->arena, array, *count, size);
	memcpy(items, &array, sizeof(array));
	return array + size * (*count)++;
}

int keys_read_time(struct reading *reading, const char *text, void *into)
{
	return units_time(text, into, &reading->error);
}

int keys_read_time_range(struct reading *reading, const char *text, void *into)
{
	return units_time_range(text, into, &reading->error);
}

int keys_read_share(struct reading *reading, const char *text, void *into)
{
	return units_share(text, into, &reading->error);
}

int keys_read_size(struct reading *reading, const char *text, void *into)
{
	return units_size(text, into, &reading->error);
}

int keys_read_rate(struct reading *reading, const char *text, void *into)
{
	return units_rate(text, into, &reading->error);
}

int keys_read_whole(struct reading *reading, const char *text, void *into)
{
	return units_integer(text, into, &reading->error);
}

int keys_read_text(struct reading *reading, const char *text, void *into)
{
	*(const char **)into = arena_text(reading->arena, text, strlen(text));
	return 0;
}

int keys_read_texts(struct reading *reading, const char *text, void *into)
{
	struct texts *texts = into;

	return keys_read_text(
	    reading, text, keys_append(reading, &texts->all, &texts->count, sizeof(const char *)));
}

int keys_choose(struct reading *reading, const char *text, const char *const *words, size_t count)
{
	struct text list = {0};
	const char *nearest;

	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], text) == 0)
			return (int)i;
	nearest = text_nearest(text, words, count);
	for (size_t i = 0; i < count; i++)
		text_add(&list, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", words[i]);
	if (nearest && count > 6)
		error_set(&reading->error, "`%s` is unknown; did you mean `%s`?", text, nearest);
	else
		error_set(&reading->error, "`%s` is unknown; it is %s", text, list.at);
	text_free(&list);
	return -1;
}

int keys_read_word(
    struct reading *reading, const char *text, const char *const *words, size_t count, void *into)
{
	int choice = keys_choose(reading, text, words, count);
	unsigned value = (unsigned)choice;

	if (choice < 0)
		return -1;
	memcpy(into, &value, sizeof(value)); /* an enum without negative values is an unsigned int */
	return 0;
}

int keys_read_time_above_0(struct reading *reading, const char *text, void *into)
{
	ns_t time;

	if (units_time(text, &time, &reading->error))
		return -1;
	if (time == 0)
		return error_set(&reading->error, "`%s` is out of range; it is above 0", text);
	*(ns_t *)into = time;
	return 0;
}

int keys_read_bool(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"no", "yes"};
	int choice = keys_choose(reading, text, words, 2);

	if (choice < 0)
		return -1;
	*(bool *)into = choice == 1;
	return 0;
}

int keys_read_span(struct reading *reading, const char *text, void *into)
{
	return units_span(text, into, &reading->error);
}

int keys_read_span_of_sizes(struct reading *reading, const char *text, void *into)
{
	return units_span_of_sizes(text, into, &reading->error);
}

int keys_read_spans(struct reading *reading, const char *text, void *into)
{
	struct spans *spans = into;
	struct span span;

	if (units_span(text, &span, &reading->error))
		return -1;
	*(struct span *)keys_append(reading, &spans->all, &spans->count, sizeof(span)) = span;
	return 0;
}

int keys_read_spans_of_sizes(struct reading *reading, const char *text, void *into)
{
	struct spans *spans = into;
	struct span span;

	if (units_span_of_sizes(text, &span, &reading->error))
		return -1;
	*(struct span *)keys_append(reading, &spans->all, &spans->count, sizeof(span)) = span;
	return 0;
}

bool patterns_match(const struct patterns *patterns, const struct address *address)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (address_pattern_matches(&patterns->all[i], address))
			return true;
	return patterns->count == 0;
}

bool spans_hold(const struct spans *spans, uint64_t number)
{
	for (size_t i = 0; i < spans->count; i++)
		if (span_holds(&spans->all[i], number))
			return true;
	return false;
}

int keys_read_pattern(struct reading *reading, const char *text, void *into)
{
	struct patterns *patterns = into;
	struct address_pattern pattern;

	if (address_pattern_read(text, &pattern, &reading->error))
		return -1;
	*(struct address_pattern *)keys_append(
	    reading, &patterns->all, &patterns->count, sizeof(pattern)) = pattern;
	return 0;
}

int keys_read_address(struct reading *reading, const char *text, void *into)
{
	struct addresses *addresses = into;
	struct address address;

	if (address_read(text, &address, &reading->error))
		return -1;
	*(struct address *)keys_append(
	    reading, &addresses->all, &addresses->count, sizeof(address)) = address;
	return 0;
}

int keys_read_host(struct reading *reading, const char *text, void *into)
{
	struct addresses *addresses = into;
	struct address address;

	if (address_read_host(text, &address, &reading->error))
		return -1;
	*(struct address *)keys_append(
	    reading, &addresses->all, &addresses->count, sizeof(address)) = address;
	return 0;
}

int keys_read_endpoint(struct reading *reading, const char *text, void *into)
{
	char host[256];
	uint16_t port;

	if (address_split(text, host, sizeof(host), &port, &reading->error))
		return -1;
	if (!port)
		return error_set(&reading->error, "`%s` has port 0; a cloud has one of 1 to 65535", text);
	return keys_read_text(reading, text, into);
}
