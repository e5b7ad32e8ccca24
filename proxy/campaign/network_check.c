/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks the network of each cell, bench and end of a search before anything runs, and that what axes and
 * searches set has an effect. The same error in many cells is reported for the first.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/dictionary.h"
#include "base/memory.h"
#include "proxy/campaign/network.h"

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
