/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inspection: what a machine lacks for interception, each with its remedy. `run` stops at what is missing
 * before it changes anything; `doctor` prints all.
 */
#ifndef PROXY_GATEWAY_INSPECTION_H
#define PROXY_GATEWAY_INSPECTION_H

#include "base/text.h"
#include "proxy/run/setup.h"

enum inspected_state { INSPECTED_GOOD, INSPECTED_NOTE, INSPECTED_WRONG };

struct inspected {
	enum inspected_state state;
	const char *about; /* a word or two */
	char *text;        /* what was found; for a note or what is wrong, with its remedy */
};

struct inspection {
	struct inspected *all;
	size_t count;
};

void inspection_add(struct inspection *inspection, enum inspected_state state, const char *about,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
void inspection_free(struct inspection *inspection);
size_t inspection_wrong(const struct inspection *inspection);

/* Looks at what [gateway] needs: capabilities, kernel, sysctls, interfaces. Changes nothing. */
void inspect_gateway(struct inspection *inspection, const struct setup *setup);
/* Looks at the interfaces only. */
void inspect_interfaces(struct inspection *inspection, const struct setup *setup);

/* Has the kernel check the table without making it. Needs CAP_NET_ADMIN. */
void inspect_table(struct inspection *inspection, const struct setup *setup);
/* Tells whether the capabilities would be enough for [gateway]. */
void inspect_privilege(struct inspection *inspection);

#endif
