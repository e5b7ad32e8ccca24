/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setup: a configuration as a whole: the ini files and settings read, checked, and turned into what the
 * program runs by. Built anew for a reload; the old one is freed when nothing reads it any more.
 */
#ifndef PROXY_SETUP_H
#define PROXY_SETUP_H

#include <stdbool.h>
#include <stdio.h>

#include "base/ini.h"
#include "capture/capture.h"
#include "rules/config.h"

/* [proxy] */
struct proxy_settings {
	struct addresses listen;
	const char *upstream;
	uint64_t seed;
	bool seed_given;
	ns_t idle_timeout;
	uint64_t max_sessions, max_queued;
	struct patterns allow;
	uint64_t workers;
	bool precise;
	ns_t max_lateness; /* 0: none */
	bool strict;
	struct span expect_sessions;
	bool expect_sessions_given;
	uint64_t receive_buffer;
	bool offload;            /* UDP_GRO and UDP_SEGMENT */
	struct addresses source; /* ports are 0 */
};

/* [capture] */
struct capture_settings {
	const char *file;
	enum capture_format format;
	uint64_t rotate_size, keep, snaplen;
	ns_t rotate_time;
	struct texts keylog;
	ns_t keylog_wait;
};

/* [control] */
#define SETUP_CONTROL_CLIENTS 64 /* connections at a time; each takes a file descriptor */
struct control_settings {
	struct texts listen; /* "ADDR:PORT" or "unix:PATH" */
	const char *token;   /* a file; NULL: none */
};

struct setup {
	struct ini *ini;
	struct arena *arena;
	struct proxy_settings proxy;
	struct capture_settings capture;
	struct control_settings control;
	struct config *config;
};

/* What the command line gave. */
struct setup_source {
	const char *file;
	const char *const *sets;
	size_t set_count;
	const char *const *patches; /* more of the same, said while it runs */
	size_t patch_count;
	enum ini_live live_files; /* which files those may name */
	struct ini_files *files;  /* as they were read first; NULL: as they are now */
	unsigned workers;         /* of the run that goes on: a reload leaves them; 0: none does */
};

enum setup_use { SETUP_CHECK, SETUP_RUN, SETUP_SIMULATE };

/* Reads all; every error and note goes into `complaints`. Never NULL; usable only where there was no error.
 */
struct setup *setup_new(const struct setup_source *source, enum setup_use use, struct names *names,
    struct complaints *complaints);
void setup_free(struct setup *setup);

/* The tables, for `help ini` and deadzone.ini(5). */
extern const struct section_kind *const setup_kinds[];
extern const size_t setup_kind_count;
/* Where shipped profiles are: in the tree, or where `make install` puts them. NULL where neither is. */
const char *setup_profile_dir(void);

#endif
