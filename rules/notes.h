/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notes: what `check` remarks about a configuration that is right but may not be what was meant: rules that
 * can never match, keys without effect, links that nothing uses.
 */
#ifndef RULES_NOTES_H
#define RULES_NOTES_H

#include "base/ini.h"
#include "rules/config.h"

/* The entry that is in force for one way of a link: the specific one ("up.loss"), else the wide one, else
 * NULL. */
const struct ini_entry *notes_entry_for(const struct ini_section *section, const char *key, enum way way);

void notes_rule(const struct config *config, const struct rule *rule, const struct ini_section *section,
    struct complaints *complaints);
/* Of all links, once the configuration is built. A link that others are `like` may hold keys for them. */
void notes_links(const struct config *config, const struct ini *ini, struct complaints *complaints);

#endif
