/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notes: remarks that `check` makes on a configuration that is valid but perhaps not what was meant: rules
 * that can never match, keys without effect, unused links.
 */
#ifndef RULES_NOTES_H
#define RULES_NOTES_H

#include "base/ini.h"
#include "rules/config.h"

/* Returns the entry in force for one way of a link: that for this way ("up.loss"), else that for both, else
 * NULL. */
const struct ini_entry *notes_entry_for(const struct ini_section *section, const char *key, enum way way);

/* Adds the notes on one rule. */
void notes_rule(const struct config *config, const struct rule *rule, const struct ini_section *section,
    struct complaints *complaints);
/* Adds the notes on all links, once the configuration is built. Links that others inherit from by `like` are
 * skipped, since their keys may be meant for those. */
void notes_links(const struct config *config, const struct ini *ini, struct complaints *complaints);

#endif
