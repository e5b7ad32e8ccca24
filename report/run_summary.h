/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_summary: the accounts of one run as plain figures. A running proxy fills it for its summary, --json and
 * the API; `report` fills it from a capture. Each output format has one writer, whoever filled the summary.
 *
 * All times are in ns. `started` and `ended` of the run are wall-clock times since 1970; a session's `began`
 * counts from the start of the run, its `seconds` is its duration. Zero-initialize it and fill it;
 * run_summary_fini frees all that it points to, except `notes`.
 */
#ifndef REPORT_RUN_SUMMARY_H
#define REPORT_RUN_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/account.h"
#include "base/address.h"
#include "base/buckets.h"
#include "base/error.h"
#include "base/ns.h"
#include "report/dump.h"

/* One direction of a session, or of all sessions. */
struct run_summary_way {
	struct account account;
	bool delayed; /* the percentiles are known */
	ns_t p50, p99, greatest;
};

struct run_summary_session {
	ns_t blackout_until[WAYS]; /* end of the blackout, in the time of a running core; in the past: none */
	uint32_t number;
	struct address device, cloud;             /* FAMILY_NONE: unknown */
	char section[64], identity[64], link[64]; /* "" for none */
	struct run_summary_way ways[WAYS];
	uint32_t handshakes, rebinds;
	uint16_t port;      /* towards the cloud; 0: none or unknown */
	unsigned old_ports; /* ports of earlier NAT mappings that are still open */
	ns_t began, seconds;
	const char *ended; /* reason; NULL: the session goes on */
};

/* A failed check. */
struct run_summary_failure {
	char subject[64]; /* name of the rule or of the check */
	char want[64];
	char got[64]; /* the actual value, or "" if it is `number` */
	int64_t number;
	uint32_t session; /* 0: none */
	bool is_rule;
};

/* What the kernel's table of [gateway] has counted on an interface. */
#define RUN_SUMMARY_GATEWAYS_MAX 16
struct run_summary_gateway {
	char interface[16];             /* IFNAMSIZ */
	uint64_t intercepted, udp, tcp; /* the last two passed by */
};

struct run_summary_rule {
	char *name;
	uint64_t matched, fired;
};

/* A change made by the API during the run. */
struct run_summary_change {
	ns_t at; /* since the start of the run */
	char *text;
};

/* A check that the user configured, passed or failed. */
struct run_summary_check {
	char subject[64];
	bool is_rule;
};

struct run_summary {
	char version[32];
	uint64_t seed;
	bool seed_known;
	ns_t started, ended; /* 0: unknown, or the run goes on */
	int exit;            /* exit status; -1: unknown, or the run goes on */
	struct run_summary_failure *failures;
	size_t failure_count;
	size_t failures_left_out;
	struct run_summary_session *sessions;
	size_t session_count;
	uint64_t sessions_ever, sessions_left_out;
	struct run_summary_way totals[WAYS];
	struct run_summary_check *checks; /* not known from a capture */
	size_t check_count;
	struct run_summary_change *changes;
	size_t change_count;
	struct run_summary_rule *rules;
	size_t rule_count;
	struct run_summary_gateway gateways[RUN_SUMMARY_GATEWAYS_MAX];
	size_t gateway_count;
	bool closed;     /* rules, lateness, capture_lost, kernel_drops and icmp_errors are known */
	ns_t late[4];    /* p50, p99, p999, max */
	bool late_known; /* `late` is set: at least one datagram had a due time */
	uint64_t capture_written, capture_lost;
	uint64_t kernel_drops, icmp_errors;
	bool is_short;     /* for a terminal: omit totals that equal the only session */
	const char *notes; /* lines about the capture it was read from; NULL: not from a capture */
};

extern const char *const run_summary_late_words[4];

/* Returns the device's address as text, or "unknown". */
const char *run_summary_device(const struct run_summary_session *session, char *text, size_t cap);
void run_summary_fini(struct run_summary *result);
/* Sets the delay percentiles, unless `delays` is empty or NULL. */
void run_summary_way_delays(struct run_summary_way *way, const struct buckets *delays);
void run_summary_late(struct run_summary *result, const struct buckets *lateness);
void run_summary_change_add(struct run_summary *result, ns_t at, const char *text);
void run_summary_check_add(struct run_summary *result, const char *subject, bool is_rule);
struct run_summary_rule *run_summary_rule_add(struct run_summary *result, const char *name);

/* Prints the summary for people. If there are many sessions only the first are listed. */
void run_summary_print(const struct run_summary *result, FILE *out);
void run_summary_print_way(const char *name, const struct run_summary_way *way, FILE *out);

/* Return the summary and a session as JSON; the caller owns the value. */
json_t *run_summary_json(const struct run_summary *result);
json_t *run_summary_json_session(const struct run_summary_session *session);
/* The summary's JSON without its sessions, to write very many sessions one at a time: write `text` up to
 * `place`, the JSON of each session with commas in between, then `text` from `place` on. The caller frees
 * `text`. */
struct run_summary_json {
	struct text text;
	size_t place;
};
void run_summary_json_begin(
    const struct run_summary *result, enum dump_form form, struct run_summary_json *whole);
/* Writes the outcome of every check of a finished run as JUnit XML. Returns -1 and sets *error on failure. */
int run_summary_write_junit(const struct run_summary *result, const char *path, struct error *error);
/* Writes `json` to a file, or to standard output if `path` is "-", and releases it. Returns nonzero and sets
 * *error on failure. */
int run_summary_write(json_t *json, const char *path, struct error *error);

#endif
