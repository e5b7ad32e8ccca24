/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump: serializes a jansson value. All JSON that the program writes goes through it.
 *
 * The output equals that of json_dumps with JSON_ENSURE_ASCII and JSON_REAL_PRECISION(12), except that DEL is
 * escaped too, so that no terminal control characters remain. json_dumps checks each container for loops and
 * formats numbers with printf, which took two thirds of the time of a report with 10^5 sessions.
 */
#ifndef REPORT_DUMP_H
#define REPORT_DUMP_H

#include <jansson.h>

#include "base/text.h"

enum dump_form { DUMP_COMPACT, DUMP_INDENTED };

/* Appends `json` to `out`. `json` must not contain a reference loop. */
void dump_json(const json_t *json, enum dump_form form, struct text *out);

#endif
