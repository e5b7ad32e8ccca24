/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * settings: the tables of sections and keys of a campaign's file, as rules/keys.c has those of a network's,
 * and the readers of their values.
 */
#include "campaign/settings.h"

#include <ctype.h>
#include <string.h>

#include "base/ini.h"
#include "base/text.h"
#include "rules/action.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

const char *const settings_built_in[SETTINGS_BUILT_IN] = {
    "seconds", "network_seconds", "bytes_up", "bytes_down", "datagrams", "handshakes", "retransmissions"};

const char *settings_label(struct arena *arena, const char *value)
{
	struct text text = {0};
	const char *label;

	text_add_word(&text, "");
	for (const char *c = value; *c; c++) {
		if (*c == '%')
			text_add_word(&text, "pct");
		else if (isalnum((unsigned char)*c) || strchr("._-", *c))
			text_add(&text, "%c", *c);
		else if (!text.size || text.at[text.size - 1] != '-')
			text_add_word(&text, "-");
	}
	label = arena_text(arena, text.at, text.size);
	text_free(&text);
	return label;
}

/* ---- Readers of keys ---- */

/* Reads "network=gprs loss=10%" from the start of `text`, as far as words hold `=`. Returns the rest. */
static const char *read_terms(struct arena *arena, const char *text, struct selector *selector)
{
	*selector = (struct selector){0};
	for (;;) {
		size_t size = strcspn(text, " \t");
		const char *equals = memchr(text, '=', size);

		if (!equals)
			return text;
		selector->terms = arena_grow(
		    arena, selector->terms, selector->term_count, sizeof(*selector->terms));
		selector->terms[selector->term_count++] = (struct selector_term){
		    .axis = arena_text(arena, text, (size_t)(equals - text)),
		    .label = settings_label(
		        arena, arena_text(arena, equals + 1, size - (size_t)(equals + 1 - text)))};
		text += size;
		text += strspn(text, " \t");
	}
}

static int read_timeouts(struct reading *reading, const char *text, void *into)
{
	struct campaign_settings *settings =
	    (struct campaign_settings *)(void *)((char *)into - offsetof(struct campaign_settings, timeouts));
	struct selected_time timeout;

	text = read_terms(reading->arena, text, &timeout.selector);
	if (keys_read_time_above_0(reading, text, &timeout.time))
		return -1;
	*(struct selected_time *)keys_append(
	    reading, &settings->timeouts.all, &settings->timeouts.count, sizeof(timeout)) = timeout;
	return 0;
}

static int read_requirements(struct reading *reading, const char *text, void *into)
{
	struct campaign_settings *settings =
	    (struct campaign_settings *)(void *)((char *)into -
	                                         offsetof(struct campaign_settings, requirements));
	struct selected_share requirement = {0};

	text = read_terms(reading->arena, text, &requirement.selector);
	requirement.none = strcmp(text, "none") == 0;
	if (!requirement.none && units_share(text, &requirement.share, &reading->error))
		return -1;
	*(struct selected_share *)keys_append(reading, &settings->requirements.all,
	    &settings->requirements.count, sizeof(requirement)) = requirement;
	return 0;
}

/* Appends to a list {struct selector *, count}. */
static int read_selectors(struct reading *reading, const char *text, void *into)
{
	struct {
		struct selector *all;
		size_t count;
	} *list = into;
	struct selector selector;
	const char *rest = read_terms(reading->arena, text, &selector);

	if (*rest || !selector.term_count)
		return error_set(
		    &reading->error, "`%s` is no selection of cells; one is `AXIS=LABEL AXIS=LABEL`", text);
	*(struct selector *)keys_append(reading, &list->all, &list->count, sizeof(selector)) = selector;
	return 0;
}

static int read_seeds(struct reading *reading, const char *text, void *into)
{
	struct campaign_settings *settings =
	    (struct campaign_settings *)(void *)((char *)into - offsetof(struct campaign_settings, seeds));
	struct span span;

	if (strcmp(text, "none") == 0)
		return 0;
	if (units_span(text, &span, &reading->error))
		return -1;
	if (span.high == UNITS_NO_LIMIT || span.period)
		return error_set(
		    &reading->error, "`%s` has no end; seeds are numbers or ranges such as 1-20", text);
	if (span.high > (UINT64_C(1) << 53))
		return error_set(&reading->error, "`%s` is out of range; a seed is at most 2^53", text);
	if (span.high - span.low >= SETTINGS_SEEDS_MAX ||
	    settings->seeds.count + (span.high - span.low) >= SETTINGS_SEEDS_MAX)
		return error_set(
		    &reading->error, "`%s` are too many; %d seeds are the most", text, SETTINGS_SEEDS_MAX);
	for (uint64_t seed = span.low; seed <= span.high; seed++) {
		for (size_t i = 0; i < settings->seeds.count; i++)
			if (settings->seeds.all[i] == seed)
				return error_set(&reading->error, "`%s` names a seed a second time", text);
		*(uint64_t *)keys_append(
		    reading, &settings->seeds.all, &settings->seeds.count, sizeof(seed)) = seed;
	}
	return 0;
}

static int read_limited(
    struct reading *reading, const char *text, uint64_t *number, uint64_t least, uint64_t most)
{
	if (units_integer(text, number, &reading->error))
		return -1;
	if (*number < least || *number > most)
		return error_set(&reading->error, "`%s` is out of range; it is %ju to %ju", text,
		    (uintmax_t)least, (uintmax_t)most);
	return 0;
}

static int read_jobs(struct reading *reading, const char *text, void *into)
{
	return read_limited(reading, text, into, 1, SETTINGS_JOBS_MAX);
}

static int read_count(struct reading *reading, const char *text, void *into)
{
	return read_limited(reading, text, into, 0, 1000000);
}

static int read_positive(struct reading *reading, const char *text, void *into)
{
	return read_limited(reading, text, into, 1, 1000000);
}

static int read_runs(struct reading *reading, const char *text, void *into)
{
	return read_limited(reading, text, into, 1, SEARCH_RUNS_MAX);
}

static int read_order(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"shuffled", "listed"};

	return keys_read_word(reading, text, words, COUNT(words), into);
}

static int read_keep(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"all", "failed", "none"};

	return keys_read_word(reading, text, words, COUNT(words), into);
}

static int read_worse(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"more", "less"};

	return (*(int *)into = keys_choose(reading, text, words, COUNT(words))) < 0 ? -1 : 0;
}

static int read_better(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"less", "more"};
	int choice = keys_choose(reading, text, words, COUNT(words));

	*(int *)into = choice + 1;
	return choice < 0 ? -1 : 0;
}

static int read_open_share(struct reading *reading, const char *text, void *into)
{
	double *share = into;

	if (units_share(text, share, &reading->error))
		return -1;
	if (*share <= 0 || *share >= 1)
		return error_set(
		    &reading->error, "`%s` is out of range; it is above 0%% and below 100%%", text);
	return 0;
}

static int read_sweep_at(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"handshake", "datagrams"};
	struct sweep_section *sweep = (struct sweep_section *)(void *)((char *)into -
	                                                               offsetof(struct sweep_section, at));
	struct kinds kinds;
	int choice;

	if (strncmp(text, "dtls ", 5) == 0) {
		text += 5 + strspn(text + 5, " \t");
		memset(&kinds, 0, sizeof(kinds));
		if (kinds_read(reading, text, &kinds))
			return -1;
		sweep->kind = arena_text(reading->arena, text, strlen(text));
		sweep->at = SWEEP_DTLS;
		return 0;
	}
	choice = keys_choose(reading, text, words, COUNT(words));
	if (choice < 0)
		return error_set(
		    &reading->error, "`%s` is unknown; it is handshake, datagrams or dtls KIND", text);
	sweep->at = (enum sweep_at)choice;
	return 0;
}

static int read_direction(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"both", "up", "down"};
	bool *ways = into;
	int choice = keys_choose(reading, text, words, COUNT(words));

	if (choice < 0)
		return -1;
	ways[WAY_UP] = choice != 2;
	ways[WAY_DOWN] = choice != 1;
	return 0;
}

/* A fault is an action, except that `drop` takes a number and that `swap` takes none. */
static int read_fault(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {
	    "drop", "duplicate", "delay", "swap", "corrupt", "truncate", "blackout"};
	struct sweep_section *sweep =
	    (struct sweep_section *)(void *)((char *)into - offsetof(struct sweep_section, faults));
	size_t size = strcspn(text, " \t");
	const char *rest = text + size + strspn(text + size, " \t");
	struct fault fault = {.text = arena_text(reading->arena, text, strlen(text)),
	    .label = settings_label(reading->arena, text)};
	struct actions actions = {0};
	int choice = keys_choose(reading, arena_text(reading->arena, text, size), words, COUNT(words));

	if (choice < 0)
		return -1;
	fault.kind = (enum fault_kind)choice;
	fault.drops = 1;
	if (fault.kind == FAULT_DROP && *rest) {
		if (read_limited(reading, rest, &fault.drops, 1, 1000))
			return -1;
	} else if (fault.kind == FAULT_SWAP) {
		if (*rest)
			return error_set(&reading->error, "`%s`: swap takes no value", text);
	} else if (action_read(reading, fault.kind == FAULT_DROP ? "drop" : text, &actions)) {
		return -1;
	}
	*(struct fault *)keys_append(
	    reading, &sweep->faults.all, &sweep->faults.count, sizeof(fault)) = fault;
	return 0;
}

static int read_sweep_require(struct reading *reading, const char *text, void *into)
{
	struct sweep_section *sweep =
	    (struct sweep_section *)(void *)((char *)into - offsetof(struct sweep_section, require));

	sweep->require_none = strcmp(text, "none") == 0;
	return sweep->require_none ? 0 : units_share(text, into, &reading->error);
}

/* ---- Tables ---- */

#define AT(field) offsetof(struct campaign_settings, field)

static const struct key campaign_keys[] = {
    {"config", KEY_PLAIN, NULL, AT(config), keys_read_text, "file",
        "ini file of the network under test, as for `run -c`; its [capture] file, [control] and seed are set "
        "aside",
        "required"},
    {"test", KEY_COMMAND, NULL, AT(test), keys_read_text, "command",
        "shell command, started when the proxy is ready; exit status 0 passes, 77 skips, 125 to 127 say "
        "nothing about the device, any other fails",
        "required"},
    {"setup", KEY_COMMAND, NULL, AT(setup), keys_read_text, "command",
        "run once on each bench, before its first case", "none"},
    {"teardown", KEY_COMMAND, NULL, AT(teardown), keys_read_text, "command",
        "run once on each bench, after its last case", "none"},
    {"prepare", KEY_COMMAND, NULL, AT(prepare), keys_read_text, "command",
        "run before the proxy of each case starts", "none"},
    {"cleanup", KEY_COMMAND, NULL, AT(cleanup), keys_read_text, "command",
        "run after the proxy of each case has stopped, whatever happened", "none"},
    {"timeout", KEY_LIST, "10m", AT(timeouts), read_timeouts, "time, or `AXIS=LABEL TIME`",
        "then `test` gets SIGTERM and, 5 s later, SIGKILL, with its process group; the last that fits counts",
        NULL},
    {"prepare_timeout", KEY_PLAIN, "5m", AT(prepare_timeout), keys_read_time_above_0, "time",
        "the same for `prepare`", NULL},
    {"cleanup_timeout", KEY_PLAIN, "1m", AT(cleanup_timeout), keys_read_time_above_0, "time",
        "the same for `cleanup`", NULL},
    {"setup_timeout", KEY_PLAIN, "15m", AT(setup_timeout), keys_read_time_above_0, "time",
        "the same for `setup`, `teardown` and `change`", NULL},
    {"invalid_status", KEY_LIST, NULL, AT(invalid_status), keys_read_spans, "range",
        "further exit statuses of `test` that say nothing about the device (2-5 for pytest)", "none"},
    {"seeds", KEY_LIST, "1", AT(seeds), read_seeds, "range",
        "each cell is run once with each of these; `none`: only searches and sweeps are run", NULL},
    {"jobs", KEY_PLAIN, "1", AT(jobs), read_jobs, "number",
        "cases that run at a time; more than 1 needs `listen` with port 0, or benches", NULL},
    {"order", KEY_PLAIN, "shuffled", AT(order), read_order, "shuffled or listed",
        "seed by seed, with the cells in an order drawn for each seed, or in the order listed", NULL},
    {"baseline", KEY_PLAIN, "0", AT(baseline), read_count, "number",
        "so many runs over clean links first, and again after every 50 cases; one that fails ends the "
        "campaign",
        NULL},
    {"require", KEY_LIST, "100%", AT(requirements), read_requirements, "share, or `AXIS=LABEL SHARE`",
        "least share of passes of a cell; `none` to only measure; the last that fits counts", NULL},
    {"retry", KEY_PLAIN, "1", AT(retry), read_count, "number", "how often an invalid case is tried again",
        NULL},
    {"bench_out", KEY_PLAIN, "3", AT(bench_out), read_positive, "number",
        "a bench with so many invalid cases in a row gets no more", NULL},
    {"budget", KEY_PLAIN, NULL, AT(budget), keys_read_time_above_0, "time",
        "no case starts later than this after the start", "none"},
    {"stop_after", KEY_PLAIN, NULL, AT(stop_after), read_positive, "number",
        "no case starts after so many failures", "none"},
    {"keep", KEY_PLAIN, "failed", AT(keep), read_keep, "all, failed or none",
        "of which cases captures and logs are kept; failed includes timeout and invalid", NULL},
    {"scratch", KEY_PLAIN, NULL, AT(scratch), keys_read_text, "folder",
        "a local folder in which cases run before they are moved to the campaign's", "that of the campaign"},
    {"advertise", KEY_PLAIN, NULL, AT(advertise), keys_read_text, "host",
        "what DEADZONE_HOST says if `listen` is a wildcard", "none"},
    {"subject", KEY_COMMAND, NULL, AT(subject), keys_read_text, "command",
        "its output names what is tested (git describe); another subject is refused in the same folder",
        "none"},
    {"exclude", KEY_LIST, NULL, AT(excluded), read_selectors, "`AXIS=LABEL AXIS=LABEL`", "cells to leave out",
        "none"},
};

#undef AT
#define AT(field) offsetof(struct axis, field)

static const struct key axis_keys[] = {
    {"set", KEY_LIST, NULL, AT(set), keys_read_texts, "[SECTION] KEY",
        "the key that takes the values; several take the same value", "the environment only"},
    {"values", KEY_LIST, NULL, AT(values), keys_read_texts, "list", "the values, separated by commas",
        "none"},
    {"value", KEY_REPEATED, NULL, AT(single_values), keys_read_texts, "value",
        "one value, which may hold commas", "none"},
    {"names", KEY_LIST, NULL, AT(names), keys_read_texts, "list",
        "the labels of the values, in the same order", "made from the values"},
    {"include", KEY_LIST, NULL, AT(includes), keys_read_texts, "file, pattern, profile:NAME or none",
        "in place of `set`: each file is a value; its keys replace those of `config`", "none"},
    {"change", KEY_COMMAND, NULL, AT(change), keys_read_text, "command",
        "run on a bench whenever the value changes there; cases are grouped by it", "none"},
};

#undef AT
#define AT(field) offsetof(struct search_section, field)

static const struct key search_keys[] = {
    {"set", KEY_PLAIN, NULL, AT(set), keys_read_text, "[SECTION] KEY", "the key that takes the figure",
        "required"},
    {"value", KEY_PLAIN, "{}", AT(value), keys_read_text, "text", "its value; {} stands for the figure",
        NULL},
    {"from", KEY_PLAIN, NULL, AT(from), keys_read_text, "figure", "the least figure to try", "required"},
    {"to", KEY_PLAIN, NULL, AT(to), keys_read_text, "figure",
        "the greatest; the span is searched in its logarithm if it is at least 10 times the least",
        "required"},
    {"worse", KEY_PLAIN, NULL, AT(worse), read_worse, "more or less", "in which direction the test fails",
        "by the key"},
    {"target", KEY_PLAIN, "50%", AT(target), read_open_share, "share",
        "the share of passes at the figure that is sought", NULL},
    {"precision", KEY_PLAIN, "10%", AT(precision), read_open_share, "share",
        "the search ends once both ends of the interval are this near", NULL},
    {"runs", KEY_PLAIN, "60", AT(runs), read_runs, "number", "most cases", NULL},
    {"require", KEY_PLAIN, NULL, AT(require), keys_read_text, "range",
        "what the figure must be, such as 50s-", "none"},
};

#undef AT
#define AT(field) offsetof(struct sweep_section, field)

static const struct key sweep_keys[] = {
    {"at", KEY_PLAIN, "handshake", AT(at), read_sweep_at, "handshake, datagrams or dtls KIND",
        "the places: each handshake message, each datagram, or each datagram with such a record", NULL},
    {"fault", KEY_LIST, NULL, AT(faults), read_fault, "a fault",
        "drop, drop N (the first N transmissions), duplicate, delay T, swap (with the next), corrupt, "
        "truncate N, blackout T [up or down] [hold]",
        "drop"},
    {"direction", KEY_PLAIN, "both", AT(ways), read_direction, "both, up or down", "of the places", NULL},
    {"limit", KEY_PLAIN, "50", AT(limit), read_positive, "number",
        "most places for each fault, spread evenly", NULL},
    {"references", KEY_PLAIN, "3", AT(references), read_positive, "number",
        "runs without the fault, which come first and must pass", NULL},
    {"require", KEY_PLAIN, "100%", AT(require), read_sweep_require, "share or none",
        "least share of faults that are survived", NULL},
    {"max_cost", KEY_PLAIN, NULL, AT(max_cost), keys_read_time_above_0, "time",
        "most extra network_seconds that a fault may cost", "none"},
};

#undef AT
#define AT(field) offsetof(struct measure_section, field)

static const struct key measure_keys[] = {
    {"require", KEY_PLAIN, NULL, AT(require), keys_read_text, "range",
        "what the median of a cell's passing cases must be, such as -300", "none"},
    {"better", KEY_PLAIN, NULL, AT(better), read_better, "less or more", "for --compare", "not compared"},
};

#undef AT
#define AT(field) offsetof(struct bench_section, field)

static const struct key bench_keys[] = {
    {"set", KEY_REPEATED, NULL, AT(sets), keys_read_texts, "[SECTION] KEY = VALUE",
        "a setting of the cases that run here", "none"},
    {"environment", KEY_REPEATED, NULL, AT(environment), keys_read_texts, "NAME=VALUE",
        "a variable of all commands that run here", "none"},
    {"only", KEY_LIST, NULL, AT(only), read_selectors, "`AXIS=LABEL`", "cells that may run here", "all"},
};

#define KIND(word, named, keys, type, what)                                                                  \
	{                                                                                                    \
		word, named, keys, COUNT(keys), sizeof(type), 0, 0, what                                     \
	}

static const struct section_kind campaign_kind = KIND("campaign", false, campaign_keys,
    struct campaign_settings, "what is run, how often, and what must come of it");
static const struct section_kind axis_kind = KIND(
    "axis", true, axis_keys, struct axis, "one dimension of the matrix");
static const struct section_kind search_kind = KIND("search", true, search_keys, struct search_section,
    "in every cell, the figure at which the test starts to fail");
static const struct section_kind sweep_kind = KIND(
    "sweep", true, sweep_keys, struct sweep_section, "in every cell, each fault once at each place");
static const struct section_kind measure_kind = KIND("measure", true, measure_keys, struct measure_section,
    "a figure of each case: built in, or from $DEADZONE_MEASURES");
static const struct section_kind bench_kind = KIND("bench", true, bench_keys, struct bench_section,
    "a device under test with its cable and power switch: one case at a time");

const struct section_kind *const settings_kinds[] = {
    &campaign_kind, &axis_kind, &search_kind, &sweep_kind, &measure_kind, &bench_kind};
const size_t settings_kind_count = COUNT(settings_kinds);
