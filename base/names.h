/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names: short numbers for the names of links, rules and devices, so that a verdict carries numbers and the
 * capture's thread turns them into text.
 *
 * One owner adds; any thread may read a number that it was handed. A name keeps its number for ever, also
 * across reloads. Number 0 is no name.
 */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stdint.h>

#define NAMES_MAX ((1u << 20) - 1)

struct names;

struct names *names_new(void);
void names_free(struct names *names);

/* The number of head and name together, as "rule:" "dead-zone"; 0 once NAMES_MAX names are taken. */
uint32_t names_add(struct names *names, const char *head, const char *name);
const char *names_get(const struct names *names, uint32_t number);

#endif
