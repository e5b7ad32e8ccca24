/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names: small numbers for the names of links, rules and devices, so that a verdict carries numbers, which
 * the capture thread turns into text.
 *
 * One thread adds names; any thread may look up a number that it was passed. A name keeps its number for
 * ever, even across reloads. Number 0 means no name.
 */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stdint.h>

#define NAMES_MAX ((1u << 20) - 1)

struct names;

struct names *names_new(void);
void names_free(struct names *names);

/* Returns the number of head and name together, such as "rule:" "dead-zone", adding it if it is new; 0 if
 * there are NAMES_MAX names already. */
uint32_t names_add(struct names *names, const char *head, const char *name);
const char *names_get(const struct names *names, uint32_t number);

#endif
