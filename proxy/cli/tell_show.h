/* SPDX-License-Identifier: BSD-2-Clause */
/* tell_show: prints answers of the API for people, for `tell sessions` and `tell config`. */
#ifndef PROXY_TELL_SHOW_H
#define PROXY_TELL_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints a page of sessions, with column heads if it is the first page. */
void tell_show_sessions(const json_t *answer, bool is_first, FILE *out);
/* Prints facts about the run as ini comments, then the ini text in force. `is_first` is ignored. */
void tell_show_config(const json_t *answer, bool is_first, FILE *out);

#endif
