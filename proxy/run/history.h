/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history: a run's totals once a second, of the last HISTORY_SECONDS, for those who begin to watch late.
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
/* `at`: the wall clock. */
void history_add(struct history *history, ns_t at, const struct summary_now *now);
/* The samples, the oldest first: {"columns": […], "samples": [[…], …]}. All but the last column are counters
 * that only rise. */
json_t *history_json(const struct history *history);

#endif
