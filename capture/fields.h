/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fields: parses a packet's comment (capture/comment.h writes it).
 *
 * The text comes from an untrusted file: anything unknown is ignored, and numbers that are out of range are
 * 0. Words point into the comment.
 */
#ifndef CAPTURE_FIELDS_H
#define CAPTURE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "base/verdict.h"

enum fields_kind { FIELDS_ARRIVED, FIELDS_SENT, FIELDS_UNSENT };

/* Not NUL-terminated. */
struct word {
	const char *at; /* NULL: the field is missing */
	size_t size;
};

struct fields {
	enum fields_kind kind;
	uint32_t session, n;
	enum way way;
	enum reason reason; /* REASON_NONE: sent, or to be sent */
	ns_t delay, late;   /* NS_UNKNOWN if missing */
	uint32_t copies;    /* FIELDS_ARRIVED: copies made of it */
	uint32_t copy;      /* other kinds: 0, or K for the Kth copy */
	enum origin origin;
	struct word by, hold, did, dtls, device, packed;
};

/* Returns false if this is not a comment written by deadzone. */
bool fields_read(const char *comment, struct fields *fields);
/* Removes the first number from `packed` and stores it in *n. Returns false at the end. */
bool fields_packed(struct word *packed, uint32_t *n);
/* Returns the first word of a comma-separated list. */
struct word word_first(struct word list);
bool word_is(struct word word, const char *text);

/* Returns the value of `key` in a line of `key=value` words, up to the next blank; its `at` is NULL if
 * there is none. */
struct word line_field(const char *line, size_t size, const char *key);

#endif
