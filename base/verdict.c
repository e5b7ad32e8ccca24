/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/verdict.h"

const char *const verdict_ways[WAYS] = {"up", "down"};

const char *const verdict_reasons[REASON_COUNT] = {"none", "loss", "rule", "blackout", "queue", "mtu",
    "nat-expired", "overload", "not-allowed", "max-sessions", "error", "filtered"};

const char *const verdict_origins[ORIGIN_COUNT] = {
    "arrived", "duplicate", "decoy", "replay", "inject", "link"};

static bool has_name(const struct verdict *verdict, uint32_t name)
{
	for (unsigned i = 0; i < verdict->by_count; i++)
		if (verdict->by[i] == name)
			return true;
	return false;
}

void verdict_by(struct verdict *verdict, uint32_t name)
{
	if (has_name(verdict, name))
		return;
	if (verdict->by_count < VERDICT_BY_MAX)
		verdict->by[verdict->by_count++] = name;
	else if (verdict->by_left_out < UINT8_MAX)
		verdict->by_left_out++;
}

void verdict_by_link(struct verdict *verdict, uint32_t name)
{
	verdict_by(verdict, name);
	if (verdict->by_left_out && !has_name(verdict, name))
		verdict->by[VERDICT_BY_MAX - 1] = name;
}

void verdict_add_mutation(struct verdict *verdict, struct mutation mutation)
{
	if (verdict->mutation_count < VERDICT_MUTATIONS_MAX)
		verdict->mutations[verdict->mutation_count++] = mutation;
	else
		verdict->mutations_left_out++;
}
