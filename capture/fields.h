/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fields: a packet's comment, read back (capture/comment.h writes it).
 *
 * Text from a file that anybody may have written: what is not of the comments' grammar is passed over,
 * numbers that do not fit are 0. Words point into the comment.
 */
#ifndef CAPTURE_FIELDS_H
#define CAPTURE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "base/verdict.h"

enum fields_kind { FIELDS_ARRIVED, FIELDS_SENT, FIELDS_UNSENT };

/* Not terminated. */
struct word {
	const char *at; /* NULL: the field is not there */
	size_t size;
};

struct fields {
	enum fields_kind kind;
	uint32_t session, n;
	enum way way;
	enum reason reason; /* REASON_NONE: sent, or to be sent */
	ns_t delay, late;   /* NS_UNKNOWN where they do not stand */
	uint32_t copies;    /* FIELDS_ARRIVED: made of it */
	uint32_t copy;      /* the rest: 0, or the Kth copy */
	enum origin origin;
	struct word by, hold, did, dtls, device, packed;
};

/* false where it is no comment of ours. */
bool fields_read(const char *comment, struct fields *fields);
/* Steps through the numbers of `packed`; false at their end. */
bool fields_packed(struct word *packed, uint32_t *n);
/* The first of several words separated by commas. */
struct word word_first(struct word list);
bool word_is(struct word word, const char *text);

/* The value of `key` in a line of `key=value` words, up to the next blank; at NULL where it does not stand.
 */
struct word line_field(const char *line, size_t size, const char *key);

#endif
