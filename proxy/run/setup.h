/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setup: the whole configuration, read from ini files and settings, checked, and converted for use. A reload
 * builds a new one, and the old one is freed when it is no longer used.
 */
#ifndef PROXY_SETUP_H
#define PROXY_SETUP_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/ini.h"
#include "capture/capture.h"
#include "proxy/run/gateway_keys.h"
#include "rules/config.h"

/* [proxy] */
struct proxy_settings {
	struct addresses listen;
	const char *upstream; /* HOST:PORT, or "original" */
	bool is_original;
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
	mode_t mode; /* 0: not given */
};

/* [control] */
#define SETUP_CONTROL_CLIENTS 64 /* connections at a time; each takes a file descriptor */
struct control_settings {
	struct texts listen; /* "ADDR:PORT" or "unix:PATH" */
	const char *token;   /* path of a file; NULL: none */
	mode_t mode;         /* of Unix sockets */
};

struct setup {
	struct ini *ini;
	struct arena *arena;
	struct proxy_settings proxy;
	struct capture_settings capture;
	struct control_settings control;
	struct gateway_settings gateway;
	struct config *config;
};

struct setup_source {
	struct ini_sources ini;
	unsigned workers; /* of the run in progress, which a reload cannot change; 0: none */
};

enum setup_use { SETUP_CHECK, SETUP_RUN, SETUP_SIMULATE };

/* Reads the configuration and adds every error and note to `complaints`. Never returns NULL; the result may
 * be used only if there is no error. */
struct setup *setup_new(const struct setup_source *source, enum setup_use use, struct names *names,
    struct complaints *complaints);
void setup_free(struct setup *setup);

/* Returns whether an address leads back to one of these listeners; a host name's is refused after its lookup.
 */
bool setup_leads_back(const struct addresses *listen, const char *text);

/* The tables of sections and keys, for `help ini` and deadzone.ini(5). */
extern const struct section_kind *const setup_kinds[];
extern const size_t setup_kind_count;
/* Returns the directory of the profiles that come with the program: in the source tree, or where
 * `make install` puts them. */
const char *setup_profile_dir(void);

#endif
