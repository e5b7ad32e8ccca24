/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump: a jansson value as text, in the form of all JSON that the program writes.
 *
 * The same text as json_dumps gives with JSON_ENSURE_ASCII and JSON_REAL_PRECISION(12), and DEL is escaped
 * too: a terminal obeys nothing in it. jansson's own looks for circles in each value and formats numbers by
 * printf; of a report with 10^5 sessions that was two thirds of the time.
 */
#ifndef REPORT_DUMP_H
#define REPORT_DUMP_H

#include <jansson.h>

#include "base/text.h"

enum dump_form { DUMP_COMPACT, DUMP_INDENTED };

/* `json` holds no circle. */
void dump_json(const json_t *json, enum dump_form form, struct text *out);

#endif
