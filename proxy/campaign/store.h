/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store: the folder of a campaign.
 *
 *   DIR/identity.json       what finished cases depend on: a resumed campaign must have the same
 *   DIR/units/ID/           a finished case; ID.old-N: one that was replaced
 *   DIR/running/ID/         a case that runs (or in `scratch`)
 *   DIR/claims/ID           who runs a unit, renewed every STORE_RENEWAL
 *   DIR/benches/, baseline/ logs and clean runs
 *
 * A case gets its name under units/ by one rename, when it is whole: whoever reads sees all of it or nothing,
 * whenever the campaign dies.
 */
#ifndef PROXY_CAMPAIGN_STORE_H
#define PROXY_CAMPAIGN_STORE_H

#include <sys/types.h>

#include "base/ns.h"
#include "campaign/result.h"

#define STORE_RENEWAL (10 * NS_S)
#define STORE_STALE (60 * NS_S) /* a claim whose content has not changed for so long is free */

struct store {
	char *folder;  /* absolute */
	char *scratch; /* absolute; NULL: none */
	char *owner;   /* "HOST BOOT NAMESPACE PID START", the start of our claims */
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
/* Renames a finished case to ID.old-N; none is no error. */
int store_retire(const struct store *store, const char *id, struct error *error);

/* ---- Claims ---- */

struct claim {
	char *path;
	unsigned renewed;
	pid_t group; /* process group that works under the claim; 0: none */
};

/* CLAIM_HELD: by a job that lives. CLAIM_WATCHED: by one of which that is not known yet; try again until it
 * is renewed, or stale after STORE_STALE. */
enum claim_result { CLAIM_TAKEN, CLAIM_HELD, CLAIM_WATCHED, CLAIM_FAILED };
enum claim_result claim_take(
    const struct store *store, const char *name, ns_t now, struct claim *claim, struct error *error);
/* Removes the claim of a unit that is done, if its holder is gone. */
void claim_clear(const struct store *store, const char *name, ns_t now);
void claim_renew(struct claim *claim, const struct store *store);
/* Notes the process group that works under the claim, for whoever takes it over. */
void claim_set_group(struct claim *claim, const struct store *store, pid_t group);
void claim_release(struct claim *claim, const struct store *store);
/* Frees what is remembered of the claims of others. */
void claims_forget(void);

/* ---- Identity ---- */

/* Compares {"name": "text", …} with what the folder holds, and adds what is new. Returns 0; -1 and sets
 * *error if a name that is there has another text now. */
int store_identify(const struct store *store, const json_t *identity, struct error *error);

/* Writes `json` to DIR/NAME, all or nothing. */
int store_write_json(const char *path, const json_t *json, struct error *error);

#endif
