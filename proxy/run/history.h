/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history: a run's totals, sampled once a second for the last HISTORY_SECONDS, so that the live page can show
 * what happened before it was opened.
 */
#ifndef PROXY_HISTORY_H
#define PROXY_HISTORY_H

#include <jansson.h>

#include "base/ns.h"
#include "base/verdict.h"
#include "proxy/run/summary.h"

#define HISTORY_SECONDS 600

struct history;

struct history *history_new(void);
void history_free(struct history *history);
/* Adds a sample, replacing the oldest if there are HISTORY_SECONDS. `at` is the wall clock. */
void history_add(struct history *history, ns_t at, const struct summary_snapshot *now);
/* Returns the samples, the oldest first: {"columns": […], "samples": [[…], …]}. All columns between the first
 * (time) and the last are counters that only rise. */
json_t *history_json(const struct history *history);

#endif
