/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cores: the cores of all workers as one: what is known of all, and what is asked of all from outside. The
 * workers stand still meanwhile (or, as in simulate, there is one, and it is the caller).
 */
#ifndef RULES_CORES_H
#define RULES_CORES_H

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
/* As core_each_failures. */
size_t core_group_each_failures(const struct core_group *cores, struct each_failure *failures, size_t cap);

/* As core_do and core_fire: they count once. */
size_t core_group_do(const struct core_group *cores, const struct action *action,
    const struct live_target *target, uint32_t by, ns_t now);
size_t core_group_fire(
    const struct core_group *cores, unsigned rule, const struct live_target *target, ns_t now);

#endif
