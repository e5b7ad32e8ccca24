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
#include <unistd.h>

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
	struct setup_source setup_source = {.file = source->config};
	struct setup *setup;

	collect_settings(source, &sets);
	collect_overlays(source, &overlays);
	setup_source.sets = (const char *const *)sets.all;
	setup_source.set_count = sets.count;
	setup_source.overlays = (const char *const *)overlays.all;
	setup_source.overlay_count = overlays.count;
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
	int fd = regular_open(from, false, error);
	int failed = fd < 0 || regular_read(fd, from, INI_FILE_MAX, &bytes, error) ||
	             output_file_open(&file, to, error);

	if (!failed) {
		if (bytes.size)
			fwrite(bytes.at, 1, bytes.size, file.out);
		failed = output_file_close(&file, to, error);
	}
	if (fd >= 0)
		close(fd);
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
	int fd, failed;

	text_add(&path, "%s/case.ini", folder);
	fd = regular_open(path.at, false, error);
	failed = fd < 0 || regular_read(fd, path.at, INI_FILE_MAX, &whole, error);
	for (char *rest = whole.at, *line; !failed && (line = strsep(&rest, "\n"));)
		if (rest || *line)
			failed = keep_line(folder, line, &copied, &out, error);
	if (!failed && copied && (failed = output_file_open(&file, path.at, error)) == 0) {
		fwrite(out.at, 1, out.size, file.out);
		failed = output_file_close(&file, path.at, error);
	}
	if (fd >= 0)
		close(fd);
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
			int fd;

			if (!path)
				continue;
			add_absolute(section->entries[k].file, path, &absolute);
			fd = regular_open(absolute.at, false, &error);
			if (fd >= 0 && regular_read(fd, absolute.at, INI_FILE_MAX, &bytes, &error) == 0)
				hash = chance_hash(hash, bytes.size ? bytes.at : "", bytes.size);
			if (fd >= 0)
				close(fd);
			text_free(&absolute);
			text_free(&bytes);
		}
	}
	return hash;
}

/* ---- Checking ---- */

/* Returns whether a value of the configuration names this section: `link = NAME`, `like = NAME`, `do = link
 * NAME …`, `device = NAME, …`. */
static bool is_named(const struct ini *ini, const char *name)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < ini_count(ini); i++) {
		const struct ini_section *section = ini_section(ini, i);

		for (size_t k = 0; k < section->entry_count; k++) {
			const char *value = section->entries[k].value;

			for (const char *at = strstr(value, name); at; at = strstr(at + 1, name))
				if ((at == value || strchr(" \t,", at[-1])) &&
				    (at[size] == '\0' || strchr(" \t,", at[size])))
					return true;
		}
	}
	return false;
}

/* Returns whether a session can be on the link: a device or a rule names it, or, of [link default], a session
 * may have no [device], or one without `link`. */
static bool is_link_reached(const struct setup *setup, const char *name)
{
	const struct config *config = setup->config;

	if (is_named(setup->ini, name))
		return true;
	if (strcmp(name, "default") != 0)
		return false;
	for (size_t i = 0; i < config->device_count; i++) {
		if (config->devices[i].link == config->default_link)
			return true;
		if (!config->devices[i].address.count && !config->devices[i].listener.count)
			return false;
	}
	return true;
}

/* Returns the [device] before `device` that takes every session, or NULL. */
static const struct device *shadowing(const struct config *config, const struct device *device)
{
	for (const struct device *other = config->devices; other < device; other++)
		if (!other->address.count && !other->listener.count)
			return other;
	return NULL;
}

/* Checks one "[SECTION] KEY" that an axis or a search sets. */
static void check_set(
    const struct setup *setup, const char *set, const struct place *place, struct complaints *complaints)
{
	const char *close = strchr(set, ']'), *key = close + 1 + strspn(close + 1, " \t");
	char title[INI_SECTION_MAX + 2];
	size_t size = strcspn(key, " \t=");

	snprintf(title, sizeof(title), "%.*s", (int)(close - set - 1), set + 1);
	for (size_t i = 0; i < ini_count(setup->ini); i++) {
		const struct ini_section *section = ini_section(setup->ini, i);
		const char *kind = section->kind->name;

		if (strcmp(section->title, title) != 0)
			continue;
		for (size_t k = 0; k < section->entry_count; k++) {
			const char *other = section->entries[k].key, *dot = strchr(other, '.');

			if (!section->entries[k].inherited && dot && strlen(dot + 1) == size &&
			    strncmp(dot + 1, key, size) == 0)
				complaints_add(complaints, COMPLAINT_ERROR, place,
				    "`%s` has no effect on that direction: [%s] sets `%s`, which is more "
				    "specific",
				    set, title, other);
		}
		if (strcmp(kind, "link") == 0 && !is_link_reached(setup, section->name))
			complaints_add(complaints, COMPLAINT_ERROR, place,
			    "`%s`: no session can have [%s]: no [device] and no rule names it", set, title);
		if (strcmp(kind, "device") == 0 && section->index < setup->config->device_count) {
			const struct device *first = shadowing(
			    setup->config, &setup->config->devices[section->index]);

			if (first)
				complaints_add(complaints, COMPLAINT_ERROR, place,
				    "`%s`: no session can have [%s]: [device %s] before it takes all", set,
				    title, first->name);
		}
	}
}

static struct place place_of(
    const struct campaign_plan *plan, const char *kind, const char *name, const char *key)
{
	const struct ini_section *section = ini_find(plan->settings->ini, kind, name);
	const struct ini_entry *entry = section && key ? ini_entry(section, key) : NULL;

	return section ? ini_place(section, entry) : (struct place){.file = plan->settings->path};
}

/* The state of checking all cells. The same error in many cells is reported for the first. */
struct checking {
	const struct network_source *from;
	struct names *names;
	struct complaints *complaints;
	struct arena *arena;
	struct dictionary told;
	uint64_t jobs;
};

static void report(struct checking *c, const struct place *place, const char *cell, const char *message)
{
	const char *text = arena_text(c->arena, message, strlen(message));

	if (dictionary_get(&c->told, NULL, text))
		return;
	dictionary_put(&c->told, NULL, text, c);
	if (cell)
		complaints_add(c->complaints, COMPLAINT_ERROR, place, "cell `%s`: %s", cell, text);
	else
		complaints_add(c->complaints, COMPLAINT_ERROR, place, "%s", text);
}

/* Reports the errors of building one network. Returns whether there were any. */
static bool report_all(
    struct checking *c, struct complaints *own, const struct place *place, const char *cell)
{
	struct text errors = {0};
	bool any;

	complaints_errors(own, &errors);
	any = errors.size > 0;
	for (char *rest = errors.at, *line; rest && (line = strsep(&rest, "\n"));)
		if (*line)
			report(c, place, cell, line);
	text_free(&errors);
	return any;
}

/* Reports what check_set finds, each message once. */
static void check_one_set(
    struct checking *c, const struct setup *setup, const char *set, const struct place *place)
{
	struct complaints *own = complaints_new();

	check_set(setup, set, place, own);
	report_all(c, own, place, NULL);
	complaints_free(own);
}

static bool has_fixed_port(const struct setup *setup)
{
	for (size_t i = 0; i < setup->proxy.listen.count; i++)
		if (setup->proxy.listen.all[i].port)
			return true;
	return false;
}

/* Builds one network and checks it. */
static void check_one(struct checking *c, const struct network_source *source)
{
	struct complaints *own = complaints_new();
	struct setup *setup = network_build(source, c->names, own);
	const struct campaign_plan *plan = source->plan;
	const struct settings *settings = plan->settings;
	struct place place = source->bench ? place_of(plan, "bench", source->bench->name, NULL)
	                                   : place_of(plan, "campaign", "", "config");

	if (!report_all(c, own, &place, source->cell->id)) {
		for (size_t a = 0; a < settings->axis_count; a++)
			for (size_t i = 0; i < settings->axes[a].set.count; i++) {
				place = place_of(plan, "axis", settings->axes[a].name, "set");
				check_one_set(c, setup, settings->axes[a].set.all[i], &place);
			}
		place = place_of(plan, "campaign", "", "jobs");
		if (!settings->bench_count && c->jobs > 1 && has_fixed_port(setup))
			report(c, &place, NULL,
			    "more than one case at a time needs `listen` with port 0, or benches");
	}
	setup_free(setup);
	complaints_free(own);
}

/* Builds the network at both ends of a search. */
static void check_search(
    struct checking *c, const struct network_source *from, const struct search_section *search)
{
	double figures[] = {search->settings.from, search->settings.to};
	struct place place = place_of(from->plan, "search", search->name, "set");

	for (int i = 0; i < 2; i++) {
		struct network_source source = *from;
		struct complaints *own = complaints_new();
		struct text extra = {0};
		struct setup *setup;

		plan_search_setting(search, figures[i], &extra);
		source.extra = extra.at;
		setup = network_build(&source, c->names, own);
		if (!report_all(c, own, &place, source.cell->id))
			check_one_set(c, setup, search->set, &place);
		setup_free(setup);
		complaints_free(own);
		text_free(&extra);
	}
}

/* Returns whether two listeners cannot be open at the same time. */
static bool collide(const struct address *x, const struct address *y)
{
	return x->port && x->port == y->port && x->family == y->family &&
	       (address_same_host(x, y) || address_is_any(x) || address_is_any(y));
}

/* Benches run side by side, so their listeners must differ. */
static void check_benches(struct checking *c)
{
	const struct settings *settings = c->from->plan->settings;
	struct setup **setups = memory_new(settings->bench_count + 1, sizeof(*setups));

	for (size_t b = 0; b < settings->bench_count; b++) {
		struct network_source source = *c->from;
		struct complaints *own = complaints_new();

		source.cell = &c->from->plan->cells[0];
		source.bench = &settings->benches[b];
		setups[b] = network_build(&source, c->names, own);
		complaints_free(own);
	}
	for (size_t b = 0; b < settings->bench_count; b++)
		for (size_t other = 0; other < b; other++)
			for (size_t i = 0; i < setups[b]->proxy.listen.count; i++)
				for (size_t k = 0; k < setups[other]->proxy.listen.count; k++) {
					struct place place = place_of(
					    c->from->plan, "bench", settings->benches[b].name, "set");

					if (collide(&setups[b]->proxy.listen.all[i],
					        &setups[other]->proxy.listen.all[k]))
						complaints_add(c->complaints, COMPLAINT_ERROR, &place,
						    "listens where [bench %s] does; each needs a `listen` of "
						    "its own, or "
						    "port 0",
						    settings->benches[other].name);
				}
	for (size_t b = 0; b < settings->bench_count; b++)
		setup_free(setups[b]);
	free(setups);
}

static void check_cell(struct checking *c, const struct cell *cell)
{
	const struct campaign_plan *plan = c->from->plan;
	const struct settings *settings = plan->settings;
	struct network_source source = *c->from;
	struct place place = place_of(plan, "campaign", "", NULL);
	size_t benches = 0;

	source.cell = cell;
	if (!settings->bench_count)
		check_one(c, &source);
	for (size_t b = 0; b < settings->bench_count; b++) {
		if (!plan_bench_fits(plan, &settings->benches[b], cell))
			continue;
		benches++;
		source.bench = &settings->benches[b];
		check_one(c, &source);
	}
	if (settings->bench_count && !benches)
		complaints_add(
		    c->complaints, COMPLAINT_ERROR, &place, "no [bench] may run the cell `%s`", cell->id);
	for (size_t s = 0; s < settings->search_count; s++)
		check_search(c, &source, &settings->searches[s]);
}

void network_check_all(const struct network_source *from, uint64_t jobs, struct complaints *complaints)
{
	struct checking c = {
	    .from = from, .names = names_new(), .complaints = complaints, .arena = arena_new(), .jobs = jobs};

	for (size_t i = 0; i < from->plan->cell_count; i++)
		check_cell(&c, &from->plan->cells[i]);
	if (!complaints_count(complaints, COMPLAINT_ERROR))
		check_benches(&c);
	dictionary_free(&c.told);
	arena_free(c.arena);
	names_free(c.names);
}
