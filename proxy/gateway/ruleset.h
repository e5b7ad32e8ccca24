/* SPDX-License-Identifier: BSD-2-Clause */
/* ruleset: what else this machine's nftables rules do to intercepted traffic. */
#ifndef PROXY_GATEWAY_RULESET_H
#define PROXY_GATEWAY_RULESET_H

#include "base/ns.h"
#include "base/text.h"
#include "proxy/gateway/table.h"
#include "report/run_summary.h"

/* Adds a line for each of other programs' rules that the user should know of, with its remedy. `listed` is
 * what `nft list ruleset` prints. */
void ruleset_notes(const char *listed, const struct table *table, ns_t idle_timeout, struct text *notes);
/* Returns whether `nft list tables` has printed this table of family inet. */
bool ruleset_has_table(const char *listed, const char *name);
/* Reads what `nft list counters` prints. Returns how many of the table's interfaces were filled in. */
size_t ruleset_counts(const char *listed, const struct table *table, struct run_summary_gateway *counts);

#endif
