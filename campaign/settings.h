/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * settings: a campaign's ini file, parsed: [campaign], [axis], [search], [sweep], [measure] and [bench].
 *
 * settings_new reads the file and checks it by itself; what concerns the network under test is checked by
 * whoever builds the cells (proxy/campaign/network.h). Everything lives in one arena until settings_free.
 * Times are in ns, shares are 0 to 1.
 */
#ifndef CAMPAIGN_SETTINGS_H
#define CAMPAIGN_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/keys.h"
#include "base/verdict.h"
#include "campaign/search.h"

#define SETTINGS_JOBS_MAX 1000
#define SETTINGS_SEEDS_MAX 10000 /* of one campaign */
#define SETTINGS_LABEL_MAX 200   /* bytes of a cell's id */

/* "network=gprs loss=10%": an axis and one of its labels, both of which must be those of a cell. */
struct selector {
	struct selector_term {
		const char *axis, *label;
	} * terms;
	size_t term_count; /* 0: every cell */
};

/* The requirement or timeout of the cells that a selector fits; if several fit a cell, the last one counts.
 */
struct selected_time {
	struct selector selector;
	ns_t time;
};

struct selected_share {
	struct selector selector;
	double share;
	bool none; /* `none`: nothing is required */
};

enum campaign_order { ORDER_SHUFFLED, ORDER_LISTED };
enum campaign_keep { KEEP_ALL, KEEP_FAILED, KEEP_NONE };

struct campaign_settings {
	const char *config, *test;
	const char *setup, *teardown, *prepare, *cleanup, *subject; /* NULL: none */
	struct {
		struct selected_time *all;
		size_t count;
	} timeouts;
	ns_t prepare_timeout, cleanup_timeout, setup_timeout;
	struct spans invalid_status;
	struct {
		uint64_t *all; /* in the order written; none: no matrix */
		size_t count;
	} seeds;
	uint64_t jobs, baseline, retry, bench_out, stop_after;
	enum campaign_order order;
	enum campaign_keep keep;
	struct {
		struct selected_share *all;
		size_t count;
	} requirements;
	ns_t budget; /* 0: none */
	const char *scratch, *advertise;
	struct {
		struct selector *all;
		size_t count;
	} excluded;
};

/* A value of an axis, and its label. */
struct axis_value {
	const char *value, *label;
};

struct axis {
	const char *name;
	struct texts set;      /* "[link default] loss" */
	struct texts includes; /* as written */
	struct texts values, single_values, names;
	const char *change;
	struct axis_value *all;
	size_t count;
	bool is_include; /* the values are paths, "profile:NAME" or "none" */
};

struct search_section {
	const char *name;
	const char *set, *value, *from, *to;
	int worse; /* enum worse_word; -1: by the key */
	double target, precision;
	uint64_t runs;
	const char *require; /* "50s-"; NULL: none */
	struct search_settings settings;
	double require_low, require_high; /* in the unit of `from`; infinite: open */
};

enum fault_kind {
	FAULT_DROP,
	FAULT_DUPLICATE,
	FAULT_DELAY,
	FAULT_SWAP,
	FAULT_CORRUPT,
	FAULT_TRUNCATE,
	FAULT_BLACKOUT
};

struct fault {
	enum fault_kind kind;
	const char *text;  /* as written: "drop 2", "blackout 5s up hold" */
	const char *label; /* safe in an id: "drop-2", "blackout-5s-up-hold" */
	uint64_t drops;    /* of `drop N` */
};

enum sweep_at { SWEEP_HANDSHAKE, SWEEP_DATAGRAMS, SWEEP_DTLS };

struct sweep_section {
	const char *name;
	enum sweep_at at;
	const char *kind; /* of `dtls KIND` */
	struct {
		struct fault *all;
		size_t count;
	} faults;
	bool ways[WAYS];
	uint64_t limit, references;
	double require; /* least share of survived faults */
	bool require_none;
	ns_t max_cost; /* 0: none */
};

struct measure_section {
	const char *name;
	const char *require; /* "-300"; NULL: none */
	double require_low, require_high;
	int better; /* 1: less, 2: more, 0: unknown */
};

struct bench_section {
	const char *name;
	struct texts sets, environment;
	struct {
		struct selector *all;
		size_t count;
	} only;
};

struct settings {
	struct arena *arena;
	struct ini *ini;
	const char *path;
	struct campaign_settings campaign;
	struct axis *axes;
	struct search_section *searches;
	struct sweep_section *sweeps;
	struct measure_section *measures;
	struct bench_section *benches;
	size_t axis_count, search_count, sweep_count, measure_count, bench_count;
};

/* Reads the file and applies the settings "[axis a] values = …" that are for it. Never returns NULL; the
 * result may be used only if `complaints` holds no error. */
struct settings *settings_new(
    const char *path, const char *const *sets, size_t set_count, struct complaints *complaints);
void settings_free(struct settings *settings);

/* Returns whether a "[SECTION] KEY = VALUE" is for the campaign's file, not for the network under test. */
bool settings_take(const char *assignment);
/* Returns whether the file at `path` has a line `[campaign]`. */
bool settings_is_campaign(const char *path);

/* Returns the label of a value, safe in file names and in the shell: `%` becomes `pct`, other runs of
 * characters outside A-Z a-z 0-9 . - _ become `-`. */
const char *settings_label(struct arena *arena, const char *value);

/* The kinds of sections, in this order. */
enum settings_kind { KIND_CAMPAIGN, KIND_AXIS, KIND_SEARCH, KIND_SWEEP, KIND_MEASURE, KIND_BENCH };
extern const struct section_kind *const settings_kinds[];
extern const size_t settings_kind_count;
/* The measures that every case has. */
#define SETTINGS_BUILT_IN 7
extern const char *const settings_built_in[SETTINGS_BUILT_IN];
/* Reads "50s-", "-300" or "2-5" of plain numbers, or of figures if `unit` is given. */
int settings_range(
    const char *text, const struct figure_unit *unit, double *low, double *high, struct error *error);

#endif
