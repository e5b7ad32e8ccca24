/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a campaign's file: fills the structs by the tables, then completes what needs several keys (the
 * values of axes, the spans of searches), and checks that selectors name axes and labels that exist.
 */
#include "campaign/settings.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ini.h"
#include "base/regular.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- Sections ---- */

static void complain(struct settings *settings, const char *kind, const char *name, const char *key,
    struct complaints *complaints, const char *format, ...) __attribute__((format(printf, 6, 7)));
static void complain(struct settings *settings, const char *kind, const char *name, const char *key,
    struct complaints *complaints, const char *format, ...)
{
	const struct ini_section *section = ini_find(settings->ini, kind, name);
	struct text text = {0};
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	if (section)
		ini_complain(section, key ? ini_entry(section, key) : NULL, complaints, "%s", text.at);
	text_free(&text);
}

/* Reads all sections of a kind into an array of structs that begin with their name (if they have one). */
static void *read_sections(struct settings *settings, const struct section_kind *kind,
    struct reading *reading, struct complaints *complaints, size_t *count)
{
	char *all;

	*count = 0;
	for (size_t i = 0; i < ini_count(settings->ini); i++)
		*count += ini_section(settings->ini, i)->kind == kind;
	all = arena_get(settings->arena, (*count + 1) * kind->size);
	*count = 0;
	for (size_t i = 0; i < ini_count(settings->ini); i++) {
		const struct ini_section *section = ini_section(settings->ini, i);
		char *into = all + *count * kind->size;

		if (section->kind != kind)
			continue;
		if (section->name[0] == '.')
			ini_complain(section, NULL, complaints, "has a name that begins with `.`");
		keys_set_defaults(kind, into, reading);
		/* A default list is replaced, not extended. */
		if (kind == settings_kinds[KIND_CAMPAIGN] && ini_entry(section, "seeds"))
			((struct campaign_settings *)(void *)into)->seeds.count = 0;
		if (kind == settings_kinds[KIND_SEARCH])
			((struct search_section *)(void *)into)->worse = -1;
		if (kind->named)
			memcpy(into, &section->name, sizeof(section->name));
		keys_fill(kind, section, into, reading, complaints);
		++*count;
	}
	return all;
}

static void require_key(struct settings *settings, const char *kind, const char *name, const char *key,
    const void *value, struct complaints *complaints)
{
	if (!value)
		complain(settings, kind, name, NULL, complaints, "lacks `%s = …`", key);
}

/* ---- Axes ---- */

static void add_value(struct settings *settings, struct axis *axis, const char *value)
{
	axis->all = arena_grow(settings->arena, axis->all, axis->count, sizeof(*axis->all));
	axis->all[axis->count++] = (struct axis_value){.value = value};
}

/* Returns the name of an included network: the file's without folder and `.ini`, or the profile's. */
static const char *include_name(struct settings *settings, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t size;

	if (ini_is_profile(path))
		name = path + strlen("profile:");
	size = strlen(name);
	if (size > 4 && strcmp(name + size - 4, ".ini") == 0)
		size -= 4;
	return arena_text(settings->arena, name, size);
}

/* Adds the files of one `include`, a pattern possibly, relative to the campaign's file. */
static void add_include(
    struct settings *settings, struct axis *axis, const char *written, struct complaints *complaints)
{
	const char *slash = strrchr(settings->path, '/');
	struct text path = {0};
	glob_t found;

	if (ini_is_profile(written) || strcmp(written, "none") == 0) {
		add_value(settings, axis, written);
		return;
	}
	if (written[0] != '/' && slash)
		text_add_bytes(&path, settings->path, (size_t)(slash + 1 - settings->path));
	text_add_word(&path, written);
	if (glob(path.at, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			add_value(settings, axis,
			    arena_text(settings->arena, found.gl_pathv[i], strlen(found.gl_pathv[i])));
		globfree(&found);
	} else {
		complain(settings, "axis", axis->name, "include", complaints, "`%s`: there is no such file",
		    written);
	}
	text_free(&path);
}

static void label_values(struct settings *settings, struct axis *axis, struct complaints *complaints)
{
	if (axis->names.count && axis->names.count != axis->count)
		complain(settings, "axis", axis->name, "names", complaints, "are %zu for %zu values",
		    axis->names.count, axis->count);
	for (size_t i = 0; i < axis->count; i++) {
		struct axis_value *value = &axis->all[i];
		const char *text = i < axis->names.count ? axis->names.all[i]
		                   : axis->is_include    ? include_name(settings, value->value)
		                                         : value->value;

		value->label = settings_label(settings->arena, text);
		if (!*value->label || strchr(".-", *value->label))
			complain(settings, "axis", axis->name, NULL, complaints,
			    "the label `%s` would begin with `.` or `-`; use `names`", value->label);
		for (size_t k = 0; k < i; k++)
			if (strcmp(axis->all[k].label, value->label) == 0)
				complain(settings, "axis", axis->name, NULL, complaints,
				    "two values have the label `%s`; use `names`", value->label);
	}
}

static void complete_axis(struct settings *settings, struct axis *axis, struct complaints *complaints)
{
	axis->is_include = axis->includes.count > 0;
	if (axis->is_include && (axis->set.count || axis->values.count || axis->single_values.count))
		complain(settings, "axis", axis->name, "include", complaints,
		    "stands in place of `set` and `values`: an axis has one or the other");
	for (size_t i = 0; i < axis->includes.count; i++)
		add_include(settings, axis, axis->includes.all[i], complaints);
	for (size_t i = 0; i < axis->values.count; i++)
		add_value(settings, axis, axis->values.all[i]);
	for (size_t i = 0; i < axis->single_values.count; i++)
		add_value(settings, axis, axis->single_values.all[i]);
	if (!axis->count && !axis->is_include)
		complain(settings, "axis", axis->name, NULL, complaints,
		    "has no values; they are given by `values`, `value` or `include`");
	for (size_t i = 0; i < axis->set.count; i++)
		if (axis->set.all[i][0] != '[' || !strchr(axis->set.all[i], ']') ||
		    strchr(axis->set.all[i], '='))
			complain(settings, "axis", axis->name, "set", complaints,
			    "`%s` names no key; one is `[link default] loss`", axis->set.all[i]);
	label_values(settings, axis, complaints);
}

/* ---- Searches ---- */

/* Keys of which less is worse, and those of which more is; both without `up.` and `down.`. */
static const char *const less_is_worse[] = {"rate", "mtu", "queue", "nat_timeout", "nat_timeout_stream",
    "idle_timeout", "max_sessions", "max_queued", "limit", "wake_after"};
static const char *const more_is_worse[] = {"latency", "jitter", "loss", "loss_run", "reorder", "reorder_by",
    "reorder_wait", "duplicate", "corrupt", "packet_time", "overhead", "wake_delay", "probability"};
static const char *const worse_actions[] = {"blackout", "delay", "drop", "duplicate", "nat_forget"};

static bool is_one_of(const char *word, size_t size, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(words[i]) == size && strncmp(words[i], word, size) == 0)
			return true;
	return false;
}

/* Returns 0 if more is worse, 1 if less is, or -1 if the key does not say. */
static int worse_by_key(const char *set, const char *value)
{
	const char *key = strchr(set, ']');
	size_t size;

	if (!key)
		return -1;
	key += 1 + strspn(key + 1, " \t");
	if (strncmp(key, "up.", 3) == 0)
		key += 3;
	else if (strncmp(key, "down.", 5) == 0)
		key += 5;
	size = strcspn(key, " \t");
	if (is_one_of(key, size, more_is_worse, COUNT(more_is_worse)))
		return 0;
	if (is_one_of(key, size, less_is_worse, COUNT(less_is_worse)))
		return 1;
	return is_one_of(value, strcspn(value, " \t"), worse_actions, COUNT(worse_actions)) ? 0 : -1;
}

int settings_range(
    const char *text, const struct figure_unit *unit, double *low, double *high, struct error *error)
{
	const char *dash = strchr(text, '-');
	char first[64], second[64];
	char *end;

	*low = -(double)INFINITY;
	*high = INFINITY;
	if (!dash || strlen(text) >= sizeof(first) || !dash[dash == text])
		return error_set(error, "`%s` is no range; one is 50-, -300 or 50-300", text);
	snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
	snprintf(second, sizeof(second), "%s", dash + 1);
	for (int i = 0; i < 2; i++) {
		const char *part = i ? second : first;
		double *bound = i ? high : low;

		if (!*part)
			continue;
		if (unit) {
			if (figure_read(part, unit, bound, error))
				return -1;
			continue;
		}
		*bound = strtod(part, &end);
		if (*end || !isfinite(*bound))
			return error_set(error, "`%s` is no number", part);
	}
	if (*low > *high)
		return error_set(error, "`%s` ends before it begins", text);
	return 0;
}

static void complete_span(
    struct settings *settings, struct search_section *search, struct complaints *complaints)
{
	struct search_settings *span = &search->settings;
	const char *bare_from = search->from;
	struct error error;

	/* `from = 0` has the unit of `to`. */
	if (strcmp(bare_from, "0") == 0)
		bare_from = search->to;
	if (figure_read_unit(bare_from, &span->unit, &span->from, &error) ||
	    figure_read(search->from, &span->unit, &span->from, &error))
		complain(settings, "search", search->name, "from", complaints, "%s", error.text);
	else if (figure_read(search->to, &span->unit, &span->to, &error))
		complain(settings, "search", search->name, "to", complaints, "%s", error.text);
	else if (span->from >= span->to)
		complain(settings, "search", search->name, "to", complaints, "is not above `from`");
	else if (search->require && settings_range(search->require, &span->unit, &search->require_low,
	                                &search->require_high, &error))
		complain(settings, "search", search->name, "require", complaints, "%s", error.text);
	if (strstr(search->set, "loss_run"))
		span->unit.whole = false;
}

static void complete_search(
    struct settings *settings, struct search_section *search, struct complaints *complaints)
{
	require_key(settings, "search", search->name, "set", search->set, complaints);
	require_key(settings, "search", search->name, "from", search->from, complaints);
	require_key(settings, "search", search->name, "to", search->to, complaints);
	if (!search->set || !search->from || !search->to)
		return;
	search->settings.target = search->target;
	search->settings.precision = search->precision;
	search->settings.runs = (unsigned)search->runs;
	complete_span(settings, search, complaints);
	if (!strstr(search->value, "{}"))
		complain(settings, "search", search->name, "value", complaints,
		    "does not hold {}, which stands for the figure");
	if (search->set[0] != '[' || !strchr(search->set, ']') || strchr(search->set, '='))
		complain(settings, "search", search->name, "set", complaints,
		    "`%s` names no key; one is `[link default] loss`", search->set);
	if (search->worse < 0)
		search->worse = worse_by_key(search->set, search->value);
	if (search->worse < 0)
		complain(settings, "search", search->name, NULL, complaints,
		    "lacks `worse = more` or `worse = less`, which does not follow from `%s`", search->set);
	search->settings.less = search->worse == 1;
}

/* ---- Others ---- */

static void complete_measure(
    struct settings *settings, struct measure_section *measure, struct complaints *complaints)
{
	struct error error;

	measure->require_low = -(double)INFINITY;
	measure->require_high = INFINITY;
	if (measure->require &&
	    settings_range(measure->require, NULL, &measure->require_low, &measure->require_high, &error))
		complain(settings, "measure", measure->name, "require", complaints, "%s", error.text);
}

static void complete_sweep(struct settings *settings, struct sweep_section *sweep)
{
	static const struct fault drop = {FAULT_DROP, "drop", "drop", 1};

	if (sweep->faults.count)
		return;
	sweep->faults.all = arena_grow(settings->arena, NULL, 0, sizeof(drop));
	sweep->faults.all[0] = drop;
	sweep->faults.count = 1;
}

static void check_environment(
    struct settings *settings, const struct bench_section *bench, struct complaints *complaints)
{
	for (size_t i = 0; i < bench->environment.count; i++)
		if (bench->environment.all[i][0] == '=' || !strchr(bench->environment.all[i], '='))
			complain(settings, "bench", bench->name, "environment", complaints,
			    "`%s` is no variable; one is NAME=VALUE", bench->environment.all[i]);
}

/* ---- Selectors ---- */

static const struct axis *find_axis(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->axis_count; i++)
		if (strcmp(settings->axes[i].name, name) == 0)
			return &settings->axes[i];
	return NULL;
}

static bool has_label(const struct axis *axis, const char *label)
{
	for (size_t i = 0; i < axis->count; i++)
		if (strcmp(axis->all[i].label, label) == 0)
			return true;
	return false;
}

static void check_selector(struct settings *settings, const struct selector *selector, const char *kind,
    const char *name, const char *key, struct complaints *complaints)
{
	for (size_t i = 0; i < selector->term_count; i++) {
		const struct selector_term *term = &selector->terms[i];
		const struct axis *axis = find_axis(settings, term->axis);

		if (!axis)
			complain(settings, kind, name, key, complaints, "there is no [axis %s]", term->axis);
		else if (!has_label(axis, term->label))
			complain(settings, kind, name, key, complaints, "[axis %s] has no value `%s`",
			    term->axis, term->label);
	}
}

static void check_selectors(struct settings *settings, struct complaints *complaints)
{
	const struct campaign_settings *campaign = &settings->campaign;

	for (size_t i = 0; i < campaign->timeouts.count; i++)
		check_selector(
		    settings, &campaign->timeouts.all[i].selector, "campaign", "", "timeout", complaints);
	for (size_t i = 0; i < campaign->requirements.count; i++)
		check_selector(
		    settings, &campaign->requirements.all[i].selector, "campaign", "", "require", complaints);
	for (size_t i = 0; i < campaign->excluded.count; i++)
		check_selector(settings, &campaign->excluded.all[i], "campaign", "", "exclude", complaints);
	for (size_t b = 0; b < settings->bench_count; b++)
		for (size_t i = 0; i < settings->benches[b].only.count; i++)
			check_selector(settings, &settings->benches[b].only.all[i], "bench",
			    settings->benches[b].name, "only", complaints);
}

/* ---- The whole ---- */

bool settings_take(const char *assignment)
{
	for (size_t i = 0; assignment[0] == '[' && i < settings_kind_count; i++) {
		size_t size = strlen(settings_kinds[i]->name);

		if (strncmp(assignment + 1, settings_kinds[i]->name, size) == 0 &&
		    (assignment[1 + size] == ']' || assignment[1 + size] == ' '))
			return true;
	}
	return false;
}

bool settings_is_campaign(const char *path)
{
	static const char header[] = "[campaign]";
	struct text text = {0};
	struct error error;
	bool found = false;

	if (regular_load(path, INI_FILE_MAX, &text, &error) == 0)
		for (const char *line = text.at; line && *line && !found; line = strchr(line, '\n')) {
			line += *line == '\n';
			found = strncmp(line, header, sizeof(header) - 1) == 0;
		}
	text_free(&text);
	return found;
}

static void complete(struct settings *settings, struct complaints *complaints)
{
	struct campaign_settings *campaign = &settings->campaign;

	/* A line that is wrong was reported already. */
	if (!complaints_count(complaints, COMPLAINT_ERROR)) {
		require_key(settings, "campaign", "", "config", campaign->config, complaints);
		require_key(settings, "campaign", "", "test", campaign->test, complaints);
	}
	for (size_t i = 0; i < settings->axis_count; i++)
		complete_axis(settings, &settings->axes[i], complaints);
	for (size_t i = 0; i < settings->search_count; i++)
		complete_search(settings, &settings->searches[i], complaints);
	for (size_t i = 0; i < settings->sweep_count; i++)
		complete_sweep(settings, &settings->sweeps[i]);
	for (size_t i = 0; i < settings->measure_count; i++)
		complete_measure(settings, &settings->measures[i], complaints);
	for (size_t i = 0; i < settings->bench_count; i++)
		check_environment(settings, &settings->benches[i], complaints);
	check_selectors(settings, complaints);
}

struct settings *settings_new(
    const char *path, const char *const *sets, size_t set_count, struct complaints *complaints)
{
	struct arena *arena = arena_new();
	struct settings *settings = arena_get(arena, sizeof(*settings));
	struct reading reading = {.arena = arena};
	size_t count;

	settings->arena = arena;
	settings->path = arena_text(arena, path, strlen(path));
	settings->ini = ini_new(settings_kinds, settings_kind_count, NULL, complaints);
	ini_read(settings->ini, path);
	for (size_t i = 0; i < set_count; i++)
		if (settings_take(sets[i]))
			ini_set(settings->ini, sets[i]);
	reading.ini = settings->ini;
	settings->campaign = *(struct campaign_settings *)read_sections(
	    settings, settings_kinds[KIND_CAMPAIGN], &reading, complaints, &count);
	if (!count && !complaints_count(complaints, COMPLAINT_ERROR)) {
		struct place place = {.file = settings->path};

		complaints_add(complaints, COMPLAINT_ERROR, &place, "there is no [campaign]");
	}
	settings->axes = read_sections(
	    settings, settings_kinds[KIND_AXIS], &reading, complaints, &settings->axis_count);
	settings->searches = read_sections(
	    settings, settings_kinds[KIND_SEARCH], &reading, complaints, &settings->search_count);
	settings->sweeps = read_sections(
	    settings, settings_kinds[KIND_SWEEP], &reading, complaints, &settings->sweep_count);
	settings->measures = read_sections(
	    settings, settings_kinds[KIND_MEASURE], &reading, complaints, &settings->measure_count);
	settings->benches = read_sections(
	    settings, settings_kinds[KIND_BENCH], &reading, complaints, &settings->bench_count);
	if (count)
		complete(settings, complaints);
	return settings;
}

void settings_free(struct settings *settings)
{
	if (!settings)
		return;
	ini_free(settings->ini);
	arena_free(settings->arena);
}
