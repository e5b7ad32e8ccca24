/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * campaign: a campaign as read from its file, with all networks checked.
 */
#ifndef PROXY_CAMPAIGN_CAMPAIGN_H
#define PROXY_CAMPAIGN_CAMPAIGN_H

#include "campaign/expand.h"
#include "proxy/campaign/case.h"

struct campaign {
	struct settings *settings;
	struct campaign_plan *plan;
	struct expansion *expansion;
	struct results results;
	const char **network_sets; /* the part of --set that is for the network */
	char *config;              /* path of the network's ini file */
	char *home;                /* absolute folder of the campaign's file */
	char *program;
	struct case_context context; /* without `sockets` */
};

/* Reads the file with the settings of --set, and checks every cell. Errors go to `complaints`; the campaign
 * may be used only if there are none. `jobs` is that of the command line; 0: as the file says. Never returns
 * NULL. */
struct campaign *campaign_new(const char *path, const char *const *sets, size_t set_count, unsigned jobs,
    struct complaints *complaints);
void campaign_free(struct campaign *campaign);

/* Returns what finished cases depend on, by name; the caller owns it. */
json_t *campaign_identity(const struct campaign *campaign, const char *subject);

/* Runs the command `subject`. Returns its first line, which the caller frees; NULL: sets *error. */
char *campaign_subject(const struct campaign *campaign, struct error *error);

#endif
