/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store: the folder of a campaign.
 *
 *   DIR/identity.json       what finished cases depend on: a resumed campaign must have the same
 *   DIR/units/ID/           a finished case; ID.old-N: one that was replaced
 *   DIR/running/ID/         a case that runs (or in `scratch`)
 *   DIR/claims/ID           who runs a unit (claims.h)
 *   DIR/benches/, baseline/ logs and clean runs
 *
 * A case gets its name under units/ by one rename, when it is whole: whoever reads sees all of it or nothing,
 * whenever the campaign dies.
 */
#ifndef PROXY_CAMPAIGN_STORE_H
#define PROXY_CAMPAIGN_STORE_H

#include "campaign/result.h"

struct store {
	char *folder;  /* absolute */
	char *scratch; /* absolute; NULL: none */
};

/* Makes the folder if needed. Returns 0, or -1 and sets *error. */
int store_open(struct store *store, const char *folder, const char *scratch, struct error *error);
void store_close(struct store *store);

/* Returns DIR/NAME; the caller frees it. */
char *store_path(const struct store *store, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads all finished cases, except those that were replaced. Adds one line to `odd` for each result that
 * cannot be read. */
void store_load(const struct store *store, struct results *results, struct text *odd);

/* The same for one case, if it is finished. */
void store_load_one(const struct store *store, const char *id, struct results *results, struct text *odd);

/* Returns an empty folder for a case that begins; the caller frees the path. NULL: sets *error. */
char *store_begin(const struct store *store, const char *id, struct error *error);
/* Moves the folder of a finished case to its place below `top` ("units", "baseline"). If another job was
 * first, its case stays and this one is removed. Returns 0, or -1 and sets *error. */
int store_finish(
    const struct store *store, const char *top, const char *id, const char *folder, struct error *error);
/* Removes the folder of a case that came to nothing, and frees its path. */
void store_discard(const struct store *store, char *folder);
/* Returns how the folders of running cases begin, those of other invocations too; the caller frees it. */
char *store_running_prefix(const struct store *store);
/* Renames a finished case to ID.old-N; none is no error. */
int store_retire(const struct store *store, const char *id, struct error *error);

/* ---- Identity ---- */

/* Compares {"name": "text", …} with what the folder holds, and adds what is new. Returns 0; -1 and sets
 * *error if a name that is there has another text now. */
int store_identify(const struct store *store, const json_t *identity, struct error *error);

/* Writes `json` to DIR/NAME, all or nothing. */
int store_write_json(const char *path, const json_t *json, struct error *error);

#endif
