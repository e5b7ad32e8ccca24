/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * content: matches the payload of datagrams that are not DTLS: byte patterns at an offset, and CoAP in the
 * clear.
 *
 * A datagram is CoAP if it has a complete header as of RFC 7252 section 3 (version 1, a token of at most 8
 * bytes, a code of class 0 or 2 to 5) and its options end at the datagram's end or at a payload. Block
 * numbers are those of RFC 7959.
 */
#ifndef RULES_CONTENT_H
#define RULES_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"
#include "base/units.h"

/* Bytes at an offset, compared under a mask. */
struct byte_pattern {
	int64_t offset; /* negative: counted from the datagram's end */
	size_t size;
	const uint8_t *value, *mask; /* bits outside the mask are 0 in `value` */
};

struct byte_patterns {
	struct byte_pattern *all;
	size_t count;
};

enum coap_kind {
	COAP_CON, /* COAP_CON to COAP_RST are in the order of their wire values */
	COAP_NON,
	COAP_ACK,
	COAP_RST,
	COAP_REQUEST,
	COAP_RESPONSE,
	COAP_BLOCK1,
	COAP_BLOCK2,
	COAP_KIND_COUNT
};

struct coap_kinds {
	uint32_t kinds;    /* a bit for each enum coap_kind */
	uint32_t codes[8]; /* a bit for each code */
	bool given;
};

#define COAP_BLOCK_NONE UINT32_MAX

struct coap {
	uint8_t code;
	uint32_t kinds;    /* a bit for each enum coap_kind; 0: it is not CoAP */
	uint32_t block[2]; /* block number in Block1 and Block2, or COAP_BLOCK_NONE */
};

/* Returns whether any of the patterns matches. */
bool bytes_match(const struct byte_patterns *patterns, const uint8_t *bytes, size_t size);
/* Parses a datagram into *coap; `kinds` is 0 if it is not CoAP. */
void coap_parse(struct coap *coap, const uint8_t *bytes, size_t size);
/* Returns whether the message is one of `kinds` and, unless `numbers` is NULL, has a block number in
 * `numbers`. If `kinds` names Block1 or Block2, only the number in that option counts. */
bool coap_match(const struct coap_kinds *kinds, const struct span *numbers, const struct coap *coap);

/* Readers for key tables: append a pattern to a struct byte_patterns; add a kind to a struct coap_kinds. */
key_read bytes_read;
key_read coap_read;

#endif
