/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A campaign is read once, and each cell's network is built to find mistakes before anything runs. The
 * identity is what outcomes depend on: commands, settings, and the whole configuration of each cell.
 */
#include "proxy/campaign/campaign.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "base/regular.h"

#define SUBJECT_TIMEOUT (60 * NS_S)
#define SUBJECT_MAX ((size_t)1 << 20)

/* Returns the absolute folder of a file. */
static char *folder_of(const char *path)
{
	char whole[PATH_MAX], *slash;

	if (!realpath(path, whole)) {
		if (errno == ENOMEM)
			memory_out();
		strcpy(whole, "/");
	}
	slash = strrchr(whole, '/');
	slash[slash == whole] = '\0';
	return memory_text(whole, strlen(whole));
}

static char *own_program(void)
{
	char path[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);

	return size > 0 ? memory_text(path, (size_t)size) : memory_text("deadzone", 8);
}

static char *beside(const char *home, const char *path)
{
	struct text whole = {0};

	text_add(&whole, path[0] == '/' ? "%s%s" : "%s/%s", path[0] == '/' ? "" : home, path);
	return whole.at;
}

struct campaign *campaign_new(
    const char *path, const char *const *sets, size_t set_count, unsigned jobs, struct complaints *complaints)
{
	struct campaign *campaign = memory_new(1, sizeof(*campaign));
	size_t network_count = 0;

	campaign->network_sets = memory_new(set_count + 1, sizeof(const char *));
	for (size_t i = 0; i < set_count; i++)
		if (!settings_take(sets[i]))
			campaign->network_sets[network_count++] = sets[i];
	campaign->home = folder_of(path);
	campaign->program = own_program();
	campaign->settings = settings_new(path, sets, set_count, complaints);
	if (complaints_count(complaints, COMPLAINT_ERROR))
		return campaign;
	campaign->config = beside(campaign->home, campaign->settings->campaign.config);
	campaign->plan = plan_new(campaign->settings, complaints);
	if (!campaign->plan || complaints_count(complaints, COMPLAINT_ERROR))
		return campaign;
	campaign->expansion = expansion_new(campaign->plan);
	campaign->context = (struct case_context){.plan = campaign->plan,
	    .program = campaign->program,
	    .home = campaign->home,
	    .network = {.plan = campaign->plan,
	        .config = campaign->config,
	        .sets = campaign->network_sets,
	        .set_count = network_count}};
	network_check_all(
	    &campaign->context.network, jobs ? jobs : campaign->settings->campaign.jobs, complaints);
	return campaign;
}

void campaign_free(struct campaign *campaign)
{
	expansion_free(campaign->expansion);
	plan_free(campaign->plan);
	results_free(&campaign->results);
	settings_free(campaign->settings);
	free(campaign->network_sets);
	free(campaign->config);
	free(campaign->home);
	free(campaign->program);
	free(campaign);
}

/* ---- Identity ---- */

static void set_text(json_t *identity, const char *name, const char *text)
{
	json_object_set_new(identity, name, json_string(text ? text : ""));
}

/* Adds the text of a cell's network, without the lines that only say where the proxy listens. */
static void add_cell(const struct campaign *campaign, const struct cell *cell, json_t *identity)
{
	struct network_source source = campaign->context.network;
	struct complaints *complaints = complaints_new();
	struct names *names = names_new();
	struct text text = {0}, kept = {0}, name = {0};
	struct setup *setup;
	struct error error;

	source.cell = cell;
	setup = network_build(&source, names, complaints);
	text_add(&name, "cell %s", cell->id);
	if (network_write(&source, setup, 0, NULL, &text, &error) == 0) {
		for (const char *line = text.at; *line; line += *line == '\n') {
			size_t size = strcspn(line, "\n");

			if (strncmp(line, "listen = ", 9) != 0)
				text_add(&kept, "%.*s\n", (int)size, line);
			line += size;
		}
		/* Tables and traces stand there by their names only. */
		text_add(&kept, "; contents %016" PRIx64 "\n", network_contents(setup));
		set_text(identity, name.at, kept.at);
	}
	text_free(&text);
	text_free(&kept);
	text_free(&name);
	setup_free(setup);
	names_free(names);
	complaints_free(complaints);
}

static void add_search(const struct search_section *search, json_t *identity)
{
	struct text name = {0}, text = {0};

	text_add(&name, "search %s", search->name);
	text_add(&text, "set = %s\nvalue = %s\nfrom = %s\nto = %s\nworse = %s\ntarget = %g\nprecision = %g\n",
	    search->set, search->value, search->from, search->to, search->settings.less ? "less" : "more",
	    search->target, search->precision);
	set_text(identity, name.at, text.at);
	text_free(&name);
	text_free(&text);
}

/* Adds what each label of an axis stands for, and how it is changed. */
static void add_axis(const struct axis *axis, json_t *identity)
{
	struct text name = {0};

	text_add(&name, "change of axis %s", axis->name);
	set_text(identity, name.at, axis->change);
	for (size_t i = 0; i < axis->count; i++) {
		text_clear(&name);
		text_add(&name, "axis %s, %s", axis->name, axis->all[i].label);
		set_text(identity, name.at, axis->all[i].value);
	}
	text_free(&name);
}

static void add_statuses(const struct campaign_settings *own, json_t *identity)
{
	struct text text = {0};
	char span[64];

	text_add_word(&text, "");
	for (size_t i = 0; i < own->invalid_status.count; i++)
		text_add(&text, "%s ", units_span_text(&own->invalid_status.all[i], span, sizeof(span)));
	set_text(identity, "invalid_status", text.at);
	text_free(&text);
}

static void add_sweep(const struct sweep_section *sweep, json_t *identity)
{
	struct text name = {0}, text = {0};

	text_add(&name, "sweep %s", sweep->name);
	text_add(&text, "at = %d %s\ndirection = %d %d\nreferences = %ju\n", (int)sweep->at,
	    sweep->kind ? sweep->kind : "", sweep->ways[WAY_UP], sweep->ways[WAY_DOWN],
	    (uintmax_t)sweep->references);
	set_text(identity, name.at, text.at);
	text_free(&name);
	text_free(&text);
}

json_t *campaign_identity(const struct campaign *campaign, const char *subject)
{
	const struct settings *settings = campaign->settings;
	const struct campaign_settings *own = &settings->campaign;
	json_t *identity = json_object();

	set_text(identity, "subject", subject);
	set_text(identity, "test", own->test);
	set_text(identity, "prepare", own->prepare);
	set_text(identity, "cleanup", own->cleanup);
	set_text(identity, "setup", own->setup);
	set_text(identity, "advertise", own->advertise);
	add_statuses(own, identity);
	for (size_t i = 0; i < settings->axis_count; i++)
		add_axis(&settings->axes[i], identity);
	for (size_t i = 0; i < campaign->plan->cell_count; i++)
		add_cell(campaign, &campaign->plan->cells[i], identity);
	for (size_t i = 0; i < settings->search_count; i++)
		add_search(&settings->searches[i], identity);
	for (size_t i = 0; i < settings->sweep_count; i++)
		add_sweep(&settings->sweeps[i], identity);
	return identity;
}

/* ---- Subject ---- */

char *campaign_subject(const struct campaign *campaign, struct error *error)
{
	const char *command = campaign->settings->campaign.subject;
	struct text path = {0}, text = {0};
	char *subject = NULL;
	int fd;

	if (!command)
		return memory_text("", 0);
	text_add(&path, "%s/deadzone-subject-XXXXXX", temporary_folder());
	fd = mkostemp(path.at, O_CLOEXEC);
	if (fd < 0) {
		error_set(error, "no temporary file can be made: %s", strerror(errno));
	} else {
		close(fd);
		if (case_command(&campaign->context, NULL, &(struct case_command){command, SUBJECT_TIMEOUT},
		        path.at, true, NULL, NULL, error) == 0 &&
		    regular_load(path.at, SUBJECT_MAX, &text, error) == 0)
			subject = memory_text(
			    text.size ? text.at : "", text.size ? strcspn(text.at, "\n") : 0);
		unlink(path.at);
	}
	text_free(&path);
	text_free(&text);
	return subject;
}
