/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * network: the configuration of one case: the ini file of the network under test with the values of a cell, a
 * bench, a search or fault, the settings of the command line and those that `prepare` added, in this order.
 */
#ifndef PROXY_CAMPAIGN_NETWORK_H
#define PROXY_CAMPAIGN_NETWORK_H

#include "base/text.h"
#include "campaign/plan.h"
#include "proxy/run/setup.h"

/* The parts that make the network of a case. Strings belong to the caller; NULL: none. */
struct network_source {
	const struct campaign_plan *plan;
	const char *config;      /* path of the network's ini file */
	const char *const *sets; /* of the command line, for the network */
	size_t set_count;
	const struct cell *cell;
	const struct bench_section *bench;
	const char *extra;    /* of a search: "[SECTION] KEY = VALUE", one a line */
	const char *prepared; /* what `prepare` wrote to $DEADZONE_SET */
	bool is_clean;        /* a baseline: no axes, links without impairment, rules and NAT timeouts off */
};

/* Reads it, and adds all errors to `complaints`. Never returns NULL; setup_free frees the result. `names`
 * must outlive it. */
struct setup *network_build(
    const struct network_source *source, struct names *names, struct complaints *complaints);

/* Adds the whole configuration as one ini text: includes resolved, with the seed, without [capture] file and
 * [control], with absolute paths. `fault` is a rule that goes before all others, or NULL. Returns -1 and sets
 * *error if a line would be too long for an ini file. */
int network_write(const struct network_source *source, const struct setup *setup, uint64_t seed,
    const char *fault, struct text *out, struct error *error);

/* Makes the folder of a case that is kept complete: copies the tables and traces that its case.ini names into
 * its folder, and names them relative to it. Returns -1 and sets *error if one cannot be copied. */
int network_keep(const char *folder, struct error *error);

/* Returns a hash of the contents of the tables and traces that the configuration names. */
uint64_t network_contents(const struct setup *setup);

/* Checks all cells, with all benches and searches, for so many cases at a time. */
void network_check_all(const struct network_source *source, uint64_t jobs, struct complaints *complaints);

#endif
