/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * child: a command or a proxy that runs beside the campaign, in a process group of its own.
 *
 *   child_start ── child_poll again and again, until child_is_over ── child_close
 *
 * When its time is up, or after child_stop, the group gets SIGTERM and, CHILD_GRACE later, SIGKILL. The child
 * is over once it has ended itself and no process of its group is left: one that stays behind is treated as
 * if its time were up, unless `keeps_group`. If the campaign is killed, the child dies with it
 * (PR_SET_PDEATHSIG). Processes that left the group become children of the campaign once their parents have
 * ended (PR_SET_CHILD_SUBREAPER); child_kill_orphans finds them.
 */
#ifndef PROXY_CAMPAIGN_CHILD_H
#define PROXY_CAMPAIGN_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/ns.h"

#define CHILD_GRACE (5 * NS_S)
/* A process that has become a zombie and whose parent does not reap it keeps its group for ever: so long
 * after SIGKILL the group counts as gone. */
#define CHILD_GIVE_UP (2 * NS_S)

/* Exit status of a child that could not become its command, as a shell has it. */
#define CHILD_STATUS_LOST 126
#define CHILD_STATUS_MISSING 127

struct child {
	pid_t pid;              /* 0: not running */
	int fd;                 /* pidfd: readable when it has ended; -1: not running */
	ns_t deadline, kill_at; /* 0: none */
	bool ended, group_gone, timed_out, stopped;
	bool keeps_group;
	int status, signal; /* after its end: exit status, or the signal that killed it */
};

struct child_options {
	const char *const *words; /* argv */
	char *const *environment;
	const char *folder; /* working directory; NULL: as the campaign's */
	int output;         /* for standard output and error */
	bool is_quiet;      /* standard error goes to /dev/null */
	int passed;         /* a descriptor that the child gets as 3; -1: none */
	ns_t timeout;       /* 0: none */
	bool keeps_group;   /* what it leaves in its group goes on, until child_kill_group */
};

/* Once, before the first child: makes the campaign the parent of orphaned grandchildren. */
void child_adopt_orphans(void);
/* Blocks SIGINT and SIGTERM and returns a descriptor that they can be read from (signalfd). They stay blocked
 * after it is closed, so that a second signal does not cut off the reports. Children have the usual mask. */
int child_signals(void);
/* Returns 0, or -1 and sets *error. */
int child_start(struct child *child, const struct child_options *options, ns_t now, struct error *error);
/* Notices its end, and ends what has run out of time. */
void child_poll(struct child *child, ns_t now);
bool child_is_over(const struct child *child);
/* Asks it to end, as if its time were up, except that `timed_out` stays false. */
void child_stop(struct child *child, ns_t now);
/* Kills what is left at once. */
void child_kill(struct child *child);
/* Returns when child_poll must be called at the latest, or 0. */
ns_t child_due(const struct child *child);
/* Kills what a child with `keeps_group` has left in its group. */
void child_kill_group(pid_t group);
/* Kills the members of a process group of an earlier invocation whose environment holds a string that begins
 * with `mark`. */
void child_kill_marked(pid_t group, const char *mark);
/* Kills the orphans whose environment holds the string `mark` ("NAME=VALUE"), or all if it is NULL, and reaps
 * them. Returns how many there were. */
unsigned child_kill_orphans(const char *mark);

#endif
