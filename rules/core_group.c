/* SPDX-License-Identifier: BSD-2-Clause */
#include "rules/core_group.h"

#include "base/memory.h"

#include <string.h>

size_t core_group_session_count(const struct core_group *cores)
{
	size_t sum = 0;

	for (size_t i = 0; i < cores->count; i++)
		sum += core_session_count(cores->all[i]);
	return sum;
}

uint32_t core_group_sessions_ever(const struct core_group *cores)
{
	return core_sessions_ever(cores->all[0]);
}

uint64_t core_group_queued_bytes(const struct core_group *cores)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < cores->count; i++)
		sum += core_queued_bytes(cores->all[i]);
	return sum;
}

struct rule_totals core_group_rule(const struct core_group *cores, unsigned index)
{
	struct rule_totals sum = {0};

	for (size_t i = 0; i < cores->count; i++) {
		const struct rule_totals *totals = core_rule(cores->all[i], index);

		sum.matched += totals->matched;
		sum.fired += totals->fired;
	}
	return sum;
}

struct link_totals core_group_link(const struct core_group *cores, unsigned index)
{
	struct link_totals sum = {0};

	for (size_t i = 0; i < cores->count; i++)
		for (int way = 0; way < WAYS; way++) {
			sum.decided[way] += core_link(cores->all[i], index)->decided[way];
			sum.lost[way] += core_link(cores->all[i], index)->lost[way];
		}
	return sum;
}

void core_group_lateness(const struct core_group *cores, struct buckets *into)
{
	memset(into, 0, sizeof(*into));
	for (size_t i = 0; i < cores->count; i++)
		buckets_merge(into, core_lateness(cores->all[i]));
}

size_t core_group_each_failures(const struct core_group *cores, struct each_failure *failures, size_t cap)
{
	size_t sum = 0;

	for (size_t i = 0; i < cores->count; i++) {
		size_t filled = sum < cap ? sum : cap;

		sum += core_each_failures(cores->all[i], failures + filled, cap - filled);
	}
	return sum;
}

size_t core_group_do(const struct core_group *cores, const struct action *action,
    const struct live_target *target, uint32_t by, ns_t now)
{
	struct live_target each = *target;
	bool nonfatal = memory_set_nonfatal(true);
	size_t sum = 0;

	for (size_t i = 0; i < cores->count; i++) {
		sum += core_live_action(cores->all[i], action, &each, by, now);
		each.echo = true;
	}
	memory_set_nonfatal(nonfatal);
	return sum;
}

size_t core_group_fire(
    const struct core_group *cores, unsigned rule, const struct live_target *target, ns_t now)
{
	struct live_target each = *target;
	bool nonfatal = memory_set_nonfatal(true);
	size_t sum = 0;

	for (size_t i = 0; i < cores->count; i++) {
		sum += core_live_fire(cores->all[i], rule, &each, now);
		each.echo = sum || target->whom == LIVE_ALL;
	}
	memory_set_nonfatal(nonfatal);
	return sum;
}
