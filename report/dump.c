/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/dump.h"

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DECIMALS 6
#define FIXED_MAX 1e12 /* in units of 10^-DECIMALS: twelve digits, as with %.12g */

struct dump {
	struct text *out;
	enum dump_form form;
};

static void dump_value(const struct dump *dump, const json_t *json, unsigned depth);

/* ---- Strings ---- */

/* Returns the code point at `at` and sets *size to its length. jansson guarantees valid UTF-8. */
static uint32_t code_point(const uint8_t *at, size_t *size)
{
	uint32_t code;

	*size = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	code = *size == 1 ? at[0] : at[0] & (0x7fu >> *size);
	for (size_t i = 1; i < *size; i++)
		code = code << 6 | (at[i] & 0x3f);
	return code;
}

static void add_escape(struct text *out, uint32_t code)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *found = code && code < 0x80 ? strchr(plain, (int)code) : NULL;

	if (found)
		text_add_bytes(out, (char[]){'\\', letters[found - plain]}, 2);
	else if (code < 0x10000)
		text_add(out, "\\u%04X", (unsigned)code);
	else
		text_add(out, "\\u%04X\\u%04X", (unsigned)(0xd7c0 + (code >> 10)),
		    (unsigned)(0xdc00 + (code & 0x3ff)));
}

static bool is_plain(uint8_t byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void add_string(struct text *out, const char *bytes, size_t size)
{
	const uint8_t *at = (const uint8_t *)bytes, *end = at + size;

	text_add_bytes(out, "\"", 1);
	while (at < end) {
		const uint8_t *plain = at;
		size_t length;

		while (at < end && is_plain(*at))
			at++;
		text_add_bytes(out, plain, (size_t)(at - plain));
		if (at == end)
			break;
		add_escape(out, code_point(at, &length));
		at += length;
	}
	text_add_bytes(out, "\"", 1);
}

/* ---- Numbers ---- */

static void add_integer(struct text *out, json_int_t number)
{
	if (number < 0)
		text_add_bytes(out, "-", 1);
	text_add_number(out, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* Formats as %.12g, with ".0" added to whole numbers and without leading zeros in the exponent. */
static void add_any_real(struct text *out, double value)
{
	char digits[40], *exponent;

	snprintf(digits, sizeof(digits), "%.12g", value);
	exponent = strchr(digits, 'e');
	text_add_bytes(out, digits, exponent ? (size_t)(exponent - digits) : strlen(digits));
	if (!exponent) {
		text_add_word(out, strchr(digits, '.') ? "" : ".0");
		return;
	}
	text_add_word(out, exponent[1] == '-' ? "e-" : "e");
	text_add_word(out, exponent + 2 + strspn(exponent + 2, "0"));
}

/* Formats values of at most DECIMALS decimals, which are most, without printf. */
static void add_real(struct text *out, double value)
{
	double millionths = value * 1e6;
	char decimals[DECIMALS + 1] = ".000000";
	uint64_t whole;
	unsigned rest, digits = DECIMALS;

	if (!(millionths >= 0 && millionths < FIXED_MAX) || signbit(value) || rint(millionths) / 1e6 != value)
		return add_any_real(out, value);
	if (value > 0 && value < 1e-4)
		return add_any_real(out, value); /* %g uses an exponent here */
	whole = (uint64_t)rint(millionths) / 1000000;
	rest = (unsigned)((uint64_t)rint(millionths) % 1000000);
	for (unsigned i = DECIMALS; i; i--, rest /= 10)
		decimals[i] = (char)('0' + rest % 10);
	while (digits > 1 && decimals[digits] == '0')
		digits--;
	text_add_number(out, whole);
	text_add_bytes(out, decimals, digits + 1);
}

/* ---- Containers ---- */

static void add_break(const struct dump *dump, unsigned depth)
{
	static const char blanks[] = "                                ";

	if (dump->form == DUMP_COMPACT)
		return;
	text_add_bytes(dump->out, "\n", 1);
	for (unsigned left = 2 * depth; left;) {
		unsigned some = left < sizeof(blanks) - 1 ? left : (unsigned)sizeof(blanks) - 1;

		text_add_bytes(dump->out, blanks, some);
		left -= some;
	}
}

static void dump_object(const struct dump *dump, json_t *object, unsigned depth)
{
	const char *key;
	json_t *value;
	bool more = false;

	text_add_bytes(dump->out, "{", 1);
	json_object_foreach(object, key, value)
	{
		if (more)
			text_add_bytes(dump->out, ",", 1);
		add_break(dump, depth + 1);
		add_string(dump->out, key, strlen(key));
		text_add_word(dump->out, dump->form == DUMP_COMPACT ? ":" : ": ");
		dump_value(dump, value, depth + 1);
		more = true;
	}
	if (more)
		add_break(dump, depth);
	text_add_bytes(dump->out, "}", 1);
}

static void dump_array(const struct dump *dump, const json_t *array, unsigned depth)
{
	size_t count = json_array_size(array);

	text_add_bytes(dump->out, "[", 1);
	for (size_t i = 0; i < count; i++) {
		if (i)
			text_add_bytes(dump->out, ",", 1);
		add_break(dump, depth + 1);
		dump_value(dump, json_array_get(array, i), depth + 1);
	}
	if (count)
		add_break(dump, depth);
	text_add_bytes(dump->out, "]", 1);
}

static void dump_value(const struct dump *dump, const json_t *json, unsigned depth)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT: dump_object(dump, (json_t *)json, depth); break; /* the cast only drops const */
	case JSON_ARRAY: dump_array(dump, json, depth); break;
	case JSON_STRING: add_string(dump->out, json_string_value(json), json_string_length(json)); break;
	case JSON_INTEGER: add_integer(dump->out, json_integer_value(json)); break;
	case JSON_REAL: add_real(dump->out, json_real_value(json)); break;
	case JSON_TRUE: text_add_word(dump->out, "true"); break;
	case JSON_FALSE: text_add_word(dump->out, "false"); break;
	case JSON_NULL: text_add_word(dump->out, "null"); break;
	}
}

void dump_json(const json_t *json, enum dump_form form, struct text *out)
{
	const struct dump dump = {out, form};

	dump_value(&dump, json, 0);
}
