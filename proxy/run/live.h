/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live: changes during a run, as lines of text. The API, `deadzone tell`, the capture's events and
 * `simulate --live` all use the same lines:
 *
 *   do ACTION                          an action that needs no datagram, for all sessions
 *   do session=3 ACTION                … for one session, or those of identity=NAME or device=SECTION
 *   fire [session=3 …] RULE            runs the rule's actions, and counts it as fired
 *   set [link default] up.loss = 5%    sets a key; may be followed by more settings, each after a newline
 *   enable RULE, disable RULE
 *
 * A change is atomic: keys are read like those of ini files, and either a complete configuration is built and
 * swapped in, or nothing changes. It is built from the files as they were last read, not as they are on disk
 * now.
 */
#ifndef PROXY_LIVE_H
#define PROXY_LIVE_H

#include "base/text.h"
#include "proxy/run/setup.h"
#include "rules/core_group.h"

struct live;

/* `source` and `names` must stay valid until live_free. */
struct live *live_new(const struct setup_source *source, enum setup_use use, struct names *names);
void live_free(struct live *live);
/* The listeners as bound, to which no session may be moved. The caller keeps them valid. */
void live_set_listeners(struct live *live, struct address *listeners, size_t count);
/* Sets what is called with the server ("HOST:PORT") that sessions are about to be moved to. */
typedef void live_upstream(void *user, const struct live_target *target, const char *text);
void live_set_on_upstream(struct live *live, live_upstream *call, void *user);

/* Reads the files from disk, without the live changes. Returns NULL, with errors in `complaints`, if the
 * files are wrong. When the setup is in force, live_loaded is to be called: the changes are forgotten, and
 * later ones are made to the files as read now. Until then they are made to the files read before. */
struct setup *live_load(struct live *live, struct complaints *complaints);
void live_loaded(struct live *live);
/* Calls both, at the start of a run. */
struct setup *live_start(struct live *live, struct complaints *complaints);
/* Visits the files that the configuration is read from, and those that it names to be read: ini files,
 * tables, traces, key logs, the token. */
void live_visit_files(
    const struct live *live, const struct setup *setup, ini_files_visitor *visit, void *user);
/* True if `path` is one of these files. */
bool live_reads(const struct live *live, const struct setup *setup, const char *path);
/* Returns how many changes of keys and rules are in effect. */
size_t live_changes(const struct live *live);

/* LIVE_INVALID: the line is not valid. LIVE_UNKNOWN: it names a session, device or rule that does not exist.
 * LIVE_CONFLICT: the configuration in force, which was valid when it was read, cannot be built again. */
enum live_status { LIVE_DONE, LIVE_INVALID, LIVE_UNKNOWN, LIVE_CONFLICT };
struct live_result {
	enum live_status status;
	struct setup *setup; /* to be swapped in by the caller; NULL if none was built */
	size_t sessions;     /* number of sessions affected */
	struct text error;   /* to be freed by the caller */
};

/* True if the line builds a configuration, for which the workers need not be paused; false if it acts on
 * sessions. */
bool live_builds(const char *line);
/* Forgets the last line carried out, if what it has built could not be swapped in. */
void live_undo(struct live *live, const char *line);
/* Carries out one line. `setup` is the one in force. If the line acts on sessions, the workers must be
 * paused. */
struct live_result live_apply(
    struct live *live, const struct core_group *cores, const struct setup *setup, const char *line, ns_t now);

#endif
