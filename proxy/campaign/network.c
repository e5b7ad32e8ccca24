/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The settings of a case are lines "[SECTION] KEY = VALUE", which setup_new applies as --set does. What comes
 * from includes of axes is laid over the file before (base/ini.h, ini_overlay).
 */
#include "proxy/campaign/network.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/fresh.h"
#include "base/memory.h"
#include "base/regular.h"
#include "campaign/sweep.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- Building ---- */

struct lines {
	char **all;
	size_t count;
};

static void lines_add(struct lines *lines, const char *text, size_t size)
{
	lines->all = memory_grow(lines->all, lines->count, sizeof(*lines->all));
	lines->all[lines->count++] = memory_text(text, size);
}

/* Adds each line that is neither empty nor a comment. */
static void lines_split(struct lines *lines, const char *text)
{
	for (size_t size; text && *text; text += size + (text[size] == '\n')) {
		size_t blank = strspn(text, " \t");

		size = strcspn(text, "\n");
		if (blank < size && !strchr(";#", text[blank]))
			lines_add(
			    lines, text + blank, size - blank - (size > blank && text[size - 1] == '\r'));
	}
}

static void lines_free(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->all[i]);
	free(lines->all);
}

/* `prepare` writes lines as they follow --set, with or without that word and quotes. */
static const char *setting_of(char *line)
{
	static const char option[] = "--set";
	size_t size;

	if (strncmp(line, option, sizeof(option) - 1) == 0)
		line += sizeof(option) - 1 + strspn(line + sizeof(option) - 1, " \t=");
	size = strlen(line);
	if (size > 1 && strchr("\"'", line[0]) && line[size - 1] == line[0]) {
		line[size - 1] = '\0';
		line++;
	}
	return line;
}

static void collect_settings(const struct network_source *source, struct lines *lines)
{
	struct text cell = {0};
	size_t from;

	if (!source->is_clean) {
		plan_cell_settings(source->plan, source->cell, &cell);
		lines_split(lines, cell.at);
		text_free(&cell);
	}
	for (size_t i = 0; source->bench && i < source->bench->sets.count; i++)
		lines_split(lines, source->bench->sets.all[i]);
	lines_split(lines, source->extra);
	for (size_t i = 0; i < source->set_count; i++)
		lines_split(lines, source->sets[i]);
	from = lines->count;
	lines_split(lines, source->prepared);
	for (size_t i = from; i < lines->count; i++) {
		const char *setting = setting_of(lines->all[i]);

		memmove(lines->all[i], setting, strlen(setting) + 1);
	}
}

static void collect_overlays(const struct network_source *source, struct lines *overlays)
{
	const struct settings *settings = source->plan->settings;

	for (size_t a = 0; !source->is_clean && a < settings->axis_count; a++) {
		const char *value = plan_value(source->plan, source->cell, a)->value;

		if (settings->axes[a].is_include && strcmp(value, "none") != 0)
			lines_add(overlays, value, strlen(value));
	}
}

/* A case's proxy needs a listener, and an upstream unless `prepare` gives one. */
static void require_endpoints(
    const struct network_source *source, const struct setup *setup, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "proxy", "");
	struct place place = {.file = source->config, .section = "proxy"};

	if (section)
		place = ini_place(section, NULL);
	if (!setup->proxy.listen.count)
		complaints_add(
		    complaints, COMPLAINT_ERROR, &place, "lacks `listen = …`, which a campaign needs");
	if (!setup->proxy.upstream && !(source->plan->settings->campaign.prepare && !source->prepared))
		complaints_add(
		    complaints, COMPLAINT_ERROR, &place, "lacks `upstream = …`, which a campaign needs");
}

struct setup *network_build(
    const struct network_source *source, struct names *names, struct complaints *complaints)
{
	struct lines sets = {0}, overlays = {0};
	struct setup_source setup_source = {.ini.file = source->config};
	struct setup *setup;

	collect_settings(source, &sets);
	collect_overlays(source, &overlays);
	setup_source.ini.sets = (const char *const *)sets.all;
	setup_source.ini.set_count = sets.count;
	setup_source.ini.overlays = (const char *const *)overlays.all;
	setup_source.ini.overlay_count = overlays.count;
	setup = setup_new(&setup_source, SETUP_CHECK, names, complaints);
	if (!complaints_count(complaints, COMPLAINT_ERROR)) {
		require_endpoints(source, setup, complaints);
		if (config_rule(setup->config, SWEEP_RULE))
			ini_complain(ini_find(setup->ini, "rule", SWEEP_RULE), NULL, complaints,
			    "has the name of the rule that a sweep adds");
	}
	lines_free(&sets);
	lines_free(&overlays);
	return setup;
}

/* ---- Writing ---- */

/* The state of writing one configuration. */
struct writing {
	const struct network_source *source;
	const struct setup *setup;
	struct text *out;
	struct error *error;
	int failed;
};

static bool is_left_out(
    const struct writing *w, const struct ini_section *section, const struct ini_entry *entry)
{
	static const char *const from_capture[] = {
	    "file", "format", "rotate_size", "rotate_time", "keep", "snaplen"};
	static const char *const from_clean[] = {"nat_timeout", "nat_timeout_stream", "link"};
	const char *kind = section->kind->name;

	if (strcmp(entry->key, "like") == 0 || strcmp(entry->key, "include") == 0)
		return true;
	if (strcmp(kind, "proxy") == 0)
		return strcmp(entry->key, "seed") == 0;
	for (size_t i = 0; strcmp(kind, "capture") == 0 && i < COUNT(from_capture); i++)
		if (strcmp(entry->key, from_capture[i]) == 0)
			return true;
	for (size_t i = 0; w->source->is_clean && i < COUNT(from_clean); i++)
		if (strcmp(entry->key, from_clean[i]) == 0)
			return true;
	return false;
}

static bool is_section_left_out(const struct writing *w, const struct ini_section *section)
{
	const char *kind = section->kind->name;

	if (strcmp(kind, "control") == 0 || ini_is_profile(section->name))
		return true;
	if (strcmp(kind, "capture") == 0 && !ini_entry(section, "keylog"))
		return true; /* nothing else of it is kept */
	return w->source->is_clean && (strcmp(kind, "link") == 0 || strcmp(kind, "rule") == 0);
}

/* Returns the path of the table or trace that a value names, or NULL. Sets *prefix to what goes before it. */
static const char *table_in_value(const struct ini_entry *entry, const char **prefix)
{
	static const char file[] = "file ";
	const char *dot = strchr(entry->key, '.');
	const char *key = dot ? dot + 1 : entry->key;

	*prefix = "";
	if (strcmp(key, "trace") == 0)
		return entry->value;
	if (strcmp(key, "distribution") != 0 || strncmp(entry->value, file, sizeof(file) - 1) != 0)
		return NULL;
	*prefix = file;
	return entry->value + sizeof(file) - 1 + strspn(entry->value + sizeof(file) - 1, " \t");
}

/* Adds the absolute form of a path that stands in `file`. */
static void add_absolute(const char *file, const char *path, struct text *out)
{
	const char *slash = strrchr(file, '/');
	struct text joined = {0};
	char whole[PATH_MAX];

	if (path[0] != '/' && slash)
		text_add_bytes(&joined, file, (size_t)(slash + 1 - file));
	text_add_word(&joined, path);
	text_add_word(out, realpath(joined.at, whole) ? whole : joined.at);
	text_free(&joined);
}

static void write_value(struct writing *w, const struct ini_entry *entry)
{
	const char *prefix, *path = table_in_value(entry, &prefix);
	bool is_keylog = strcmp(entry->key, "keylog") ==
	                 0; /* relative to the current folder, not to the file */
	struct text absolute = {0};

	if (!path && !is_keylog) {
		const struct ini_section *link = strcmp(entry->key, "link") == 0
		                                     ? ini_find(w->setup->ini, "link", entry->value)
		                                     : NULL;

		/* A link of an included profile has two names; here it has one. */
		text_add_word(w->out, link && !ini_is_profile(entry->value) ? link->name : entry->value);
		return;
	}
	text_add_word(w->out, prefix);
	add_absolute(is_keylog ? "" : entry->file, is_keylog ? entry->value : path, &absolute);
	text_add_word(w->out, absolute.at);
	text_free(&absolute);
}

static void write_section(struct writing *w, const struct ini_section *section)
{
	if (is_section_left_out(w, section))
		return;
	text_add(w->out, "\n[%s]\n", section->title);
	for (size_t i = 0; i < section->entry_count && !w->failed; i++) {
		const struct ini_entry *entry = &section->entries[i];
		size_t start = w->out->size;

		if (is_left_out(w, section, entry))
			continue;
		text_add(w->out, "%s = ", entry->key);
		write_value(w, entry);
		if (w->out->size - start > INI_LINE_MAX)
			w->failed = error_set(w->error,
			    "[%s] %s: with its absolute path the line has %zu bytes; %d are the most",
			    section->title, entry->key, w->out->size - start, INI_LINE_MAX);
		text_add_word(w->out, "\n");
	}
}

int network_write(const struct network_source *source, const struct setup *setup, uint64_t seed,
    const char *fault, struct text *out, struct error *error)
{
	struct writing w = {.source = source, .setup = setup, .out = out, .error = error};
	const struct ini_section *proxy = ini_find(setup->ini, "proxy", "");

	text_add(out, "; The network of one case. It repeats by hand: deadzone run -c FILE\n");
	if (fault)
		text_add_word(out, fault);
	if (proxy)
		write_section(&w, proxy);
	else
		text_add_word(out, "\n[proxy]\n");
	text_add(out, "seed = %" PRIu64 "\n", seed);
	for (size_t i = 0; i < ini_count(setup->ini) && !w.failed; i++)
		if (ini_section(setup->ini, i) != proxy)
			write_section(&w, ini_section(setup->ini, i));
	return w.failed;
}

/* ---- Keeping ---- */

static int copy_file(const char *from, const char *to, struct error *error)
{
	struct text bytes = {0};
	struct output_file file;
	int failed = regular_load(from, INI_FILE_MAX, &bytes, error) || output_file_open(&file, to, error);

	if (!failed) {
		if (bytes.size)
			fwrite(bytes.at, 1, bytes.size, file.out);
		failed = output_file_close(&file, to, error);
	}
	text_free(&bytes);
	return failed;
}

/* Adds a line of case.ini. If it names a table or trace, that is copied beside, and named relative to it. */
static int keep_line(const char *folder, char *line, unsigned *copied, struct text *out, struct error *error)
{
	char *equals = strstr(line, " = ");
	struct ini_entry entry = {.key = line, .value = equals ? equals + 3 : ""};
	const char *prefix, *path = NULL, *slash;
	struct text name = {0}, to = {0};
	int failed = 0;

	if (equals) {
		*equals = '\0';
		path = table_in_value(&entry, &prefix);
	}
	if (!path) {
		text_add(out, equals ? "%s = %s\n" : "%s%s\n", entry.key, entry.value);
		return 0;
	}
	slash = strrchr(path, '/');
	text_add(&name, "%u-%s", ++*copied, slash ? slash + 1 : path);
	text_add(&to, "%s/%s", folder, name.at);
	failed = copy_file(path, to.at, error);
	text_add(out, "%s = %s%s\n", entry.key, prefix, name.at);
	text_free(&name);
	text_free(&to);
	return failed;
}

int network_keep(const char *folder, struct error *error)
{
	struct text path = {0}, whole = {0}, out = {0};
	struct output_file file;
	unsigned copied = 0;
	int failed;

	text_add(&path, "%s/case.ini", folder);
	failed = regular_load(path.at, INI_FILE_MAX, &whole, error);
	for (char *rest = whole.at, *line; !failed && (line = strsep(&rest, "\n"));)
		if (rest || *line)
			failed = keep_line(folder, line, &copied, &out, error);
	if (!failed && copied && (failed = output_file_open(&file, path.at, error)) == 0) {
		fwrite(out.at, 1, out.size, file.out);
		failed = output_file_close(&file, path.at, error);
	}
	text_free(&path);
	text_free(&whole);
	text_free(&out);
	return failed ? -1 : 0;
}

uint64_t network_contents(const struct setup *setup)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < ini_count(setup->ini); i++) {
		const struct ini_section *section = ini_section(setup->ini, i);

		for (size_t k = 0; k < section->entry_count; k++) {
			const char *prefix, *path = table_in_value(&section->entries[k], &prefix);
			struct text absolute = {0}, bytes = {0};
			struct error error;

			if (!path)
				continue;
			add_absolute(section->entries[k].file, path, &absolute);
			if (regular_load(absolute.at, INI_FILE_MAX, &bytes, &error) == 0)
				hash = chance_hash(hash, bytes.size ? bytes.at : "", bytes.size);
			text_free(&absolute);
			text_free(&bytes);
		}
	}
	return hash;
}
