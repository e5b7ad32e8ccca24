/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * content: what a datagram's bytes say without being DTLS: patterns at a place, and CoAP in the clear.
 *
 * CoAP is a datagram with a whole header of RFC 7252 section 3 (version 1, a token of at most 8 bytes, a code
 * of class 0 or 2 to 5) and options that lead to its end or to a payload. Block numbers are those of RFC
 * 7959.
 */
#ifndef RULES_CONTENT_H
#define RULES_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"
#include "base/units.h"

/* Bytes at a place, of which the mask's bits count. */
struct byte_pattern {
	int64_t offset; /* below 0: from the datagram's end */
	size_t size;
	const uint8_t *value, *mask; /* the value's other bits are 0 */
};

struct byte_patterns {
	struct byte_pattern *all;
	size_t count;
};

enum coap_kind {
	COAP_CON, /* in the order of their numbers on the wire */
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
	uint32_t kinds;    /* 0: it is no CoAP */
	uint32_t block[2]; /* number in Block1, in Block2; COAP_BLOCK_NONE */
};

/* Does one of the patterns fit? */
bool bytes_match(const struct byte_patterns *patterns, const uint8_t *bytes, size_t size);
void coap_look(struct coap *coap, const uint8_t *bytes, size_t size);
/* Is it one of these kinds, and (`numbers` NULL: whatever) is a block number among those? If the kinds name
 * one of Block1 and Block2, that one's. */
bool coap_match(const struct coap_kinds *kinds, const struct span *numbers, const struct coap *coap);

/* Readers for tables of keys: one pattern more into struct byte_patterns, one kind more into struct
 * coap_kinds. */
key_read bytes_read;
key_read coap_read;

#endif
