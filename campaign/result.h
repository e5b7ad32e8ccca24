/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * result: the record of one case, as result.json holds it, and of all cases of a campaign.
 *
 * A struct result owns its strings. Members that the file lacks are NULL, 0 or NAN. Reading treats the file
 * as a stranger's: what is malformed is an error, never a crash.
 */
#ifndef CAMPAIGN_RESULT_H
#define CAMPAIGN_RESULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/dictionary.h"
#include "base/error.h"
#include "campaign/outcome.h"

struct measured {
	char *name;
	double value;
};

struct result {
	char *id;
	enum case_outcome outcome;
	char *reason; /* NULL if it passed */
	double seconds;
	int status, signal; /* of `test`; status -1: it was not started or timed out */
	uint64_t seed;
	char *bench;     /* NULL: none */
	char *figure;    /* of a search, with its unit; NULL: none */
	uint64_t struck; /* how often the fault of a sweep acted */
	struct measured *measures;
	size_t measure_count;
	char **unmet; /* `expect`s that were not met, in words */
	size_t unmet_count;
	char **places; /* of a reference: places of a sweep (campaign/sweep.h) */
	size_t place_count;
	bool is_resumed;        /* of a reference: its handshake was a resumed one */
	double lateness_p99_us; /* of the proxy; NAN: unknown */
};

void result_fini(struct result *result);
void result_measure(struct result *result, const char *name, double value);
/* Returns the value of a measure, or NAN. */
double result_value(const struct result *result, const char *name);
void result_unmet(struct result *result, const char *text);
void result_place(struct result *result, const char *place);

/* Return the result as JSON, owned by the caller; the short form lacks what only the case's own file has. */
json_t *result_json(const struct result *result);
/* Fills `result`, to be freed with result_fini. Returns 0, or -1 and sets *error. */
int result_read(const json_t *json, struct result *result, struct error *error);

/* All results by id. A result that is put a second time replaces the first. */
struct results {
	struct result **all;
	size_t count;
	struct dictionary by_id;
	struct result **removed;
	size_t removed_count;
};

/* Takes over the members of `result`. */
void results_put(struct results *results, const struct result *result);
/* Forgets a result. */
void results_remove(struct results *results, const char *id);
/* Sorts them by id, as reports list them. */
void results_sort(struct results *results);
const struct result *results_get(const struct results *results, const char *id);
void results_free(struct results *results);

#endif
