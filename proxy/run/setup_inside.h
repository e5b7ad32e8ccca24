/* SPDX-License-Identifier: BSD-2-Clause */
/* setup_inside: what setup.c takes from setup_keys.c and setup_check.c. */
#ifndef PROXY_SETUP_INSIDE_H
#define PROXY_SETUP_INSIDE_H

#include "proxy/run/setup.h"

/* Fills the structs of all sections but those of rules/ with defaults and with the values of the ini. */
void setup_fill(struct setup *setup, struct reading *reading, struct complaints *complaints);
/* Checks what keys of [capture] and of [control] require of each other. */
void setup_check_sections(const struct setup *setup, struct complaints *complaints);
/* Checks what involves several sections. */
void setup_check(struct setup *setup, const struct setup_source *source, enum setup_use use,
    const struct names *names, struct complaints *complaints);

#endif
