/*
 * cores: the cores of all workers as one: what is known of all, and what is asked of all from outside. The
 * workers stand still meanwhile (or, as in simulate, there is one, and it is the caller).
 */
#ifndef RULES_CORES_H
#define RULES_CORES_H

#include "rules/core.h"

struct cores {
	struct core **all;
	size_t count;
};

size_t cores_session_count(const struct cores *cores);
uint32_t cores_sessions_ever(const struct cores *cores);
uint64_t cores_queued_bytes(const struct cores *cores);
struct rule_totals cores_rule(const struct cores *cores, unsigned index);
struct link_totals cores_link(const struct cores *cores, unsigned index);
void cores_lateness(const struct cores *cores, struct buckets *into);
/* As core_each_failures. */
size_t cores_each_failures(const struct cores *cores, struct each_failure *failures, size_t room);

/* As core_do and core_fire: they count once. */
size_t cores_do(const struct cores *cores, const struct action *action, const struct live_target *target,
    uint32_t by, ns_t now);
size_t cores_fire(const struct cores *cores, unsigned rule, const struct live_target *target, ns_t now);

#endif
