/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sections: an index that finds the [device] section of a session, the first in file order whose conditions
 * match, without testing all of them.
 *
 * Each address pattern is an entry under a hash of its family, prefix length, port and masked address. A
 * lookup tries each prefix length that occurs, so the time depends on the number of different lengths, not on
 * the number of sections.
 */
#ifndef RULES_SECTIONS_H
#define RULES_SECTIONS_H

#include "rules/config.h"

/* Builds the index of all devices; it is allocated from `arena`. */
struct sections *sections_new(struct arena *arena, const struct device *devices, size_t count);
/* Returns the section of a device at an entrance, or NULL. */
const struct device *sections_find(
    const struct sections *sections, const struct address *device, const struct entrance *entrance);
/* Returns the first section before `device` that matches all of its sessions, or NULL. */
const struct device *sections_shadow(const struct sections *sections, const struct device *device);

#endif
