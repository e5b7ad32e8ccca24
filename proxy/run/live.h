/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live: what is changed while it runs, in lines of words that the API, `deadzone tell`, the capture's events
 * and `simulate --live` all speak:
 *
 *   do ACTION                          any action that needs no datagram; for all sessions, or before ACTION
 *   do session=3 ACTION                … for one, identity=NAME, or device=SECTION
 *   fire [session=3 …] RULE            that rule's actions; it counts as fired
 *   set [link default] up.loss = 5%    one key more; several lines' worth with a new line between
 *   enable RULE, disable RULE
 *
 * A change is whole: keys go through the reader of ini files, and a configuration is built and swapped in
 * whole, or nothing changes. It is built from the files as they were read last, not as they are on disk now.
 */
#ifndef PROXY_LIVE_H
#define PROXY_LIVE_H

#include "base/text.h"
#include "proxy/run/setup.h"
#include "rules/core_group.h"

struct live;

/* `source` (of run or simulate) and `names` are read until live_free. */
struct live *live_new(const struct setup_source *source, enum setup_use use, struct names *names);
void live_free(struct live *live);

/* Reads the files from disk; what was changed before is forgotten. NULL and what is wrong. */
struct setup *live_load(struct live *live, struct complaints *complaints);
/* Is this path one of the files that a configuration is read from, or of those that it names to be read: ini
 * files, tables, traces, key logs, the token? */
bool live_reads(const struct live *live, const struct setup *setup, const char *path);
/* How many changes of keys and rules stand. */
size_t live_changes(const struct live *live);

/* LIVE_CONFLICT: the configuration in force, which was right when it was read, cannot be built anew. */
enum live_status { LIVE_DONE, LIVE_WRONG, LIVE_UNKNOWN, LIVE_CONFLICT };
struct live_result {
	enum live_status status;
	struct setup *setup; /* to be swapped in (core_reload), where one was built; else NULL */
	size_t sessions;     /* that it concerned */
	struct text error;   /* in the words of the ini reader; for text_free */
};

/* Does this line build a configuration (the cores need not rest for that), or act on sessions? */
bool live_builds(const char *line);
/* What the line that was carried out last has built was not swapped in: forgets it. */
void live_undo(struct live *live, const char *line);
/* Carries out one line. `setup` is the one in force; `cores` are at rest where the line acts on sessions. */
struct live_result live_apply(
    struct live *live, const struct core_group *cores, const struct setup *setup, const char *line, ns_t now);

#endif
