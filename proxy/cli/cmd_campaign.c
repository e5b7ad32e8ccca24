/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * campaign: runs a test over many networks, with many seeds, and tells on which it works, where it breaks,
 * and which fault breaks it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "proxy/campaign/engine.h"
#include "proxy/campaign/folder.h"
#include "proxy/campaign/reports.h"
#include "proxy/campaign/shrink_case.h"
#include "proxy/campaign/sockets.h"
#include "proxy/cli/campaign_command.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"

#define FLUSH_TIMEOUT (250 * NS_MS) /* at the end, for whoever reads standard error */

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
		return command_usage_error(
		    command->line, "%s holds another campaign: %s", command->folder, error.text);
	if (sockets_open(&sockets, &error)) {
		log_error("campaign: %s", error.text);
		return EXIT_FAILED;
	}
	campaign->context.sockets = sockets.folder;
	campaign->context.subject = command->subject;
	engine_run(campaign->plan, campaign->expansion, &campaign->results, &command->store,
	    &campaign->context, &options, campaign_selects, command, &end);
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
	if (end.reason[0] || (!end.held && !campaign_has_all(command)))
		return EXIT_FAILED;
	return EXIT_DONE;
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
		return command_usage_error(
		    command->line, "--shrink: %s holds no case `%s`", command->folder, id);
	if (result->outcome != OUTCOME_FAIL && result->outcome != OUTCOME_TIMEOUT)
		return command_usage_error(command->line, "--shrink: %s did not fail: its outcome is %s", id,
		    outcome_words[result->outcome]);
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

	/* Like all paths in the file, it is relative to the folder of the file. */
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
		return command_usage_error(
		    command->line, "--report: there is no folder `%s`", command->folder);
	if (command->folder) {
		status = is_list && !folder_exists(command->folder) ? 0 : open_store(command);
		if (status)
			return status;
	}
	if (campaign_check_units(command))
		return EXIT_USAGE;
	if (is_list)
		return campaign_list_units(command);
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
		return command_usage_error(command->line, "subject: %s", error.text);
	if (!command->has_units)
		campaign_print_estimate(command);
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
		return command_usage_error(
		    command->line, "pass the campaign's file with -c; see `deadzone help campaign`");
	if (line->word_count)
		return command_usage_error(command->line,
		    "`%s` is too much; captures of campaigns are compared with --compare", line->words[0]);
	if (jobs && (units_integer(jobs, &number, &error) || !number || number > SETTINGS_JOBS_MAX))
		return command_usage_error(
		    command->line, "--jobs: `%s` is out of range; it is 1 to %d", jobs, SETTINGS_JOBS_MAX);
	command->jobs = jobs ? (unsigned)number : 0;
	command->again = command_value(line, "again") != NULL;
	command->only = command_values(line, "only", &command->only_count);
	command->folder = folder ? memory_text(folder, strlen(folder)) : NULL;
	if ((command_value(line, "report") || command_value(line, "shrink")) && !folder)
		return command_usage_error(command->line, "--report and --shrink need -o DIR");
	campaign_read_units(command);
	return campaign_read_shard(command, command_value(line, "shard"));
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
		return campaign_compare(line);
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
