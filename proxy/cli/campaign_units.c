/* SPDX-License-Identifier: BSD-2-Clause */
/* campaign_units: the units that --unit, --only and --shard select, and what they take. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "campaign/findings.h"
#include "proxy/cli/campaign_command.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"

#define UNITS_LINE_MAX 4096
#define SHARDS_MAX 1000000

static bool is_listed_unit(const struct campaign_command *command, const char *id)
{
	return dictionary_get(&command->units.known, NULL, id) != NULL;
}

bool campaign_selects(const struct unit *unit, void *user)
{
	const struct campaign_command *command = user;
	bool fits = !command->only_count;

	for (size_t i = 0; i < command->only_count; i++)
		fits |= fnmatch(command->only[i], unit->id, 0) == 0;
	if (command->has_units && !is_listed_unit(command, unit->id))
		return false;
	return fits && (!command->shards || plan_in_shard(unit->id, command->shard, command->shards));
}

static void add_unit(struct campaign_command *command, const char *id, size_t size)
{
	while (size && strchr(" \t\r\n", id[size - 1]))
		size--;
	if (!size)
		return;
	command->units.all = memory_grow(
	    command->units.all, command->units.count, sizeof(*command->units.all));
	command->units.all[command->units.count] = memory_text(id, size);
	dictionary_put(&command->units.known, NULL, command->units.all[command->units.count], command);
	command->units.count++;
}

void campaign_read_units(struct campaign_command *command)
{
	size_t count;
	const char *const *values = command_values(command->line, "unit", &count);
	char line[UNITS_LINE_MAX];

	command->has_units = count > 0;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(values[i], "-") != 0) {
			add_unit(command, values[i], strlen(values[i]));
			continue;
		}
		while (fgets(line, sizeof(line), stdin))
			add_unit(command, line, strlen(line));
	}
}

/* A unit of a sweep can be named before its references have run: it is added from its name. */
static int add_named_fault(struct campaign_command *command, const char *id)
{
	struct campaign_plan *plan = command->campaign->plan;
	const struct settings *settings = command->campaign->settings;

	for (size_t s = 0; s < settings->sweep_count; s++)
		for (size_t c = 0; c < plan->cell_count; c++) {
			struct text head = {0};
			size_t size;
			bool fits;

			text_add(&head, "w/%s/%s/", settings->sweeps[s].name, plan->cells[c].id);
			size = head.size;
			fits = strncmp(id, head.at, size) == 0;
			text_free(&head);
			for (size_t f = 0; fits && f < settings->sweeps[s].faults.count; f++) {
				const struct fault *fault = &settings->sweeps[s].faults.all[f];
				size_t whole = strlen(id), tail = strlen(fault->label);
				struct sweep_place place;
				char *name;
				int failed;

				if (whole <= size + tail + 1 ||
				    strcmp(id + whole - tail, fault->label) != 0 ||
				    id[whole - tail - 1] != '-')
					continue;
				name = memory_text(id + size, whole - tail - 1 - size);
				failed = sweep_place_of(name, &place);
				if (!failed) {
					plan_add_fault(plan, s, c, name, fault);
					sweep_place_fini(&place);
				}
				free(name);
				if (!failed)
					return 0;
			}
		}
	return -1;
}

/* Returns whether a unit fits --only; a pattern for the faults of sweeps may fit none yet. */
static bool any_fits(const struct campaign_command *command)
{
	const struct campaign_plan *plan = command->campaign->plan;

	if (!command->only_count || command->campaign->settings->sweep_count)
		return true;
	for (size_t i = 0; i < plan->unit_count; i++)
		for (size_t k = 0; k < command->only_count; k++)
			if (fnmatch(command->only[k], plan->units[i].id, 0) == 0)
				return true;
	return false;
}

int campaign_check_units(struct campaign_command *command)
{
	if (!any_fits(command))
		return command_usage_error(
		    command->line, "no unit fits --only `%s`; --list prints them", command->only[0]);
	for (size_t i = 0; i < command->units.count; i++) {
		const char *id = command->units.all[i];

		if (!plan_unit(command->campaign->plan, id) && add_named_fault(command, id))
			return command_usage_error(
			    command->line, "there is no unit `%s`; --list prints them", id);
	}
	return 0;
}

int campaign_read_shard(struct campaign_command *command, const char *text)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	struct error error;
	uint64_t shard, shards;
	char *first;
	int failed;

	if (!text)
		return 0;
	first = memory_text(text, slash ? (size_t)(slash - text) : 0);
	failed = !slash || units_integer(first, &shard, &error) ||
	         units_integer(slash + 1, &shards, &error) || !shard || shard > shards || shards > SHARDS_MAX;
	free(first);
	if (failed)
		return command_usage_error(
		    command->line, "--shard: `%s` is not right; it is I/N, with I from 1 to N", text);
	command->shard = (unsigned)shard;
	command->shards = (unsigned)shards;
	return 0;
}

void campaign_print_estimate(const struct campaign_command *command)
{
	const struct campaign_plan *plan = command->campaign->plan;
	const struct settings *settings = command->campaign->settings;
	size_t slots = settings->bench_count ? settings->bench_count
	               : command->jobs       ? command->jobs
	                                     : (size_t)settings->campaign.jobs;
	double cases = 0, hours = 0, known = 0;
	size_t known_count = 0;

	for (size_t i = 0; i < plan->unit_count; i++) {
		const struct unit *unit = &plan->units[i];
		double of_unit = 1;

		if (!campaign_selects(unit, (void *)command))
			continue;
		if (unit->kind == UNIT_SEARCH)
			of_unit = (double)settings->searches[unit->section].runs;
		if (unit->kind == UNIT_REFERENCES) {
			const struct sweep_section *sweep = &settings->sweeps[unit->section];

			of_unit = (double)sweep->references;
			if (expansion_cell(command->campaign->expansion, unit->section, unit->cell)->state ==
			    SWEEP_WAITS)
				of_unit += (double)sweep->limit * (double)sweep->faults.count;
		}
		cases += of_unit;
		hours += of_unit *
		         (double)(plan_timeout(plan, &plan->cells[unit->cell]) +
		                  (settings->campaign.prepare ? settings->campaign.prepare_timeout : 0) +
		                  (settings->campaign.cleanup ? settings->campaign.cleanup_timeout : 0)) /
		         3600e9;
	}
	for (size_t i = 0; i < command->campaign->results.count; i++) {
		known += command->campaign->results.all[i]->seconds;
		known_count++;
	}
	log_info("%zu cell%s, at most %.0f cases, at most %.1f hours by their timeouts", plan->cell_count,
	    plan->cell_count == 1 ? "" : "s", cases, hours / (double)slots);
	if (known_count)
		log_info("about %.1f hours, at %.1f s a case as so far",
		    cases * known / (double)known_count / 3600 / (double)slots, known / (double)known_count);
}

int campaign_list_units(struct campaign_command *command)
{
	const struct campaign_plan *plan = command->campaign->plan;

	for (size_t i = 0; i < plan->unit_count; i++)
		if (campaign_selects(&plan->units[i], command))
			printf("%s\n", plan->units[i].id);
	campaign_print_estimate(command);
	return EXIT_DONE;
}

bool campaign_has_all(const struct campaign_command *command)
{
	const struct campaign_plan *plan = command->campaign->plan;
	const struct results *results = &command->campaign->results;

	for (size_t i = 0; i < plan->unit_count; i++) {
		const struct unit *unit = &plan->units[i];
		const struct search_section *section;
		const struct result *result;
		struct search *search;
		size_t points;
		unsigned no_points;
		bool is_open;

		/* A shard's faults are not known before the references have run, whoever runs them. */
		if (!campaign_selects(unit, (void *)command) &&
		    !(command->shards && unit->kind == UNIT_REFERENCES))
			continue;
		switch (unit->kind) {
		case UNIT_REFERENCES:
			if (expansion_cell(command->campaign->expansion, unit->section, unit->cell)->state ==
			    SWEEP_WAITS)
				return false;
			break;
		case UNIT_SEARCH:
			section = &command->campaign->settings->searches[unit->section];
			search = search_new(&section->settings);
			search_replay(unit, results, search, section, NULL, &points, &no_points);
			is_open = search_result(search).state == SEARCH_OPEN;
			search_free(search);
			if (is_open)
				return false;
			break;
		default:
			result = results_get(results, unit->id);
			if (!result || result->outcome == OUTCOME_INVALID)
				return false;
		}
	}
	return true;
}
