/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shrink_case: runs a failed case again and again with ever fewer of its decisions, to find the fewest with
 * which it still fails.
 */
#ifndef PROXY_CAMPAIGN_SHRINK_CASE_H
#define PROXY_CAMPAIGN_SHRINK_CASE_H

#include "campaign/result.h"
#include "proxy/campaign/case.h"
#include "proxy/campaign/store.h"

/* `task` is the case, without folder and fault; `id` its id. The rules that are left go to
 * units/ID/pinned.ini and are printed on standard output. Returns an exit status: 0 it was shrunk, 1 the
 * failure did not come again, or something else was in the way, which is logged. */
int shrink_case(const struct store *store, const struct case_context *context, const struct case_task *task);

#endif
