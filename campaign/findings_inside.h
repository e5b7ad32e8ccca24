/* SPDX-License-Identifier: BSD-2-Clause */
/* findings_inside: what findings.c takes from findings_search.c, and both from requirement.c. */
#ifndef CAMPAIGN_FINDINGS_INSIDE_H
#define CAMPAIGN_FINDINGS_INSIDE_H

#include "campaign/findings.h"

/* requirement.c */
/* Adds a requirement by its name; it is valid until the next is added. */
struct requirement *findings_add_requirement(struct findings *findings, enum requirement_kind kind,
    const char *format, ...) __attribute__((format(printf, 3, 4)));
void requirement_add_failed(struct requirement *requirement, const char *id);
/* Sets whether a requirement holds, and takes `message`. */
void findings_conclude(struct findings *findings, struct requirement *requirement,
    enum requirement_state state, struct text *message);
/* Returns the unit of this kind, section and cell, or NULL. */
const struct unit *findings_unit(
    const struct findings *findings, enum unit_kind kind, size_t section, size_t cell);

/* findings_search.c */
void findings_judge_searches(struct findings *findings);

#endif
