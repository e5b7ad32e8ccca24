/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * campaign: runs a test over many networks, with many seeds, and tells on which it works, where it breaks,
 * and which fault breaks it.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "proxy/campaign/campaign.h"
#include "proxy/campaign/engine.h"
#include "proxy/campaign/folder.h"
#include "proxy/campaign/reports.h"
#include "proxy/campaign/shrink_case.h"
#include "proxy/campaign/sockets.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"

#define UNITS_LINE_MAX 4096
#define SHARDS_MAX 1000000
#define FLUSH_TIMEOUT (250 * NS_MS) /* at the end, for whoever reads standard error */

struct campaign_command {
	const struct command_line *line;
	struct campaign *campaign;
	struct store store;
	char *folder; /* -o, or the default */
	char *subject;
	struct {
		char **all;
		size_t count;
		struct dictionary known;
	} units;        /* --unit */
	bool has_units; /* --unit was given, though perhaps no id came */
	const char *const *only;
	size_t only_count;
	unsigned shard, shards; /* 0: no --shard */
	unsigned jobs;
	bool again;
};

static int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int usage_error(const char *format, ...)
{
	struct text text = {0};
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	log_error("campaign: %s", text.at);
	text_free(&text);
	return EXIT_USAGE;
}

/* ---- Selecting units ---- */

static bool is_listed_unit(const struct campaign_command *command, const char *id)
{
	return dictionary_get(&command->units.known, NULL, id) != NULL;
}

static bool is_selected(const struct unit *unit, void *user)
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

static void read_units(struct campaign_command *command)
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

static bool any_fits(const struct campaign_command *command);

static int check_units(struct campaign_command *command)
{
	if (!any_fits(command))
		return usage_error("no unit fits --only `%s`; --list prints them", command->only[0]);
	for (size_t i = 0; i < command->units.count; i++) {
		const char *id = command->units.all[i];

		if (!plan_unit(command->campaign->plan, id) && add_named_fault(command, id))
			return usage_error("there is no unit `%s`; --list prints them", id);
	}
	return 0;
}

/* Reads "I/N". */
static int read_shard(struct campaign_command *command, const char *text)
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
		return usage_error("--shard: `%s` is not right; it is I/N, with I from 1 to N", text);
	command->shard = (unsigned)shard;
	command->shards = (unsigned)shards;
	return 0;
}

/* ---- Estimate ---- */

/* Prints how many cells and cases there are, and how long they take at most. */
static void print_estimate(const struct campaign_command *command)
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

		if (!is_selected(unit, (void *)command))
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

static int list_units(struct campaign_command *command)
{
	const struct campaign_plan *plan = command->campaign->plan;

	for (size_t i = 0; i < plan->unit_count; i++)
		if (is_selected(&plan->units[i], command))
			printf("%s\n", plan->units[i].id);
	print_estimate(command);
	return EXIT_DONE;
}

/* ---- Reports ---- */

static int write_reports(
    struct campaign_command *command, const struct findings *findings, const char *reason, int status)
{
	const char *html = command_value(command->line, "html"),
	           *json_path = command_value(command->line, "json");
	const char *junit = command_value(command->line, "junit");
	const char *by_unit = command_value(command->line, "junit-units");
	char *own_html = store_path(&command->store, "report.html");
	char *own_json = store_path(&command->store, "campaign.json");
	char *own_junit = store_path(&command->store, "junit.xml");
	json_t *json = report_json(findings, command->subject, reason);
	struct error error;
	int failed = 0;

	json_object_set_new(json, "exit", json_integer(status));
	json_object_set_new(json, "folder", json_string(command->store.folder));
	json_object_set_new(json, "links", json_string(html ? command->store.folder : ""));
	report_case_pages(findings, command->store.folder);
	if (store_write_json(json_path ? json_path : own_json, json, &error) ||
	    report_junit(
	        findings, command->store.folder, junit ? junit : own_junit, status, reason, &error) ||
	    (by_unit && report_junit_cases(findings, command->store.folder, by_unit, &error)) ||
	    report_page(findings, json, command->store.folder, html ? html : own_html, &error)) {
		log_error("campaign: %s", error.text);
		failed = -1;
	}
	json_decref(json);
	free(own_html);
	free(own_json);
	free(own_junit);
	return failed;
}

static int finish(struct campaign_command *command, const struct engine_end *end)
{
	struct campaign *campaign = command->campaign;
	struct findings *findings;
	struct text odd = {0};
	int status;

	/* Cases that other invocations have finished meanwhile count too. */
	store_load(&command->store, &campaign->results, &odd);
	text_free(&odd);
	expansion_update(campaign->expansion, campaign->plan, &campaign->results);
	results_sort(&campaign->results);
	findings = findings_new(campaign->plan, campaign->expansion, &campaign->results);
	status = findings_exit(findings);
	if (end->reason[0] && !status)
		status = EXIT_FAILED;
	if (write_reports(command, findings, end->reason, status) && !status)
		status = EXIT_FAILED;
	report_text(findings, stdout);
	if (fflush(stdout) && !status)
		status = EXIT_FAILED;
	findings_free(findings);
	return end->is_usage ? EXIT_USAGE : status;
}

/* ---- Running ---- */

/* Returns whether each selected unit has an outcome, whichever. */
static bool have_all(const struct campaign_command *command)
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
		if (!is_selected(unit, (void *)command) &&
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

/* Adds a word of a shell command, quoted if needed. */
static void add_word(struct text *out, const char *word)
{
	text_add_word(out, " ");
	if (*word &&
	    strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+=:,@-") ==
	        strlen(word)) {
		text_add_word(out, word);
		return;
	}
	text_add_word(out, "'");
	for (const char *c = word; *c; c++)
		text_add(out, *c == '\'' ? "'\\''" : "%c", *c);
	text_add_word(out, "'");
}

/* Logs the command that goes on with the campaign. */
static void tell_how_to_resume(const struct campaign_command *command)
{
	struct text text = {0};

	add_word(&text, command->campaign->settings->path);
	text_add_word(&text, " -o");
	add_word(&text, command->folder);
	for (size_t i = 0; i < command->line->setting_count; i++) {
		text_add_word(&text, " --set");
		add_word(&text, command->line->settings[i]);
	}
	for (size_t i = 0; i < command->only_count; i++) {
		text_add_word(&text, " --only");
		add_word(&text, command->only[i]);
	}
	if (command->jobs)
		text_add(&text, " --jobs %u", command->jobs);
	if (command->shards)
		text_add(&text, " --shard %u/%u", command->shard, command->shards);
	for (size_t i = 0; i < command->units.count; i++) {
		text_add_word(&text, " --unit");
		add_word(&text, command->units.all[i]);
	}
	log_notice("to go on: deadzone campaign -c%s", text.at);
	text_free(&text);
}

static int run_units(struct campaign_command *command)
{
	struct campaign *campaign = command->campaign;
	bool is_partial = command->has_units || command->shards;
	struct engine_options options = {.jobs = command->jobs,
	    .again = command->again,
	    .is_by_unit = command->has_units,
	    .is_shard = command->shards > 0};
	struct engine_end end;
	struct sockets sockets;
	json_t *identity;
	struct error error;
	int failed;

	identity = campaign_identity(campaign, command->subject);
	failed = store_identify(&command->store, identity, &error);
	json_decref(identity);
	if (failed)
		return usage_error("%s holds another campaign: %s", command->folder, error.text);
	if (sockets_open(&sockets, &error)) {
		log_error("campaign: %s", error.text);
		return EXIT_FAILED;
	}
	campaign->context.sockets = sockets.folder;
	campaign->context.subject = command->subject;
	engine_run(campaign->plan, campaign->expansion, &campaign->results, &command->store,
	    &campaign->context, &options, is_selected, command, &end);
	sockets_close(&sockets);
	if (end.reason[0]) {
		log_error("campaign: %s", end.reason);
		if (!end.is_usage)
			tell_how_to_resume(command);
	}
	if (!is_partial)
		return finish(command, &end);
	if (end.held && command->has_units)
		return EXIT_FAILED;
	expansion_update(campaign->expansion, campaign->plan, &campaign->results);
	if (end.reason[0] || (!end.held && !have_all(command)))
		return EXIT_FAILED;
	return EXIT_DONE;
}

/* ---- Comparing ---- */

/* Reads a campaign.json, or that of a folder. Returns NULL after logging an error. */
static json_t *read_side(const char *path)
{
	struct text file = {0};
	json_error_t wrong;
	json_t *json;

	text_add(&file, folder_exists(path) ? "%s/campaign.json" : "%s", path);
	json = json_load_file(file.at, 0, &wrong);
	if (!json)
		log_error("campaign: `%s` cannot be read: %s", file.at, wrong.text);
	else if (!json_is_array(json_object_get(json, "cases"))) {
		log_error("campaign: `%s` is not the campaign.json of a campaign", file.at);
		json_decref(json);
		json = NULL;
	}
	text_free(&file);
	return json;
}

static int write_comparison(const struct command_line *line, const struct comparison *comparison)
{
	const char *html = command_value(line, "html"), *json_path = command_value(line, "json");
	const char *junit = command_value(line, "junit");
	json_t *json = compare_json(comparison);
	struct error error;
	int failed = (json_path && store_write_json(json_path, json, &error)) ||
	             (html && compare_page(comparison, html, &error)) ||
	             (junit && compare_junit(comparison, junit, &error));

	json_decref(json);
	compare_text(comparison, stdout);
	if (failed)
		log_error("campaign: %s", error.text);
	return failed || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int run_compare(const struct command_line *line)
{
	json_t **sides;
	struct comparison comparison;
	struct error error;
	int status = EXIT_DONE;

	if (line->word_count < 2)
		return usage_error(
		    "--compare needs an old and a new campaign: folders or campaign.json files");
	sides = memory_new(line->word_count, sizeof(*sides));
	for (size_t i = 0; i < line->word_count; i++)
		if (!(sides[i] = read_side(line->words[i])))
			status = EXIT_USAGE;
	if (!status && compare((const json_t *const *)sides, line->word_count, &comparison, &error)) {
		status = usage_error("%s", error.text);
		comparison_free(&comparison);
	} else if (!status) {
		status = write_comparison(line, &comparison);
		if (!status && comparison.is_worse)
			status = EXIT_CHECK;
		comparison_free(&comparison);
	}
	for (size_t i = 0; i < line->word_count; i++)
		json_decref(sides[i]);
	free(sides);
	return status;
}

/* ---- Shrinking ---- */

static int run_shrink(struct campaign_command *command, const char *id)
{
	struct campaign *campaign = command->campaign;
	const struct result *result = results_get(&campaign->results, id);
	const struct unit *unit = plan_unit_of_case(campaign->plan, id);
	struct case_task task = {.id = id};
	struct sockets sockets;
	struct error error;
	int status;

	if (!unit || !result)
		return usage_error("--shrink: %s holds no case `%s`", command->folder, id);
	if (result->outcome != OUTCOME_FAIL && result->outcome != OUTCOME_TIMEOUT)
		return usage_error(
		    "--shrink: %s did not fail: its outcome is %s", id, outcome_words[result->outcome]);
	task.cell = &campaign->plan->cells[unit->cell];
	task.seed = result->seed;
	for (size_t i = 0; i < campaign->settings->bench_count; i++)
		if (result->bench && strcmp(campaign->settings->benches[i].name, result->bench) == 0)
			task.bench = &campaign->settings->benches[i];
	if (sockets_open(&sockets, &error)) {
		log_error("campaign: %s", error.text);
		return EXIT_FAILED;
	}
	campaign->context.sockets = sockets.folder;
	campaign->context.subject = command->subject;
	status = shrink_case(&command->store, &campaign->context, &task);
	sockets_close(&sockets);
	return status;
}

/* ---- The command ---- */

static char *default_folder(bool is_temporary)
{
	struct text path = {0};
	char text[64];
	time_t now = time(NULL);
	struct tm local;

	if (is_temporary) {
		text_add(&path, "%s/deadzone-unit-XXXXXX", temporary_folder());
		if (!mkdtemp(path.at))
			text_free(&path);
		return path.at;
	}
	localtime_r(&now, &local);
	strftime(text, sizeof(text), "campaign-%Y%m%d-%H%M%S", &local);
	return memory_text(text, strlen(text));
}

/* Takes from campaign.json what is nowhere else: what was tested, and results if units/ was not kept. */
static void load_from_json(struct campaign_command *command)
{
	char *path = store_path(&command->store, "campaign.json");
	char *units = store_path(&command->store, "units");
	const char *subject;
	json_t *json = json_load_file(path, 0, NULL);
	const json_t *item;
	size_t i;

	subject = json_string_value(json_object_get(json, "subject"));
	command->subject = subject ? memory_text(subject, strlen(subject)) : NULL;
	if (folder_exists(units)) /* a result that was deleted there is to run again */
		json_object_del(json, "cases");
	json_array_foreach(json_object_get(json, "cases"), i, item)
	{
		struct result result;
		struct error error;

		if (result_read(item, &result, &error))
			continue;
		if (results_get(&command->campaign->results, result.id))
			result_fini(&result);
		else
			results_put(&command->campaign->results, &result);
	}
	json_decref(json);
	free(units);
	free(path);
}

static int open_store(struct campaign_command *command)
{
	const struct campaign_settings *settings = &command->campaign->settings->campaign;
	struct text odd = {0}, scratch = {0};
	struct error error;
	int failed;

	/* As all paths of the file, relative to it. */
	if (settings->scratch)
		text_add(&scratch, settings->scratch[0] == '/' ? "%.0s%s" : "%s/%s", command->campaign->home,
		    settings->scratch);
	failed = store_open(&command->store, command->folder, scratch.at, &error);
	text_free(&scratch);
	if (failed) {
		log_error("campaign: %s", error.text);
		return EXIT_USAGE;
	}
	store_load(&command->store, &command->campaign->results, &odd);
	if (odd.size)
		log_lines(odd.at, odd.size, true);
	text_free(&odd);
	expansion_update(command->campaign->expansion, command->campaign->plan, &command->campaign->results);
	return 0;
}

static int run_campaign(struct campaign_command *command)
{
	const struct command_line *line = command->line;
	bool is_list = command_value(line, "list"), is_report = command_value(line, "report");
	struct error error;
	int status;

	if (is_report && !folder_exists(command->folder))
		return usage_error("--report: there is no folder `%s`", command->folder);
	if (command->folder) {
		status = is_list && !folder_exists(command->folder) ? 0 : open_store(command);
		if (status)
			return status;
	}
	if (check_units(command))
		return EXIT_USAGE;
	if (is_list)
		return list_units(command);
	if (command_value(line, "shrink"))
		return run_shrink(command, command_value(line, "shrink"));
	if (is_report) {
		struct engine_end end = {0};

		load_from_json(command);
		return finish(command, &end);
	}
	if (!command->folder) {
		command->folder = default_folder(command->has_units);
		if (!command->folder) {
			log_error("campaign: no temporary folder can be made: %s", strerror(errno));
			return EXIT_FAILED;
		}
		if ((status = open_store(command)))
			return status;
	}
	log_info("results go to %s", command->folder);
	command->subject = campaign_subject(command->campaign, &error);
	if (!command->subject)
		return usage_error("subject: %s", error.text);
	if (!command->has_units)
		print_estimate(command);
	return run_units(command);
}

static int read_options(struct campaign_command *command)
{
	const struct command_line *line = command->line;
	const char *jobs = command_value(line, "jobs");
	const char *folder = command_value(line, "output");
	struct error error;
	uint64_t number;

	if (!command_value(line, "config"))
		return usage_error("pass the campaign's file with -c; see `deadzone help campaign`");
	if (line->word_count)
		return usage_error(
		    "`%s` is too much; captures of campaigns are compared with --compare", line->words[0]);
	if (jobs && (units_integer(jobs, &number, &error) || !number || number > SETTINGS_JOBS_MAX))
		return usage_error("--jobs: `%s` is out of range; it is 1 to %d", jobs, SETTINGS_JOBS_MAX);
	command->jobs = jobs ? (unsigned)number : 0;
	command->again = command_value(line, "again") != NULL;
	command->only = command_values(line, "only", &command->only_count);
	command->folder = folder ? memory_text(folder, strlen(folder)) : NULL;
	if ((command_value(line, "report") || command_value(line, "shrink")) && !folder)
		return usage_error("--report and --shrink need -o DIR");
	read_units(command);
	return read_shard(command, command_value(line, "shard"));
}

static void clean_up(struct campaign_command *command)
{
	campaign_free(command->campaign);
	store_close(&command->store);
	for (size_t i = 0; i < command->units.count; i++)
		free(command->units.all[i]);
	free(command->units.all);
	dictionary_free(&command->units.known);
	free(command->folder);
	free(command->subject);
}

static int run_whole(const struct command_line *line)
{
	struct campaign_command command = {.line = line};
	struct complaints *complaints = complaints_new();
	const char *config = command_value(line, "config");
	size_t quiet, verbose;
	int status;

	command_values(line, "quiet", &quiet);
	command_values(line, "verbose", &verbose);
	log_set_level(quiet ? LOG_QUIET : verbose ? LOG_VERBOSE : LOG_NORMAL);
	if (command_value(line, "compare")) {
		complaints_free(complaints);
		return run_compare(line);
	}
	status = read_options(&command);
	if (!status) {
		command.campaign = campaign_new(config, (const char *const *)line->settings,
		    line->setting_count, command.jobs, complaints);
		log_complaints(complaints);
		if (complaints_count(complaints, COMPLAINT_ERROR))
			status = EXIT_USAGE;
		else
			status = run_campaign(&command);
	}
	if (command.campaign)
		clean_up(&command);
	complaints_free(complaints);
	return status;
}

/* Without these three, files and pipes would get their numbers. */
static void open_standard_files(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
		;
	if (fd >= 0)
		close(fd);
}

/* Standard error may be a pipe that nobody reads: messages go through a queue. */
static int run(const struct command_line *line)
{
	int status;

	open_standard_files();
	/* Keep proxies and tests from reporting to the service manager. */
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	log_start();
	status = run_whole(line);
	log_stop(FLUSH_TIMEOUT);
	return status;
}

static const struct option_row options[] = {
    {'c', "config", "FILE", false, "the campaign's ini file", NULL},
    {'o', "output", "DIR", false, "folder of the results; a campaign that was interrupted goes on there",
        NULL},
    {0, "list", NULL, false, "print the units, one id a line, and what they take", NULL},
    {0, "unit", "ID", true, "run this unit only; - reads ids from standard input", NULL},
    {0, "shard", "I/N", false, "run the Ith of N parts of the units", NULL},
    {0, "only", "PATTERN", true, "only units whose id fits this shell pattern; * crosses /", NULL},
    {0, "again", NULL, false, "run also what has an outcome already", NULL},
    {0, "report", NULL, false, "write the report from what DIR holds so far", NULL},
    {0, "shrink", "ID", false, "run a failed case with ever fewer of its decisions", NULL},
    {0, "compare", NULL, false, "compare campaigns: OLD... NEW are folders or campaign.json files", NULL},
    {0, "jobs", "N", false, "cases at a time", NULL},
    {0, "set", "\"[SECTION] KEY = VALUE\"", true, "change the campaign's file, or the network of every case",
        NULL},
    {0, "html", "FILE", false, "where the page goes (DIR/report.html)", NULL},
    {0, "json", "FILE", false, "where the results go (DIR/campaign.json)", NULL},
    {0, "junit", "FILE", false, "where the requirements go, as JUnit XML (DIR/junit.xml)", NULL},
    {0, "junit-units", "FILE", false, "also write one JUnit test case for each case", NULL},
    {'q', "quiet", NULL, false, "print only errors, and the tables at the end", NULL},
    {'v', "verbose", NULL, true, "print more", NULL},
};

const struct command command_campaign_row = {
    .name = "campaign",
    .words = "[OLD... NEW]",
    .words_max = COMMAND_FILES_MAX,
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "run a test on many networks: where it works, where it breaks, what breaks it",
    .more =
        "Exit status: 0 all requirements hold, 3 one failed, 1 something could not be judged, 2 wrong use.\n"
        "With --unit and --shard: 0 if each unit has an outcome, whichever.",
};
