/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reports: what a campaign's findings look like: tables for a terminal, campaign.json, junit.xml and a page.
 */
#ifndef PROXY_CAMPAIGN_REPORTS_H
#define PROXY_CAMPAIGN_REPORTS_H

#include <stdio.h>

#include "campaign/compare.h"
#include "campaign/findings.h"

/* Prints tables: the matrix with shares and intervals, searches, sweeps, measures, and requirements that do
 * not hold. */
void report_text(const struct findings *findings, FILE *out);

/* Returns the findings as JSON (schema 1), enough for --compare and --report; the caller owns it. `subject`
 * and `reason` (why the campaign stopped) may be NULL or "". */
json_t *report_json(const struct findings *findings, const char *subject, const char *reason);

/* Writes one test case for each requirement. An exit `status` of 1 that no requirement explains becomes an
 * error with `reason`, which may be NULL or "". `folder` is the campaign's, for the last lines of logs.
 * Returns 0, or -1 and sets *error. */
int report_junit(const struct findings *findings, const char *folder, const char *path, int status,
    const char *reason, struct error *error);
/* Writes one test case for each case of the plan. Returns 0, or -1 and sets *error. */
int report_junit_cases(
    const struct findings *findings, const char *folder, const char *path, struct error *error);

/* Writes a page of `deadzone report` for the first failed cases of each cell whose captures are there. */
void report_case_pages(const struct findings *findings, const char *folder);
/* Writes one self-contained HTML page; `campaign` is what report_json returned. Call report_case_pages
 * before, so that it can link them. */
int report_page(const struct findings *findings, const json_t *campaign, const char *folder, const char *path,
    struct error *error);

/* Reports of a comparison. */
void compare_text(const struct comparison *comparison, FILE *out);
json_t *compare_json(const struct comparison *comparison);
int compare_junit(const struct comparison *comparison, const char *path, struct error *error);
int compare_page(const struct comparison *comparison, const char *path, struct error *error);

#endif
