/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coap_parse walks the header and the options once, and keeps what conditions and kinds need: the code, the
 * message's kinds, and the numbers of its blocks.
 */
#include "rules/content.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"

#define HEADER 4
#define TOKEN_MAX 8
#define VERSION_1 1
#define PAYLOAD 0xff
#define OPTION_BLOCK2 23
#define OPTION_BLOCK1 27
#define BLOCK_SIZE_MAX 3 /* bytes of the option's value */

/* ---- Bytes ---- */

static bool pattern_matches(const struct byte_pattern *pattern, const uint8_t *bytes, size_t size)
{
	uint64_t at = pattern->offset < 0 ? size + (uint64_t)pattern->offset : (uint64_t)pattern->offset;

	if (at > size || size - at < pattern->size)
		return false;
	for (size_t i = 0; i < pattern->size; i++)
		if ((bytes[at + i] & pattern->mask[i]) != pattern->value[i])
			return false;
	return true;
}

bool bytes_match(const struct byte_patterns *patterns, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (pattern_matches(&patterns->all[i], bytes, size))
			return true;
	return false;
}

/* Reads pairs of hex digits up to `end`; returns NULL if there is anything else, or nothing. */
static uint8_t *read_hex(struct reading *reading, const char *text, const char *end, size_t *size)
{
	uint8_t *bytes = arena_get(reading->arena, (size_t)(end - text) / 2 + 1);

	*size = 0;
	for (; text < end; text += 2) {
		int high = text_hex_digit(text[0]),
		    low = high < 0 || text + 1 == end ? -1 : text_hex_digit(text[1]);

		if (low < 0)
			return NULL;
		bytes[(*size)++] = (uint8_t)(high << 4 | low);
	}
	return *size ? bytes : NULL;
}

static int read_offset(const char *text, const char *colon, int64_t *offset)
{
	char *end;

	*offset = strtoll(text, &end, 10);
	return end == colon && end > text && llabs(*offset) <= 65535 ? 0 : -1;
}

int bytes_read(struct reading *reading, const char *text, void *into)
{
	struct byte_patterns *patterns = into;
	const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
	const char *end = slash ? slash : text + strlen(text);
	struct byte_pattern pattern;
	uint8_t *value = NULL, *mask = NULL;
	size_t mask_size = 0;

	if (colon && read_offset(text, colon, &pattern.offset) == 0)
		value = read_hex(reading, colon + 1, end, &pattern.size);
	if (value && slash)
		mask = read_hex(reading, slash + 1, slash + strlen(slash), &mask_size);
	if (!value || (slash && !mask))
		return error_set(&reading->error,
		    "`%s` is not right; it is OFFSET:HEX or OFFSET:HEX/MASK, as 0:16fefd or -1:00/0f", text);
	if (slash && mask_size != pattern.size)
		return error_set(&reading->error, "`%s` has a mask of another length than its bytes", text);
	if (!mask)
		mask = memset(arena_get(reading->arena, pattern.size), 0xff, pattern.size);
	for (size_t i = 0; i < pattern.size; i++)
		value[i] &= mask[i];
	pattern.value = value;
	pattern.mask = mask;
	*(struct byte_pattern *)keys_append(
	    reading, &patterns->all, &patterns->count, sizeof(pattern)) = pattern;
	return 0;
}

/* ---- CoAP ---- */

/* Reads the read_extended part of a delta or length (nibble 13 or 14). Returns false if it is truncated
 * or 15. */
static bool read_extended(const uint8_t **at, const uint8_t *end, uint32_t *number)
{
	size_t size = *number == 13 ? 1 : *number == 14 ? 2 : 0;

	if (*number == 15 || (size_t)(end - *at) < size)
		return false;
	if (size)
		*number = size == 1 ? 13u + (*at)[0] : 269u + ((uint32_t)(*at)[0] << 8 | (*at)[1]);
	*at += size;
	return true;
}

static void parse_option(struct coap *coap, uint32_t option, const uint8_t *value, uint32_t size)
{
	uint32_t number = 0;

	if ((option != OPTION_BLOCK1 && option != OPTION_BLOCK2) || size > BLOCK_SIZE_MAX)
		return;
	for (uint32_t i = 0; i < size; i++)
		number = number << 8 | value[i];
	coap->kinds |= 1u << (option == OPTION_BLOCK1 ? COAP_BLOCK1 : COAP_BLOCK2);
	coap->block[option == OPTION_BLOCK2] = number >> 4;
}

static bool parse_options(struct coap *coap, const uint8_t *at, const uint8_t *end)
{
	uint32_t option = 0;

	while (at < end && *at != PAYLOAD) {
		uint32_t delta = *at >> 4, size = *at & 15;

		at++;
		if (!read_extended(&at, end, &delta) || !read_extended(&at, end, &size) ||
		    (size_t)(end - at) < size)
			return false;
		option += delta;
		parse_option(coap, option, at, size);
		at += size;
	}
	return at == end || end - at > 1; /* a marker without a payload is an error */
}

void coap_parse(struct coap *coap, const uint8_t *bytes, size_t size)
{
	size_t token = size ? bytes[0] & 15 : 0;
	unsigned class = size < HEADER ? 1 : bytes[1] >> 5;

	*coap = (struct coap){.block = {COAP_BLOCK_NONE, COAP_BLOCK_NONE}};
	if (size < HEADER || bytes[0] >> 6 != VERSION_1 || token > TOKEN_MAX || size < HEADER + token ||
	    class == 1 || class > 5 || (!bytes[1] && size > HEADER))
		return;
	coap->code = bytes[1];
	coap->kinds = 1u << (bytes[0] >> 4 & 3);
	if (bytes[1])
		coap->kinds |= 1u << (class ? COAP_RESPONSE : COAP_REQUEST);
	if (!parse_options(coap, bytes + HEADER + token, bytes + size))
		coap->kinds = 0;
}

bool coap_match(const struct coap_kinds *kinds, const struct span *numbers, const struct coap *coap)
{
	static const uint32_t blocks = 1u << COAP_BLOCK1 | 1u << COAP_BLOCK2;
	bool any_block = !(kinds->kinds & blocks);

	if (!coap->kinds)
		return false;
	if (kinds->given && !(kinds->kinds & coap->kinds) &&
	    !(kinds->codes[coap->code / 32] >> (coap->code % 32) & 1))
		return false;
	for (int i = 0; numbers && i < 2; i++)
		if ((any_block || (kinds->kinds >> (COAP_BLOCK1 + i) & 1)) &&
		    coap->block[i] != COAP_BLOCK_NONE && span_holds(numbers, coap->block[i]))
			return true;
	return !numbers;
}

/* Reads a code such as "2.05": class 0 or 2 to 5, detail 00 to 31. Other classes are reserved or belong to
 * CoAP over TCP. */
static bool read_code(const char *text, unsigned *code)
{
	unsigned detail;

	if (text[0] < '0' || text[0] > '7' || text[1] != '.' || text[2] < '0' || text[2] > '3' ||
	    text[3] < '0' || text[3] > '9' || text[4])
		return false;
	detail = (unsigned)(text[2] - '0') * 10 + (unsigned)(text[3] - '0');
	*code = (unsigned)(text[0] - '0') << 5 | detail;
	if (text[0] == '1' || text[0] > '5')
		return false;
	return detail < 32;
}

int coap_read(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"con", "non", "ack", "rst", "request", "response", "block1",
	    "block2", "get", "post", "put", "delete"};
	struct coap_kinds *kinds = into;
	unsigned code;
	int choice;

	kinds->given = true;
	if (text[0] >= '0' && text[0] <= '9') {
		if (!read_code(text, &code))
			return error_set(&reading->error,
			    "`%s` is no code of CoAP (RFC 7252); its class is 0 or 2 to 5, as in 2.05", text);
		kinds->codes[code / 32] |= UINT32_C(1) << code % 32;
		return 0;
	}
	choice = keys_choose(reading, text, words, sizeof(words) / sizeof(*words));
	if (choice < 0)
		return -1;
	if (choice < COAP_KIND_COUNT)
		kinds->kinds |= UINT32_C(1) << choice;
	else
		kinds->codes[0] |= UINT32_C(2) << (choice - COAP_KIND_COUNT); /* 0.01, 0.02 … */
	return 0;
}
