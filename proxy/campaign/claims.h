/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * claims: who runs a unit or uses a bench, so that several invocations in one folder do not work twice.
 */
#ifndef PROXY_CAMPAIGN_CLAIMS_H
#define PROXY_CAMPAIGN_CLAIMS_H

#include <sys/types.h>

#include "base/ns.h"
#include "proxy/campaign/store.h"

#define CLAIM_RENEWAL (10 * NS_S)
#define CLAIM_STALE (60 * NS_S) /* a claim whose content has not changed for so long is free */

struct claim {
	char *path;
	unsigned renewed;
	pid_t group; /* process group that works under the claim; 0: none */
};

/* CLAIM_HELD: by a job that lives. CLAIM_WATCHED: by one of which that is not known yet; try again until it
 * is renewed, or stale after CLAIM_STALE. */
enum claim_result { CLAIM_TAKEN, CLAIM_HELD, CLAIM_WATCHED, CLAIM_FAILED };
enum claim_result claim_take(
    const struct store *store, const char *name, ns_t now, struct claim *claim, struct error *error);
/* Removes the claim of a unit that is done, if its holder is gone. */
void claim_clear(const struct store *store, const char *name, ns_t now);
/* Every CLAIM_RENEWAL; others see that the holder lives. */
void claim_renew(struct claim *claim);
/* Notes the process group that works under the claim, for whoever takes it over. */
void claim_set_group(struct claim *claim, pid_t group);
void claim_release(struct claim *claim, const struct store *store);
/* Returns "HOST BOOT NAMESPACE PID START" of this process, with which its claims begin. */
const char *claims_owner(void);
/* Frees the owner, and what is remembered of the claims of others. */
void claims_forget(void);

#endif
