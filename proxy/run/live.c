/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A change of a key is kept as a patch, and a change of a rule in the list of disabled rules. Each build
 * reads the cached files, applies all patches, and disables the listed rules. If a build fails, or is
 * abandoned because memory runs out, the change is removed again.
 */
#include "proxy/run/live.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

#define ORIGIN "api" /* in events: by=api */
#define PATCHES_MAX 10000

struct live {
	const struct setup_source *source;
	enum setup_use use;
	struct names *names;
	struct ini_files *files, *read; /* in force, and those of a load not yet in force */
	char **patches;
	size_t patch_count;
	char **disabled; /* names of rules */
	size_t disabled_count;
	char *enabled;          /* the name that the last change removed from `disabled`; for live_undo */
	struct addresses bound; /* the run's listeners; the caller's memory */
	live_upstream *on_upstream;
	void *on_upstream_user;
};

void live_set_listeners(struct live *live, struct address *listeners, size_t count)
{
	live->bound = (struct addresses){listeners, count};
}

void live_set_on_upstream(struct live *live, live_upstream *call, void *user)
{
	live->on_upstream = call;
	live->on_upstream_user = user;
}

struct live *live_new(const struct setup_source *source, enum setup_use use, struct names *names)
{
	struct live *live = memory_new(1, sizeof(*live));

	*live = (struct live){.source = source, .use = use, .names = names};
	return live;
}

static void strings_clear(char ***list, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
	*count = 0;
}

void live_free(struct live *live)
{
	if (!live)
		return;
	strings_clear(&live->patches, &live->patch_count);
	strings_clear(&live->disabled, &live->disabled_count);
	free(live->enabled);
	ini_files_free(live->files);
	ini_files_free(live->read);
	free(live);
}

static void strings_append(char ***list, size_t *count, const char *text, size_t size)
{
	char *copy = memory_text(text, size);

	*list = memory_grow(*list, *count, sizeof(**list));
	(*list)[(*count)++] = copy;
}

void live_visit_files(
    const struct live *live, const struct setup *setup, ini_files_visitor *visit, void *user)
{
	ini_files_visit(live->files, visit, user);
	for (size_t i = 0; i < setup->capture.keylog.count; i++)
		visit(user, setup->capture.keylog.all[i]);
	if (setup->control.token)
		visit(user, setup->control.token);
}

/* The file that is looked for, and whether it was among those visited. */
struct sought {
	struct stat st;
	bool found;
};

static void compare_file(void *user, const char *path)
{
	struct sought *sought = user;
	struct stat st;

	sought->found |= stat(path, &st) == 0 && st.st_dev == sought->st.st_dev &&
	                 st.st_ino == sought->st.st_ino;
}

bool live_reads(const struct live *live, const struct setup *setup, const char *path)
{
	struct sought sought = {.found = false};

	if (stat(path, &sought.st) == 0)
		live_visit_files(live, setup, compare_file, &sought);
	return sought.found;
}

size_t live_changes(const struct live *live)
{
	return live->patch_count + live->disabled_count;
}

/* ---- Building ---- */

/* Builds a setup from the files as last read, with all changes in effect. Returns NULL, with errors in
 * `complaints`, on failure. */
static struct setup *build_setup(struct live *live, struct complaints *complaints)
{
	struct setup_source source = *live->source;
	struct setup *setup;

	source.ini.patches = (const char *const *)live->patches;
	source.ini.patch_count = live->patch_count;
	source.ini.files = live->files;
	setup = setup_new(&source, live->use, live->names, complaints);
	if (complaints_count(complaints, COMPLAINT_ERROR)) {
		setup_free(setup);
		return NULL;
	}
	for (size_t i = 0; i < live->disabled_count; i++) {
		const struct rule *rule = config_rule(setup->config, live->disabled[i]);

		if (rule)
			setup->config->rules[rule->index].disabled = true;
	}
	return setup;
}

struct building {
	struct live *live;
	struct complaints *complaints;
	struct setup *setup;
};

static void build_task(void *user)
{
	struct building *building = user;

	building->setup = build_setup(building->live, building->complaints);
}

struct setup *live_load(struct live *live, struct complaints *complaints)
{
	struct live fresh = {.source = live->source, .use = live->use, .names = live->names};

	ini_files_free(live->read);
	live->read = NULL;
	live->read = fresh.files = ini_files_new();
	return build_setup(&fresh, complaints);
}

void live_loaded(struct live *live)
{
	ini_files_free(live->files);
	live->files = live->read;
	live->read = NULL;
	strings_clear(&live->patches, &live->patch_count);
	strings_clear(&live->disabled, &live->disabled_count);
}

struct setup *live_start(struct live *live, struct complaints *complaints)
{
	struct setup *setup = live_load(live, complaints);

	if (setup)
		live_loaded(live);
	return setup;
}

/* ---- Lines ---- */

static void set_error(struct live_result *result, enum live_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void set_error(struct live_result *result, enum live_status status, const char *format, ...)
{
	va_list list;

	result->status = status;
	va_start(list, format);
	text_add_list(&result->error, format, list);
	va_end(list);
}

/* Consumes "key=VALUE " at the front of `*line`; returns false if it is not there. */
static bool parse_word(const char **line, const char *key, char *value, size_t cap)
{
	size_t length = strlen(key), size = strcspn(*line, " ");

	if (strncmp(*line, key, length) != 0 || (*line)[length] != '=' || size - length - 1 >= cap)
		return false;
	memcpy(value, *line + length + 1, size - length - 1);
	value[size - length - 1] = '\0';
	*line += size + strspn(*line + size, " ");
	return true;
}

static bool parse_target(struct live_result *result, const struct setup *setup, const char **line,
    struct live_target *target, char *name, size_t cap)
{
	const struct device *section;

	*target = (struct live_target){.whom = LIVE_ALL};
	if (parse_word(line, "session", name, cap)) {
		target->whom = LIVE_SESSION;
		target->session = (uint32_t)strtoul(name, NULL, 10);
	} else if (parse_word(line, "identity", name, cap)) {
		target->whom = LIVE_IDENTITY;
		target->identity = name;
	} else if (parse_word(line, "device", name, cap)) {
		target->whom = LIVE_DEVICE;
		section = config_section(setup->config, name);
		if (!section) {
			set_error(result, LIVE_UNKNOWN, "there is no [device %s]", name);
			return false;
		}
		target->device = (unsigned)(section - setup->config->devices);
	}
	return true;
}

static void set_sessions(
    struct live_result *result, const struct live_target *target, const char *name, size_t count)
{
	result->sessions = count;
	if (count || target->whom == LIVE_ALL || target->whom == LIVE_DEVICE)
		return;
	set_error(result, LIVE_UNKNOWN, "there is no session %s%s now",
	    target->whom == LIVE_IDENTITY ? "of identity " : "", name);
}

static void apply_do(struct live_result *result, struct live *live, const struct core_group *cores,
    const struct setup *setup, const char *line, ns_t now)
{
	struct ini_entry entry = {.key = "do", .value = line, .file = ""};
	struct reading reading = {
	    .arena = arena_new(), .ini = setup->ini, .entry = &entry, .names = live->names};
	struct actions actions = {0};
	struct live_target target;
	char name[128];

	if (!parse_target(result, setup, &line, &target, name, sizeof(name))) {
		/* the error is set */
	} else if (action_read(&reading, entry.value = line, &actions)) {
		set_error(result, LIVE_INVALID, "do: %s", reading.error.text);
	} else if (!action_table[actions.all[0].act].timed) {
		set_error(result, LIVE_INVALID,
		    "do: `%s` needs a datagram; blackout, rebind, link, upstream and note need none",
		    action_table[actions.all[0].act].word);
	} else if (actions.all[0].act == ACT_REBIND && setup->gateway.given &&
	           setup->gateway.source == GATEWAY_SOURCE_DEVICE) {
		set_error(result, LIVE_INVALID,
		    "do: `rebind` cannot be used with [gateway] source = device: the cloud sees the device's "
		    "own port");
	} else if (actions.all[0].upstream &&
	           setup_leads_back(live->bound.count ? &live->bound : &setup->proxy.listen,
	               names_get(live->names, actions.all[0].upstream))) {
		set_error(result, LIVE_INVALID,
		    "do: `%s` leads back to our own listener; every datagram would go round for ever",
		    names_get(live->names, actions.all[0].upstream));
	} else {
		if (actions.all[0].upstream && live->on_upstream)
			live->on_upstream(
			    live->on_upstream_user, &target, names_get(live->names, actions.all[0].upstream));
		set_sessions(result, &target, name,
		    core_group_do(cores, &actions.all[0], &target, names_add(live->names, "", ORIGIN), now));
	}
	arena_free(reading.arena);
}

static void apply_fire(struct live_result *result, const struct core_group *cores, const struct setup *setup,
    const char *line, ns_t now)
{
	struct live_target target;
	const struct rule *rule;
	char name[128];

	if (!parse_target(result, setup, &line, &target, name, sizeof(name)))
		return;
	rule = config_rule(setup->config, line);
	if (!rule) {
		set_error(result, LIVE_UNKNOWN, "there is no [rule %s]", line);
		return;
	}
	for (size_t i = 0; i < rule->actions.count; i++) {
		const struct action_row *row = &action_table[rule->actions.all[i].act];

		if (!row->timed) {
			set_error(result, LIVE_INVALID,
			    "[rule %s] do: `%s` needs a datagram; it cannot be fired from outside",
			    rule->name, row->word);
			return;
		}
	}
	set_sessions(result, &target, name, core_group_fire(cores, rule->index, &target, now));
}

struct setting {
	struct live_result *result;
	struct live *live;
	const char *line;
	struct complaints *complaints;
};

static void set_task(void *user)
{
	struct setting *setting = user;
	struct live *live = setting->live;
	const char *line = setting->line;

	while (*line && live->patch_count < PATCHES_MAX) {
		size_t size = strcspn(line, "\n");

		strings_append(&live->patches, &live->patch_count, line, size);
		line += size + (line[size] == '\n');
	}
	if (*line)
		set_error(setting->result, LIVE_INVALID, "too many changes; a reload forgets them");
	else if (!(setting->result->setup = build_setup(live, setting->complaints)))
		complaints_errors(setting->complaints, &setting->result->error);
}

static void apply_set(struct live_result *result, struct live *live, const char *line)
{
	struct setting setting = {result, live, line, complaints_new()};
	size_t before = live->patch_count;
	bool done = memory_try(set_task, &setting);

	complaints_free(setting.complaints);
	if (result->setup)
		return;
	while (live->patch_count > before)
		free(live->patches[--live->patch_count]);
	if (!done)
		memory_out();
	result->status = LIVE_INVALID;
}

/* Takes a name out of the list of disabled rules. */
static void take_disabled(struct live *live, size_t index)
{
	char *name = live->disabled[index];

	live->disabled[index] = live->disabled[--live->disabled_count];
	free(live->enabled);
	live->enabled = name;
}

static void undo_enable(struct live *live)
{
	live->disabled[live->disabled_count++] = live->enabled; /* it had this room before */
	live->enabled = NULL;
}

static void undo_disable(struct live *live)
{
	free(live->disabled[--live->disabled_count]);
}

static void apply_enabled(
    struct live_result *result, struct live *live, const struct setup *setup, const char *name, bool enabled)
{
	struct building building = {.live = live};
	size_t i = 0;
	bool done;

	if (!config_rule(setup->config, name)) {
		set_error(result, LIVE_UNKNOWN, "there is no [rule %s]", name);
		return;
	}
	while (i < live->disabled_count && strcmp(live->disabled[i], name) != 0)
		i++;
	if (enabled == (i == live->disabled_count))
		return; /* no change */
	building.complaints = complaints_new();
	if (enabled)
		take_disabled(live, i);
	else
		strings_append(&live->disabled, &live->disabled_count, name, strlen(name));
	done = memory_try(build_task, &building);
	result->setup = building.setup;
	if (!result->setup)
		(enabled ? undo_enable : undo_disable)(live);
	if (!done)
		memory_out();
	if (!result->setup) {
		/* The files' text is unchanged, but not what it depends on: an interface is gone, say. */
		result->status = LIVE_CONFLICT;
		complaints_errors(building.complaints, &result->error);
	}
	complaints_free(building.complaints);
}

void live_undo(struct live *live, const char *line)
{
	if (strncmp(line, "enable ", 7) == 0)
		undo_enable(live);
	else if (strncmp(line, "disable ", 8) == 0)
		undo_disable(live);
	else if (strncmp(line, "set ", 4) == 0)
		for (const char *at = line + 4; *at; at += *at == '\n') {
			free(live->patches[--live->patch_count]);
			at += strcspn(at, "\n");
		}
}

bool live_builds(const char *line)
{
	return strncmp(line, "do ", 3) != 0 && strncmp(line, "fire ", 5) != 0;
}

struct live_result live_apply(
    struct live *live, const struct core_group *cores, const struct setup *setup, const char *line, ns_t now)
{
	struct live_result result = {.status = LIVE_DONE};

	if (strncmp(line, "do ", 3) == 0)
		apply_do(&result, live, cores, setup, line + 3, now);
	else if (strncmp(line, "fire ", 5) == 0)
		apply_fire(&result, cores, setup, line + 5, now);
	else if (strncmp(line, "set ", 4) == 0)
		apply_set(&result, live, line + 4);
	else if (strncmp(line, "enable ", 7) == 0)
		apply_enabled(&result, live, setup, line + 7, true);
	else if (strncmp(line, "disable ", 8) == 0)
		apply_enabled(&result, live, setup, line + 8, false);
	else
		set_error(&result, LIVE_INVALID,
		    "`%s` is not a change; a change begins with do, fire, set, enable or disable", line);
	return result;
}
