/* SPDX-License-Identifier: BSD-2-Clause */
/* requirement: adds requirements to findings, and sets whether they hold. */

#include "base/memory.h"
#include "campaign/findings_inside.h"

struct requirement *findings_add_requirement(
    struct findings *findings, enum requirement_kind kind, const char *format, ...)
{
	struct text name = {0};
	struct requirement *requirement;
	va_list list;

	va_start(list, format);
	text_add_list(&name, format, list);
	va_end(list);
	findings->requirements = memory_grow(
	    findings->requirements, findings->requirement_count, sizeof(*requirement));
	requirement = &findings->requirements[findings->requirement_count++];
	*requirement = (struct requirement){.kind = kind, .name = name.at};
	return requirement;
}

void requirement_add_failed(struct requirement *requirement, const char *id)
{
	requirement->failed = memory_grow(
	    requirement->failed, requirement->failed_count, sizeof(*requirement->failed));
	requirement->failed[requirement->failed_count++] = id;
}

void findings_conclude(struct findings *findings, struct requirement *requirement,
    enum requirement_state state, struct text *message)
{
	requirement->state = state;
	requirement->message = message->at ? message->at : memory_text("", 0);
	*message = (struct text){0};
	findings->has_failed |= state == REQUIREMENT_FAILED;
	findings->is_complete &= state != REQUIREMENT_UNKNOWN;
}

const struct unit *findings_unit(
    const struct findings *findings, enum unit_kind kind, size_t section, size_t cell)
{
	const struct campaign_plan *plan = findings->plan;

	for (size_t i = 0; i < plan->unit_count; i++)
		if (plan->units[i].kind == kind && plan->units[i].section == section &&
		    plan->units[i].cell == cell)
			return &plan->units[i];
	return NULL;
}
