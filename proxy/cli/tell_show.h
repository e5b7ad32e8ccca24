/* SPDX-License-Identifier: BSD-2-Clause */
/* tell_show: answers of the API as a person reads them: `tell sessions` and `tell config`. */
#ifndef PROXY_TELL_SHOW_H
#define PROXY_TELL_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* A page of sessions; the column heads if it is the first. */
void tell_show_sessions(const json_t *answer, bool is_first, FILE *out);
/* Facts of the run as ini comments, then the ini text in force. */
void tell_show_config(const json_t *answer, bool is_first, FILE *out);

#endif
