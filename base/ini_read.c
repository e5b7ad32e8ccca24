/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parses files and settings into sections. The syntax of each line is checked here; inih, which would
 * truncate long lines and ignore what it does not understand, only gets valid lines. The sections of included
 * files come before those of the file that includes them.
 */
#include <ctype.h>
#include <ini.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/ini_inside.h"

#define DEPTH_MAX 16 /* nested includes */

/* The state of reading one file. */
struct file {
	struct ini *ini;
	const char *name;
	const char *next, *end; /* the part of its text that was not read yet */
	int line;
	struct ini_section **sections; /* its sections, added to the ini after those of its includes */
	size_t count;
	struct dictionary by_name;
	struct ini_section *section;  /* the current section; NULL before the first */
	bool skip;                    /* in a section with an invalid header: its keys are ignored */
	const char *stack[DEPTH_MAX]; /* ids of this file and of those that include it */
	size_t depth;
};

static void add_complaint(struct file *file, const char *key, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));
static void add_complaint(struct file *file, const char *key, const char *format, va_list list)
{
	struct place place = {.file = file->name, .line = file->line, .key = key};
	struct text text = {0};

	if (file->section)
		place.section = file->section->title;
	text_add_list(&text, format, list);
	complaints_add(file->ini->complaints, COMPLAINT_ERROR, &place, "%s", text.at);
	text_free(&text);
}

/* Complain about the current line, or about a key in it. */
static void complain_line(struct file *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain_line(struct file *file, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	add_complaint(file, NULL, format, list);
	va_end(list);
}

static void complain_key(struct file *file, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void complain_key(struct file *file, const char *key, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	add_complaint(file, key, format, list);
	va_end(list);
}

/* ---- Lines ---- */

bool ini_name_is_valid(const char *name)
{
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	return true;
}

static void suggest_section(struct file *file, const char *written)
{
	struct text text = {0};

	ini_suggest_section(file->ini, written, &text);
	complain_line(file, "%s", text.at);
	text_free(&text);
}

struct ini_section *ini_section_new(
    struct ini *ini, const struct section_kind *kind, const char *name, const char *file, int line)
{
	struct ini_section *section = arena_get(ini->arena, sizeof(*section));
	struct text title = {0};

	text_add(&title, *name ? "%s %s" : "%s", kind->name, name);
	*section = (struct ini_section){.kind = kind,
	    .name = arena_text(ini->arena, name, strlen(name)),
	    .title = arena_text(ini->arena, title.at, title.size),
	    .file = file,
	    .line = line};
	text_free(&title);
	return section;
}

/* Parses a header "link default" (without its brackets). Returns its kind and sets *name, or complains and
 * returns NULL. */
static const struct section_kind *parse_header(struct file *file, const char *inside, const char **name)
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
		complain_line(file, "[%s] lacks its name, as in [%s NAME]", word, word);
	else if (!kind->named && **name)
		complain_line(file, "[%s] takes no name; it is written [%s]", inside, word);
	else if (!ini_name_is_valid(*name))
		complain_line(
		    file, "[%s] is no good name; names are letters, digits, `.`, `_` and `-`", inside);
	else
		return kind;
	return NULL;
}

/* Returns true for [proxy] of an included file: its keys are merged into that of the main file. */
static bool is_merged(const struct file *file, const struct section_kind *kind)
{
	return file->depth > 1 && strcmp(kind->name, "proxy") == 0;
}

/* Returns the section of this name that was already read, or NULL; an alias does not count. */
static const struct ini_section *find_section(
    const struct ini *ini, const struct section_kind *kind, const char *name)
{
	const struct ini_section *section = dictionary_get(&ini->by_name, kind, name);

	return section && strcmp(section->name, name) == 0 ? section : NULL;
}

/* Starts the section that a header names, or complains and ignores its keys. */
static void read_header(struct file *file, const char *inside)
{
	const struct section_kind *kind;
	const struct ini_section *first;
	const char *name;

	file->section = NULL;
	file->skip = true;
	kind = parse_header(file, inside, &name);
	if (!kind)
		return;
	first = dictionary_get(&file->by_name, kind, name);
	if (!first && !is_merged(file, kind))
		first = find_section(file->ini, kind, name);
	if (first)
		return complain_line(file, "[%s] is here a second time; the first is at %s:%d", first->title,
		    first->file, first->line);
	file->section = ini_section_new(file->ini, kind, name, file->name, file->line);
	file->skip = false;
	file->sections = arena_grow(file->ini->arena, file->sections, file->count, sizeof(*file->sections));
	file->sections[file->count++] = file->section;
	dictionary_put(&file->by_name, kind, file->section->name, file->section);
}

static void suggest_key(struct file *file, const char *written)
{
	struct text text = {0};

	ini_suggest_key(file->ini, file->section->kind, written, &text);
	complain_key(file, written, "%s", text.at);
	text_free(&text);
}

static char *trim(struct arena *arena, const char *text)
{
	size_t size;

	text += strspn(text, " \t");
	size = strlen(text);
	while (size && strchr(" \t", text[size - 1]))
		size--;
	return arena_text(arena, text, size);
}

/* Handles one assignment, as parsed by inih. Always returns 1: it complains about errors itself. */
static int handle_assignment(void *user, const char *section, const char *name, const char *value)
{
	struct file *file = user;
	struct ini *ini = file->ini;
	struct ini_entry entry = {.file = file->name, .line = file->line};
	const struct ini_entry *first;
	const struct key *key;
	int way;

	(void)section;
	if (file->skip)
		return 1;
	if (!file->section) {
		complain_key(file, name, "stands before any section");
		return 1;
	}
	key = keys_find(file->section->kind, name, &way);
	if (!key) {
		suggest_key(file, name);
		return 1;
	}
	entry.key = trim(ini->arena, name);
	entry.value = trim(ini->arena, value);
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

/* Checks the syntax of a `[section]` line and stores what is between its brackets. Returns false after
 * complaining. */
static bool check_header(struct file *file, const char *line, char *inside)
{
	const char *close = strchr(line, ']');
	const char *rest;

	file->section = NULL;
	file->skip = true;
	if (!close) {
		complain_line(file, "`%s` lacks its `]`", line);
		return false;
	}
	if (close - line - 1 > INI_SECTION_MAX) {
		complain_line(file, "there are %td bytes between `[` and `]`; %d are the most",
		    close - line - 1, INI_SECTION_MAX);
		return false;
	}
	rest = close + 1 + strspn(close + 1, " \t");
	if (*rest && !(*rest == ';' && rest > close + 1)) {
		complain_line(
		    file, "there is text after `]`; a key stands in a line of its own, a comment is ` ; …`");
		return false;
	}
	memcpy(inside, line + 1, (size_t)(close - line - 1));
	inside[close - line - 1] = '\0';
	return true;
}

/* Returns whether the key, of the current section, takes a shell command. */
static bool is_command(const struct file *file, const char *name)
{
	int way;
	const struct key *key = file->section ? keys_find(file->section->kind, name, &way) : NULL;

	return key && key->flags & KEY_COMMAND;
}

/* Checks the syntax of a `key = value` line. Returns false after complaining. */
static bool check_assignment(struct file *file, const char *line)
{
	size_t key = strcspn(line, "=:");
	char *name = trim(file->ini->arena, arena_text(file->ini->arena, line, key));
	const char *value, *comment;

	if (line[key] == '\0') {
		complain_line(file,
		    line[0] == '/' && line[1] == '/' ? "`%s` is no assignment; a comment begins with ; or #"
		                                     : "`%s` is no assignment; one is `key = value`",
		    line);
		return false;
	}
	if (line[key] == ':') {
		complain_key(file, name, "is followed by `:`; an assignment is `key = value`");
		return false;
	}
	if (!*name) {
		complain_line(file, "`%s` has no key before `=`", line);
		return false;
	}
	if (strpbrk(name, " \t;")) {
		complain_line(file, "`%s` is no key; a key is one word", name);
		return false;
	}
	value = line + key + 1;
	for (comment = strchr(value, ';'); comment && !strchr(" \t", comment[-1]);)
		comment = strchr(comment + 1, ';');
	for (const char *at = strchr(value, '#'); at && (!comment || at < comment);
	     at = strchr(at + 1, '#')) {
		if (at > value && strchr(" \t", at[-1])) {
			complain_key(file, name, "` #` starts no comment after a value; ` ;` does");
			return false;
		}
	}
	if (comment && is_command(file, name)) {
		complain_key(file, name,
		    "holds ` ;`, which starts a comment and would cut the command; use && or a script");
		return false;
	}
	return true;
}

/* Checks one line, and handles it if it is a header. Returns true for a valid assignment, for inih. */
static bool handle_line(struct file *file, const char *line, size_t size)
{
	size_t blank = strspn(line, " \t");
	char inside[INI_SECTION_MAX + 1];

	if (strlen(line) != size) {
		complain_line(file, "there is a NUL byte in this line; an ini file is plain text");
		file->next = file->end; /* the rest of the file is ignored */
		return false;
	}
	if (size > INI_LINE_MAX) {
		complain_line(file, "this line has %zu bytes; %d are the most", size, INI_LINE_MAX);
		return false;
	}
	if (line[blank] == '\0' || line[blank] == ';' || line[blank] == '#')
		return false;
	if (blank) {
		complain_line(file,
		    "`%s` does not start in the first column; indented lines mean nothing here",
		    line + blank);
		return false;
	}
	if (line[0] != '[')
		return check_assignment(file, line);
	if (check_header(file, line, inside))
		read_header(file, inside);
	return false; /* not passed to inih, which would truncate a long name */
}

/* The read callback of inih: returns the next line if it is a valid assignment, else an empty line. */
static char *read_line(char *line, int cap, void *user)
{
	struct file *file = user;
	const char *start = file->next;
	const char *end;
	char *copy;
	size_t size;

	if (start >= file->end)
		return NULL;
	end = memchr(start, '\n', (size_t)(file->end - start));
	file->next = end ? end + 1 : file->end;
	file->line++;
	if (!end)
		end = file->end;
	if (end > start && end[-1] == '\r')
		end--;
	size = (size_t)(end - start);
	copy = arena_text(file->ini->arena, start, size);
	if (handle_line(file, copy, size) && size + 2 <= (size_t)cap) {
		memcpy(line, copy, size);
		memcpy(line + size, "\n", 2);
	} else {
		memcpy(line, "\n", 2);
	}
	return line;
}

static void read_file(
    struct ini *ini, const struct file *from, const char *path, const struct place *named_at);

/* If `path`, a profile that was included, holds [link default], makes that available by its name. */
static void alias_included(struct ini *ini, const char *profile, const char *path)
{
	const struct section_kind *kind = keys_kind(ini->kinds, ini->kind_count, "link");
	struct ini_section *link = kind ? dictionary_get(&ini->by_name, kind, "default") : NULL;

	if (link && strcmp(link->file, path) == 0)
		ini_link_alias(ini, kind, profile, link);
}

static void read_includes(struct file *file, struct ini_section *section, const struct ini_entry *entry)
{
	struct place place = ini_place(section, entry);
	char *rest = arena_text(file->ini->arena, entry->value, strlen(entry->value));

	for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
		struct ini_entry part = *entry;

		const char *path;

		part.value = trim(file->ini->arena, item);
		path = ini_is_profile(part.value) ? ini_profile_path(file->ini, part.value, &place)
		                                  : ini_path_beside(file->ini->arena, file->name, part.value);
		if (!path)
			continue;
		read_file(file->ini, file, path, &place);
		if (ini_is_profile(part.value))
			alias_included(file->ini, part.value, path);
	}
}

/* ---- Included files ---- */

/* Keeps the [proxy] of an included file for merge_settings. It must not set where to listen or forward:
 * the file that includes it does. */
static void keep_settings(struct ini *ini, struct ini_section *section)
{
	static const char *const refused[] = {"listen", "upstream"};

	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if (ini_entry(section, refused[i]))
			ini_complain(section, ini_entry(section, refused[i]), ini->complaints,
			    "belongs in the file that includes this one");
	ini->settings = arena_grow(ini->arena, ini->settings, ini->setting_count, sizeof(*ini->settings));
	ini->settings[ini->setting_count++] = section;
}

/* Adds the keys of the [proxy] sections of included files that the main file's [proxy] lacks. */
static void merge_settings(struct ini *ini)
{
	const struct section_kind *kind = keys_kind(ini->kinds, ini->kind_count, "proxy");
	struct ini_section *main = kind ? dictionary_get(&ini->by_name, kind, "") : NULL;

	if (!main && ini->setting_count) {
		main = ini_section_new(ini, kind, "", ini->settings[0]->file, ini->settings[0]->line);
		ini_section_add(ini, main);
	}
	for (size_t i = ini->setting_count; main && i-- > 0;) {
		const struct ini_section *from = ini->settings[i];
		size_t own_count = main->entry_count;

		for (size_t k = 0; k < from->entry_count; k++) {
			bool is_own = strcmp(from->entries[k].key, "include") == 0;

			for (size_t own = 0; own < own_count && !is_own; own++)
				is_own = strcmp(main->entries[own].key, from->entries[k].key) == 0;
			if (!is_own)
				ini_entry_add(ini, main, &from->entries[k]);
		}
	}
	ini->setting_count = 0;
}

/* Moves the [device] sections of a file (sections from `own` on) before those of the files that it
 * includes (from `first` on), so that they are tried first. Other sections keep their places. */
static void put_own_devices_first(struct ini *ini, size_t first, size_t own)
{
	const struct section_kind *kind = keys_kind(ini->kinds, ini->kind_count, "device");
	struct ini_section **devices;
	size_t count = 0, next = 0, index = SIZE_MAX;

	if (own == first || own == ini->count)
		return;
	devices = arena_get(ini->arena, (ini->count - first) * sizeof(struct ini_section *));
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = pass ? first : own; i < (pass ? own : ini->count); i++)
			if (ini->sections[i]->kind == kind) {
				index = ini->sections[i]->index < index ? ini->sections[i]->index : index;
				devices[count++] = ini->sections[i];
			}
	for (size_t i = first; i < ini->count; i++)
		if (ini->sections[i]->kind == kind) {
			ini->sections[i] = devices[next];
			ini->sections[i]->position = i;
			ini->sections[i]->index = index + next++;
		}
}

/* Reads the sections of a text: first those of the files that it includes, then its own. */
static void read_sections(struct file *file, const char *text, size_t size)
{
	struct ini *ini = file->ini;
	size_t included_from = ini->count, own_from;
	int refused_line;

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		size -= 3;
	}
	file->next = text;
	file->end = text + size;
	/* Every line that inih gets was checked: report it if inih rejects one nevertheless. */
	file->line = 0;
	if ((refused_line = ini_parse_stream(read_line, file, handle_assignment, file))) {
		file->line = refused_line;
		complain_line(file, "this line is not understood");
	}

	for (size_t i = 0; i < file->count; i++) {
		struct ini_section *section = file->sections[i];

		if (strcmp(section->kind->name, "proxy") != 0)
			continue;
		if (is_merged(file, section->kind))
			keep_settings(ini, section);
		for (size_t k = 0; k < section->entry_count; k++)
			if (strcmp(section->entries[k].key, "include") == 0 &&
			    !(file->depth <= 1 && ini->includes_replaced))
				read_includes(file, section, &section->entries[k]);
	}
	own_from = ini->count;
	for (size_t i = 0; i < file->count; i++) {
		struct ini_section *section = file->sections[i];
		const struct ini_section *first = find_section(ini, section->kind, section->name);

		if (is_merged(file, section->kind))
			continue;
		if (first) {
			struct place place = {.file = section->file, .line = section->line};

			complaints_add(ini->complaints, COMPLAINT_ERROR, &place,
			    "[%s] is here a second time; the first is at %s:%d; `like` and --set change what "
			    "another file says",
			    first->title, first->file, first->line);
			continue;
		}
		ini_section_add(ini, section);
	}
	put_own_devices_first(ini, included_from, own_from);
	if (file->depth <= 1)
		merge_settings(ini);
	dictionary_free(&file->by_name);
	text_add(&ini->text, "; file %s\n", file->name);
	text_add_bytes(&ini->text, text, strlen(text) < size ? strlen(text) : size);
	if (size && text[size - 1] != '\n')
		text_add(&ini->text, "\n");
}

/* Registers a file, identified by device and inode, however its name is spelled. Returns its id, or
 * complains and returns NULL if it is being read or was already read. */
static const char *register_file(
    struct ini *ini, const struct file *from, const char *path, const struct place *named_at)
{
	const struct ini_file_read *first;
	struct ini_file_read *known;
	struct stat st;
	char id[64];
	const char *own_id;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return arena_text(ini->arena, path,
		    strlen(path)); /* not registered: loading it will fail, or it is a pipe */
	snprintf(id, sizeof(id), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	for (size_t i = 0; from && i < from->depth; i++)
		if (strcmp(from->stack[i], id) == 0) {
			complaints_add(ini->complaints, COMPLAINT_ERROR, named_at,
			    "include loop: `%s` is being read already", path);
			return NULL;
		}
	first = dictionary_get(&ini->files_read, NULL, id);
	if (first) {
		complaints_add(ini->complaints, COMPLAINT_ERROR, named_at,
		    "`%s` is included a second time; the first is at %s:%d", path, first->named_in,
		    first->line);
		return NULL;
	}
	if (ini->files_read.count == INI_FILES_MAX) {
		complaints_add(ini->complaints, COMPLAINT_ERROR, named_at,
		    "there are more than %d files; `%s` is not read", INI_FILES_MAX, path);
		return NULL;
	}
	own_id = arena_text(ini->arena, id, strlen(id));
	if (from && strcmp(from->name, INI_LIVE) == 0)
		return own_id; /* named by an untrusted source: its folder does not count for INI_CONFINED */
	known = arena_get(ini->arena, sizeof(*known));
	*known = (struct ini_file_read){path, named_at->file, named_at->line};
	dictionary_put(&ini->files_read, NULL, own_id, known);
	return own_id;
}

static enum ini_trust trust_of(const struct ini *ini, const struct file *from)
{
	return !from ? INI_ANY : strcmp(from->name, INI_LIVE) == 0 ? ini->live : INI_REGULAR;
}

/* Returns true for pcapng, for pcap of either byte order with microseconds or nanoseconds, and for gzip
 * and zstd. */
static bool is_capture(const char *text, size_t size)
{
	static const char magics[][5] = {"\x0a\x0d\x0d\x0a", "\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4",
	    "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d"};

	for (size_t i = 0; i < sizeof(magics) / sizeof(*magics); i++)
		if (size >= 4 && memcmp(text, magics[i], 4) == 0)
			return true;
	return (size >= 2 && memcmp(text, "\x1f\x8b", 2) == 0) ||
	       (size >= 4 && memcmp(text, "\x28\xb5\x2f\xfd", 4) == 0);
}

static void read_file(
    struct ini *ini, const struct file *from, const char *path, const struct place *named_at)
{
	struct file file = {.ini = ini, .name = path};
	struct error error;
	const char *text, *id;
	size_t size;

	if (from) {
		memcpy(file.stack, from->stack, sizeof(file.stack));
		file.depth = from->depth;
	}
	if (!(id = register_file(ini, from, path, named_at)))
		return;
	if (file.depth == DEPTH_MAX) {
		complaints_add(
		    ini->complaints, COMPLAINT_ERROR, named_at, "includes go more than %d deep", DEPTH_MAX);
		return;
	}
	file.stack[file.depth++] = id;
	if (ini_file_load(ini, ini->arena, path, trust_of(ini, from), &text, &size, &error)) {
		complaints_add(ini->complaints, COMPLAINT_ERROR, named_at, "%s", error.text);
		return;
	}
	if (is_capture(text, size)) {
		complaints_add(ini->complaints, COMPLAINT_ERROR, named_at,
		    "`%s` is a capture, not an ini file; `deadzone report %s` reads it", path, path);
		return;
	}
	read_sections(&file, text, size);
}

void ini_read_profile(struct ini *profile, const char *path, const struct place *named_at)
{
	read_file(profile, NULL, path, named_at);
}

void ini_read(struct ini *ini, const char *path)
{
	const char *name = arena_text(ini->arena, path, strlen(path));
	struct place place = {.file = name, .line = 0};

	ini->main_file = name;
	read_file(ini, NULL, name, &place);
}

void ini_read_text(struct ini *ini, const char *name, const char *text, size_t size)
{
	struct file file = {.ini = ini, .name = arena_text(ini->arena, name, strlen(name))};

	file.stack[file.depth++] = file.name;
	read_sections(&file, arena_text(ini->arena, text, size), size);
}

/* ---- Settings on top ---- */

static void drop_entries(struct ini_section *section, const char *key)
{
	size_t kept = 0;

	for (size_t i = 0; i < section->entry_count; i++)
		if (strcmp(section->entries[i].key, key) != 0)
			section->entries[kept++] = section->entries[i];
	section->entry_count = kept;
}

/* Turns "do += note" into "do = note". Returns true if there was a `+`: the value is added to the others. */
static bool strip_plus(char *key)
{
	char *equals = strchr(key, '=');

	if (!equals || equals == key || equals[-1] != '+')
		return false;
	equals[-1] = ' ';
	return true;
}

/* Applies one setting; `as` is used as the name of the file that it comes from. */
static void apply_setting(struct ini *ini, const char *assignment, const char *as)
{
	struct file file = {.ini = ini, .name = as};
	const struct section_kind *kind;
	struct ini_section *own, *section;
	const char *close = strchr(assignment, ']'), *name;
	char *key, *value;
	char inside[INI_SECTION_MAX + 1];
	size_t equals;
	bool appends;
	int way;

	if (assignment[0] != '[' || !close || strpbrk(assignment, "\r\n")) {
		complain_line(&file, "`%s` is no setting; one is \"[SECTION] KEY = VALUE\"", assignment);
		return;
	}
	key = trim(ini->arena, close + 1);
	if (!check_header(
	        &file, arena_text(ini->arena, assignment, (size_t)(close + 1 - assignment)), inside) ||
	    !(kind = parse_header(&file, inside, &name)))
		return;
	appends = strip_plus(key);
	/* The key is added to a section of its own first; if that section already exists, it is changed
	 * instead. */
	own = file.section = ini_section_new(ini, kind, name, file.name, 0);
	file.skip = false;
	if (!check_assignment(&file, key))
		return;
	equals = strcspn(key, "=");
	value = trim(ini->arena, key + equals + 1);
	key = trim(ini->arena, arena_text(ini->arena, key, equals));
	handle_assignment(&file, own->title, key, value);
	if (!own->entry_count)
		return;
	if (strcmp(kind->name, "proxy") == 0 && strcmp(key, "include") == 0) {
		file.stack[file.depth++] = as; /* the file that it names is included like any other */
		read_includes(&file, own, &own->entries[0]);
		merge_settings(ini);
		return;
	}
	if (appends && !(keys_find(kind, key, &way)->flags & (KEY_LIST | KEY_REPEATED))) {
		complain_key(&file, key, "has one value: it is set with `=`");
		return;
	}
	section = dictionary_get(&ini->by_name, kind, own->name);
	if (section) {
		if (!appends)
			drop_entries(section, own->entries[0].key);
		ini_entry_add(ini, section, &own->entries[0]);
	} else {
		ini_section_add(ini, own);
	}
	text_add(&ini->text, "; %s %s\n", INI_SETTINGS, assignment);
}

bool ini_replaces_includes(const char *assignment)
{
	static const char proxy[] = "[proxy]", include[] = "include";
	const char *key = assignment + sizeof(proxy) - 1;

	if (strncmp(assignment, proxy, sizeof(proxy) - 1) != 0)
		return false;
	key += strspn(key, " \t");
	if (strncmp(key, include, sizeof(include) - 1) != 0)
		return false;
	key += sizeof(include) - 1;
	return key[strspn(key, " \t")] == '=';
}

void ini_replace_includes(struct ini *ini)
{
	ini->includes_replaced = true;
}

void ini_set(struct ini *ini, const char *assignment)
{
	apply_setting(ini, assignment, INI_SETTINGS);
}

void ini_set_live(struct ini *ini, const char *assignment, enum ini_live files)
{
	ini->live = files == INI_LIVE_ANY       ? INI_REGULAR
	            : files == INI_LIVE_REFUSED ? INI_REFUSED
	                                        : INI_CONFINED;
	apply_setting(ini, assignment, INI_LIVE);
}
