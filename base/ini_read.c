/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ini_read: reads files into sections. ini_lines.c checks the syntax of each line; only valid ones reach
 * inih. The sections of included files come before those of the file that includes them.
 */
#include <ini.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ini_lines.h"

/* ---- Lines ---- */

/* Returns true for [proxy] of an included file: its keys are merged into that of the main file. */
static bool is_merged(const struct ini_lines *file, const struct section_kind *kind)
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
static void read_header(struct ini_lines *file, const char *inside)
{
	const struct section_kind *kind;
	const struct ini_section *first;
	const char *name;

	file->section = NULL;
	file->skip = true;
	kind = ini_parse_header(file, inside, &name);
	if (!kind)
		return;
	first = dictionary_get(&file->by_name, kind, name);
	if (!first && !is_merged(file, kind))
		first = find_section(file->ini, kind, name);
	if (first)
		return ini_complain_line(file, "[%s] is here a second time; the first is at %s:%d",
		    first->title, first->file, first->line);
	file->section = ini_section_new(file->ini, kind, name, file->name, file->line);
	file->skip = false;
	file->sections = arena_grow(file->ini->arena, file->sections, file->count, sizeof(*file->sections));
	file->sections[file->count++] = file->section;
	dictionary_put(&file->by_name, kind, file->section->name, file->section);
}

/* Checks one line, and handles it if it is a header. Returns true for a valid assignment, for inih. */
static bool handle_line(struct ini_lines *file, const char *line, size_t size)
{
	size_t blank = strspn(line, " \t");
	char inside[INI_SECTION_MAX + 1];

	if (strlen(line) != size) {
		ini_complain_line(file, "there is a NUL byte in this line; an ini file is plain text");
		file->next = file->end; /* the rest of the file is ignored */
		return false;
	}
	if (size > INI_LINE_MAX) {
		ini_complain_line(file, "this line has %zu bytes; %d are the most", size, INI_LINE_MAX);
		return false;
	}
	if (line[blank] == '\0' || line[blank] == ';' || line[blank] == '#')
		return false;
	if (blank) {
		ini_complain_line(file,
		    "`%s` does not start in the first column; indented lines mean nothing here",
		    line + blank);
		return false;
	}
	if (line[0] != '[')
		return ini_check_assignment(file, line);
	if (ini_check_header(file, line, inside))
		read_header(file, inside);
	return false; /* not passed to inih, which would truncate a long name */
}

/* The read callback of inih: returns the next line if it is a valid assignment, else an empty line. */
static char *read_line(char *line, int cap, void *user)
{
	struct ini_lines *file = user;
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
    struct ini *ini, const struct ini_lines *from, const char *path, const struct place *named_at);

/* If `path`, a profile that was included, holds [link default], makes that available by its name. */
static void alias_included(struct ini *ini, const char *profile, const char *path)
{
	const struct section_kind *kind = keys_kind(ini->kinds, ini->kind_count, "link");
	struct ini_section *link = kind ? dictionary_get(&ini->by_name, kind, "default") : NULL;

	if (link && strcmp(link->file, path) == 0)
		ini_link_alias(ini, kind, profile, link);
}

void ini_read_includes(struct ini_lines *file, struct ini_section *section, const struct ini_entry *entry)
{
	struct place place = ini_place(section, entry);
	char *rest = arena_text(file->ini->arena, entry->value, strlen(entry->value));

	for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
		struct ini_entry part = *entry;

		const char *path;

		part.value = ini_trim(file->ini->arena, item);
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

/* Keeps the [proxy] of an included file for ini_merge_settings. It must not set where to listen or forward:
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

void ini_merge_settings(struct ini *ini)
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
static void read_sections(struct ini_lines *file, const char *text, size_t size)
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
	if ((refused_line = ini_parse_stream(read_line, file, ini_handle_assignment, file))) {
		file->line = refused_line;
		ini_complain_line(file, "this line is not understood");
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
				ini_read_includes(file, section, &section->entries[k]);
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
		ini_merge_settings(ini);
	dictionary_free(&file->by_name);
	text_add(&ini->text, "; file %s\n", file->name);
	text_add_bytes(&ini->text, text, strlen(text) < size ? strlen(text) : size);
	if (size && text[size - 1] != '\n')
		text_add(&ini->text, "\n");
}

/* Registers a file, identified by device and inode, however its name is spelled. Returns its id, or
 * complains and returns NULL if it is being read or was already read. */
static const char *register_file(
    struct ini *ini, const struct ini_lines *from, const char *path, const struct place *named_at)
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

static enum ini_trust trust_of(const struct ini *ini, const struct ini_lines *from)
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
    struct ini *ini, const struct ini_lines *from, const char *path, const struct place *named_at)
{
	struct ini_lines file = {.ini = ini, .name = path};
	struct error error;
	const char *text, *id;
	size_t size;

	if (from) {
		memcpy(file.stack, from->stack, sizeof(file.stack));
		file.depth = from->depth;
	}
	if (!(id = register_file(ini, from, path, named_at)))
		return;
	if (file.depth == INI_DEPTH_MAX) {
		complaints_add(ini->complaints, COMPLAINT_ERROR, named_at, "includes go more than %d deep",
		    INI_DEPTH_MAX);
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
	struct ini_lines file = {.ini = ini, .name = arena_text(ini->arena, name, strlen(name))};

	file.stack[file.depth++] = file.name;
	read_sections(&file, arena_text(ini->arena, text, size), size);
}
