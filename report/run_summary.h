/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheet: the accounts of one run as plain figures: what the summary prints, what --json holds, what the API
 * serves, and what `report` finds in a capture. One writer for each form, whoever filled the sheet.
 *
 * Wall-clock times in ns since 1970; `began` and `seconds` of sessions are ns too, counted from the run's
 * start and from the session's. Text belongs to the sheet (run_summary_fini frees it all).
 */
#ifndef REPORT_SHEET_H
#define REPORT_SHEET_H

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

/* One way of a session, or of all. */
struct run_summary_way {
	struct account account;
	bool delayed; /* something waited: the percentiles stand */
	ns_t p50, p99, greatest;
};

struct run_summary_session {
	ns_t dark_until[WAYS]; /* of a living core, its time: when the blackout ends; in the past: there is
	                          none */
	uint32_t number;
	struct address device;
	char section[64], identity[64], link[64]; /* "" for none */
	struct run_summary_way ways[WAYS];
	uint32_t handshakes, rebinds;
	uint16_t port;      /* towards the cloud; 0: none, or not known */
	unsigned old_ports; /* of earlier NAT mappings, still open */
	ns_t began, seconds;
	const char *ended; /* NULL: it goes on */
};

/* A check that the user asked for and that does not hold. */
struct run_summary_failure {
	char subject[64]; /* the rule's name, or which check */
	char want[64];
	char got[64];     /* as text, … */
	int64_t number;   /* … or where that is "", this number */
	uint32_t session; /* 0: none */
	bool is_rule;
};

struct run_summary_rule {
	char *name;
	uint64_t matched, fired;
};

/* What was changed live, by the API. */
struct run_summary_change {
	ns_t at; /* since the start */
	char *text;
};

/* A check that the user asked for, whether it holds or not. */
struct run_summary_check {
	char subject[64];
	bool is_rule;
};

struct run_summary {
	char version[32];
	uint64_t seed;
	bool seed_known;
	ns_t started, ended; /* 0: not known, or it goes on */
	int exit;            /* -1: not known, or it goes on */
	struct run_summary_failure *failures;
	size_t failure_count;
	size_t failures_left_out;
	struct run_summary_session *sessions;
	size_t session_count;
	uint64_t sessions_ever, sessions_left_out;
	struct run_summary_way totals[WAYS];
	struct run_summary_check *checks; /* known only of a run itself */
	size_t check_count;
	struct run_summary_change *changes;
	size_t change_count;
	struct run_summary_rule *rules;
	size_t rule_count;
	bool closed;     /* rules, lateness, what was lost and kernel_drops are known */
	ns_t late[4];    /* p50, p99, p999, max */
	bool late_known; /* something was sent that could be late */
	uint64_t capture_written, capture_lost;
	uint64_t kernel_drops, icmp_errors;
	bool is_short;     /* for a terminal: omit totals that equal the only session */
	const char *notes; /* lines about the capture that it was read from; NULL: a run's own */
};

extern const char *const run_summary_late_words[4];

/* Its device's address for people; "unknown" if the capture does not show it. */
const char *run_summary_device(const struct run_summary_session *session, char *text, size_t cap);
void run_summary_fini(struct run_summary *result);
void run_summary_way_delays(struct run_summary_way *way, const struct buckets *delays); /* NULL: none */
void run_summary_late(struct run_summary *result, const struct buckets *lateness);
void run_summary_change_add(struct run_summary *result, ns_t at, const char *text);
void run_summary_check_add(struct run_summary *result, const char *subject, bool is_rule);
struct run_summary_rule *run_summary_rule_add(struct run_summary *result, const char *name);

/* For people. Of many sessions only the first are listed one by one. */
void run_summary_print(const struct run_summary *result, FILE *out);
void run_summary_print_way(const char *name, const struct run_summary_way *way, FILE *out);

/* For machines: the caller owns what comes back. */
json_t *run_summary_json(const struct run_summary *result);
json_t *run_summary_json_session(const struct run_summary_session *session);
/* The same in two halves, for very many sessions: `text` up to `place`, then each session's JSON with commas
 * between, then the text from `place` on. For text_free. */
struct run_summary_json {
	struct text text;
	size_t place;
};
void run_summary_json_begin(
    const struct run_summary *result, enum dump_form form, struct run_summary_json *whole);
/* The outcome of every check as JUnit XML; of a run that is over. -1 and why where it cannot be written. */
int run_summary_write_junit(const struct run_summary *result, const char *path, struct error *error);
/* Writes JSON to a file, or to standard output where `path` is "-"; takes `json` over. */
int run_summary_write(json_t *json, const char *path, struct error *error);

#endif
