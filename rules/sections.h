/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sections: which [device] takes a session: the first in file order whose conditions match, found without
 * looking at all of them.
 *
 * Each address pattern is an entry under a hash of its family, length, port and masked address. For an
 * address the entries of each length that occurs are looked up, so the time depends on how many lengths there
 * are, not on how many sections.
 */
#ifndef RULES_SECTIONS_H
#define RULES_SECTIONS_H

#include "rules/config.h"

/* Once all devices are there; the index lives in their arena. */
struct sections *sections_new(struct arena *arena, const struct device *devices, size_t count);
const struct device *sections_find(
    const struct sections *sections, const struct address *device, const struct address *listener);
/* The first section before this one that takes all of its sessions, or NULL. */
const struct device *sections_shadow(const struct sections *sections, const struct device *device);

#endif
