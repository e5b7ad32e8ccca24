/* SPDX-License-Identifier: BSD-2-Clause */
/* campaign_command: what the files of `deadzone campaign` share. */
#ifndef PROXY_CLI_CAMPAIGN_COMMAND_H
#define PROXY_CLI_CAMPAIGN_COMMAND_H

#include "proxy/campaign/campaign.h"
#include "proxy/campaign/store.h"
#include "proxy/cli/command.h"

struct campaign_command {
	const struct command_line *line;
	struct campaign *campaign;
	struct store store;
	char *folder; /* -o, or the default */
	char *subject;
	struct {
		char **all;
		size_t count;
		struct dictionary known;
	} units;        /* --unit */
	bool has_units; /* --unit was given, though perhaps no id came */
	const char *const *only;
	size_t only_count;
	unsigned shard, shards; /* 0: no --shard */
	unsigned jobs;
	bool again;
};

/* campaign_units.c */
/* Reads --unit, and standard input if an id is `-`. */
void campaign_read_units(struct campaign_command *command);
/* Reads "I/N"; NULL: no --shard. Returns 0, or EXIT_USAGE after logging an error. */
int campaign_read_shard(struct campaign_command *command, const char *text);
/* Returns 0 if all units that --unit and --only name exist, or EXIT_USAGE after logging an error. */
int campaign_check_units(struct campaign_command *command);
/* Returns whether the command line selects a unit; `user` is a struct campaign_command. */
bool campaign_selects(const struct unit *unit, void *user);
/* Prints the ids of the units selected. Returns an exit status. */
int campaign_list_units(struct campaign_command *command);
/* Prints how many cells and cases there are, and how long they take at most. */
void campaign_print_estimate(const struct campaign_command *command);
/* Returns whether each selected unit has an outcome, whichever. */
bool campaign_has_all(const struct campaign_command *command);

/* campaign_compare.c */
/* Carries out --compare. Returns an exit status. */
int campaign_compare(const struct command_line *line);

#endif
