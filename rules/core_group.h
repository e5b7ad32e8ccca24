/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core_group: the cores of all workers, treated as one: sums of their statistics, and live commands for all
 * of them. Call these only while the workers are paused (or, as in simulate, from the only one).
 */
#ifndef RULES_CORE_GROUP_H
#define RULES_CORE_GROUP_H

#include "rules/core.h"

struct core_group {
	struct core **all;
	size_t count;
};

size_t core_group_session_count(const struct core_group *cores);
uint32_t core_group_sessions_ever(const struct core_group *cores);
uint64_t core_group_queued_bytes(const struct core_group *cores);
struct rule_totals core_group_rule(const struct core_group *cores, unsigned index);
struct link_totals core_group_link(const struct core_group *cores, unsigned index);
void core_group_lateness(const struct core_group *cores, struct buckets *into);
/* Like core_each_failures. */
size_t core_group_each_failures(const struct core_group *cores, struct each_failure *failures, size_t cap);

/* Like core_live_action and core_live_fire; logged and counted once, not once per core. */
size_t core_group_do(const struct core_group *cores, const struct action *action,
    const struct live_target *target, uint32_t by, ns_t now);
size_t core_group_fire(
    const struct core_group *cores, unsigned rule, const struct live_target *target, ns_t now);

#endif
