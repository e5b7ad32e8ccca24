/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ini_lines: the syntax of each line, checked here, because inih would truncate long lines and ignore what it
 * does not understand; and the keys that valid lines give a section.
 */
#include "base/ini_lines.h"

#include <stdio.h>
#include <string.h>

static void add_complaint(struct ini_lines *file, const char *key, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));

static void add_complaint(struct ini_lines *file, const char *key, const char *format, va_list list)
{
	struct place place = {.file = file->name, .line = file->line, .key = key};
	struct text text = {0};

	if (file->section)
		place.section = file->section->title;
	text_add_list(&text, format, list);
	complaints_add(file->ini->complaints, COMPLAINT_ERROR, &place, "%s", text.at);
	text_free(&text);
}

void ini_complain_line(struct ini_lines *file, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	add_complaint(file, NULL, format, list);
	va_end(list);
}

void ini_complain_key(struct ini_lines *file, const char *key, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	add_complaint(file, key, format, list);
	va_end(list);
}

static void suggest_section(struct ini_lines *file, const char *written)
{
	struct text text = {0};

	ini_suggest_section(file->ini, written, &text);
	ini_complain_line(file, "%s", text.at);
	text_free(&text);
}

const struct section_kind *ini_parse_header(struct ini_lines *file, const char *inside, const char **name)
{
	struct ini *ini = file->ini;
	char word[INI_SECTION_MAX + 1];
	const struct section_kind *kind;

	*name = inside + strcspn(inside, " \t");
	snprintf(word, sizeof(word), "%.*s", (int)(*name - inside), inside);
	*name += strspn(*name, " \t");
	kind = keys_kind(ini->kinds, ini->kind_count, word);
	if (!kind)
		suggest_section(file, inside);
	else if (kind->named && !**name)
		ini_complain_line(file, "[%s] lacks its name, as in [%s NAME]", word, word);
	else if (!kind->named && **name)
		ini_complain_line(file, "[%s] takes no name; it is written [%s]", inside, word);
	else if (!ini_name_is_valid(*name))
		ini_complain_line(
		    file, "[%s] is no good name; names are letters, digits, `.`, `_` and `-`", inside);
	else
		return kind;
	return NULL;
}

static void suggest_key(struct ini_lines *file, const char *written)
{
	struct text text = {0};

	ini_suggest_key(file->ini, file->section->kind, written, &text);
	ini_complain_key(file, written, "%s", text.at);
	text_free(&text);
}

char *ini_trim(struct arena *arena, const char *text)
{
	size_t size;

	text += strspn(text, " \t");
	size = strlen(text);
	while (size && strchr(" \t", text[size - 1]))
		size--;
	return arena_text(arena, text, size);
}

int ini_handle_assignment(void *user, const char *section, const char *name, const char *value)
{
	struct ini_lines *file = user;
	struct ini *ini = file->ini;
	struct ini_entry entry = {.file = file->name, .line = file->line};
	const struct ini_entry *first;
	const struct key *key;
	int way;

	(void)section;
	if (file->skip)
		return 1;
	if (!file->section) {
		ini_complain_key(file, name, "stands before any section");
		return 1;
	}
	key = keys_find(file->section->kind, name, &way);
	if (!key) {
		suggest_key(file, name);
		return 1;
	}
	entry.key = ini_trim(ini->arena, name);
	entry.value = ini_trim(ini->arena, value);
	/* Keys that may be repeated can occur any number of times: the list is only searched for others. */
	first = key->flags & (KEY_LIST | KEY_REPEATED) ? NULL : ini_entry(file->section, name);
	if (!*entry.value)
		ini_complain(file->section, &entry, ini->complaints, "has no value; it takes %s", key->takes);
	else if (first)
		ini_complain(file->section, &entry, ini->complaints,
		    "is here a second time; the first is in line %d", first->line);
	else
		ini_entry_add(ini, file->section, &entry);
	return 1;
}

bool ini_check_header(struct ini_lines *file, const char *line, char *inside)
{
	const char *close = strchr(line, ']');
	const char *rest;

	file->section = NULL;
	file->skip = true;
	if (!close) {
		ini_complain_line(file, "`%s` lacks its `]`", line);
		return false;
	}
	if (close - line - 1 > INI_SECTION_MAX) {
		ini_complain_line(file, "there are %td bytes between `[` and `]`; %d are the most",
		    close - line - 1, INI_SECTION_MAX);
		return false;
	}
	rest = close + 1 + strspn(close + 1, " \t");
	if (*rest && !(*rest == ';' && rest > close + 1)) {
		ini_complain_line(
		    file, "there is text after `]`; a key stands in a line of its own, a comment is ` ; …`");
		return false;
	}
	memcpy(inside, line + 1, (size_t)(close - line - 1));
	inside[close - line - 1] = '\0';
	return true;
}

/* Returns whether the key, of the current section, takes a shell command. */
static bool is_command(const struct ini_lines *file, const char *name)
{
	int way;
	const struct key *key = file->section ? keys_find(file->section->kind, name, &way) : NULL;

	return key && key->flags & KEY_COMMAND;
}

bool ini_check_assignment(struct ini_lines *file, const char *line)
{
	size_t key = strcspn(line, "=:");
	char *name = ini_trim(file->ini->arena, arena_text(file->ini->arena, line, key));
	const char *value, *comment;

	if (line[key] == '\0') {
		ini_complain_line(file,
		    line[0] == '/' && line[1] == '/' ? "`%s` is no assignment; a comment begins with ; or #"
		                                     : "`%s` is no assignment; one is `key = value`",
		    line);
		return false;
	}
	if (line[key] == ':') {
		ini_complain_key(file, name, "is followed by `:`; an assignment is `key = value`");
		return false;
	}
	if (!*name) {
		ini_complain_line(file, "`%s` has no key before `=`", line);
		return false;
	}
	if (strpbrk(name, " \t;")) {
		ini_complain_line(file, "`%s` is no key; a key is one word", name);
		return false;
	}
	value = line + key + 1;
	for (comment = strchr(value, ';'); comment && !strchr(" \t", comment[-1]);)
		comment = strchr(comment + 1, ';');
	for (const char *at = strchr(value, '#'); at && (!comment || at < comment);
	     at = strchr(at + 1, '#')) {
		if (at > value && strchr(" \t", at[-1])) {
			ini_complain_key(file, name, "` #` starts no comment after a value; ` ;` does");
			return false;
		}
	}
	if (comment && is_command(file, name)) {
		ini_complain_key(file, name,
		    "holds ` ;`, which starts a comment and would cut the command; use && or a script");
		return false;
	}
	return true;
}
