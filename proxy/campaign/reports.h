/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reports: what a campaign's findings look like: tables for a terminal, campaign.json, junit.xml and a page.
 */
#ifndef PROXY_CAMPAIGN_REPORTS_H
#define PROXY_CAMPAIGN_REPORTS_H

#include <stdio.h>

#include "campaign/findings.h"

/* Prints tables: the matrix with shares and intervals, searches, sweeps, measures, and requirements that do
 * not hold. */
void report_text(const struct findings *findings, FILE *out);

/* Returns the findings as JSON (schema 1), enough for --compare and --report; the caller owns it. `subject`
 * and `reason` (why the campaign stopped) may be NULL or "". */
json_t *report_json(
    const struct findings *findings, const char *subject, const char *reason);

/* Writes one test case for each requirement, or, with `by_unit`, for each case. `folder` is the campaign's,
 * for the last lines of logs. Returns 0, or -1 and sets *error. */
int report_junit(const struct findings *findings, const char *folder, const char *path, bool by_unit,
    struct error *error);

/* Writes one self-contained HTML page from the campaign's JSON. */
int report_page(const json_t *campaign, const char *title, const char *path, struct error *error);

#endif
