/* SPDX-License-Identifier: BSD-2-Clause */
/* content: byte patterns and CoAP in the clear, as rules name them. */
#include "test/unit/unit.h"

#include "base/chance.h"
#include "base/text.h"
#include "rules/content.h"

struct row {
	const char *keys; /* of a rule */
	const char *hex;
	bool matches;
};

static size_t bytes_of(const char *hex, uint8_t *bytes)
{
	size_t digits = 0;

	for (; *hex; hex++) {
		int digit = text_hex_digit(*hex);

		if (digit < 0)
			continue;
		bytes[digits / 2] = (uint8_t)(digits % 2 ? bytes[digits / 2] | digit : digit << 4);
		digits++;
	}
	assert_int_equal(digits % 2, 0);
	return digits / 2;
}

static bool row_matches(const struct row *row)
{
	struct text ini = {0};
	struct given given;
	const struct rule *rule;
	struct coap coap;
	uint8_t bytes[256];
	size_t size = bytes_of(row->hex, bytes);
	uint8_t *exact = malloc(size + 1); /* ASan reports reads past its end */
	bool matches = true;

	text_add(&ini, "[rule r]\n%s\ndo = drop\n", row->keys);
	given_read(&given, ini.at);
	assert_string_equal(given.printed, "");
	rule = &given.config->rules[0];
	memcpy(exact + 1, bytes, size);
	if (rule->looks & LOOKS_BYTES)
		matches &= bytes_match(&rule->bytes, exact + 1, size);
	coap_parse(&coap, exact + 1, size);
	if (rule->looks & (LOOKS_COAP | LOOKS_COAP_BLOCK))
		matches &= coap_match(
		    &rule->coap, rule->looks & LOOKS_COAP_BLOCK ? &rule->coap_block : NULL, &coap);
	free(exact);
	given_free(&given);
	text_free(&ini);
	return matches;
}

#define GET "40 01 1234 b4 74657374"                    /* CON GET /test */
#define BLOCK2_3 "44 01 1234 01020304 b1 61 c1 3a"      /* … with Block2 3/1/64 */
#define CONTENT_17 "62 45 1234 0102 d2 0a 01 16 ff 41"  /* ACK 2.05, Block2 17/0/1024 */
#define PUT_BLOCK1 "40 03 1234 b1 61 d1 03 0e ff 41 42" /* CON PUT, Block1 0/1/1024 */

static const struct row rows[] = {
    {"bytes = 0:16fefd", "16fefd00", true},
    {"bytes = 0:16fefd", "16fefe00", false},
    {"bytes = 0:16fefd", "16fe", false},
    {"bytes = 3:00", "16fefd00", true},
    {"bytes = 4:00", "16fefd00", false},
    {"bytes = -1:0A", "0102030a", true},
    {"bytes = -4:01", "0102030a", true},
    {"bytes = -5:01", "0102030a", false},
    {"bytes = -1:0a0b", "0102030a", false},
    {"bytes = 0:40/c0", "7f", true},
    {"bytes = 0:4f/c0", "7f", true},
    {"bytes = 0:40/c0", "80", false},
    {"bytes = 0:ff, 1:02", "0102", true},
    {"bytes = 0:ff\nbytes = 1:02", "0102", true},
    {"bytes = 0:ff, 1:03", "0102", false},
    {"bytes = 0:01", "", false},

    {"coap = con", GET, true},
    {"coap = non, ack", GET, false},
    {"coap = request", GET, true},
    {"coap = get", GET, true},
    {"coap = 0.01", GET, true},
    {"coap = post, put, delete", GET, false},
    {"coap = response", GET, false},
    {"coap = block1, block2", GET, false},
    {"coap_block = 0-", GET, false},
    {"coap = block2", BLOCK2_3, true},
    {"coap_block = 3", BLOCK2_3, true},
    {"coap_block = 4-", BLOCK2_3, false},
    {"coap = block2\ncoap_block = 2-3", BLOCK2_3, true},
    {"coap = block1\ncoap_block = 3", BLOCK2_3, false},
    {"coap = 2.05", CONTENT_17, true},
    {"coap = ack", CONTENT_17, true},
    {"coap = response", CONTENT_17, true},
    {"coap = block2\ncoap_block = 17", CONTENT_17, true},
    {"coap = 2.04", CONTENT_17, false},
    {"coap = put", PUT_BLOCK1, true},
    {"coap = block1\ncoap_block = 0", PUT_BLOCK1, true},
    {"coap = ack", "60 00 1234", true}, /* an empty message */
    {"coap = request, response", "60 00 1234", false},
    {"coap = rst", "70 00 1234", true},
    {"coap = con", "60 00 1234 ff 00", false}, /* an empty message, and something behind it */
    {"coap = con", "80 01 1234", false},       /* version 2 */
    {"coap = con", "49 01 1234 010203040506070809", false},
    {"coap = con", "44 01 1234 0102", false},
    {"coap = con", "40 e1 1234", false},             /* signalling, which exists over TCP only */
    {"coap = con", "40 21 1234", false},             /* an unassigned class */
    {"coap = con", "40 01 1234 b5 74657374", false}, /* an option past the end */
    {"coap = con", "40 01 1234 f0", false},
    {"coap = con", "40 01 1234 ff", false}, /* a marker without a payload */
    {"coap = con", "40 01 12", false},
    {"coap = con", "16 fefd", false},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (row_matches(&rows[i]) != rows[i].matches) {
			print_error("%s: %s\n", rows[i].keys, rows[i].hex);
			fail();
		}
}

static void test_errors(void **state)
{
	static const struct {
		const char *key, *want;
	} wrong[] = {
	    {"bytes = 16fefd",
	        "bytes: `16fefd` is not right; it is OFFSET:HEX or OFFSET:HEX/MASK, as 0:16fefd or -1:00/0f"},
	    {"bytes = 0:1",
	        "bytes: `0:1` is not right; it is OFFSET:HEX or OFFSET:HEX/MASK, as 0:16fefd or -1:00/0f"},
	    {"bytes = 0:",
	        "bytes: `0:` is not right; it is OFFSET:HEX or OFFSET:HEX/MASK, as 0:16fefd or -1:00/0f"},
	    {"bytes = 70000:00", "bytes: `70000:00` is not right; it is OFFSET:HEX or OFFSET:HEX/MASK, as "
	                         "0:16fefd or -1:00/0f"},
	    {"bytes = 0:0102/ff", "bytes: `0:0102/ff` has a mask of another length than its bytes"},
	    {"coap = 8.00",
	        "coap: `8.00` is no code of CoAP (RFC 7252); its class is 0 or 2 to 5, as in 2.05"},
	    {"coap = 2.32",
	        "coap: `2.32` is no code of CoAP (RFC 7252); its class is 0 or 2 to 5, as in 2.05"},
	    {"nth = 5-8 every 3",
	        "nth: `5-8 every 3` is longer than its period; it is a range such as 5-8 every 8"},
	    {"nth = 5- every 8",
	        "nth: `5- every 8` is longer than its period; it is a range such as 5-8 every 8"},
	    {"nth = 5-8 every 0", "nth: `5-8 every 0` counts nothing; `every` takes 1 or more"}};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct text ini = {0}, want = {0};

		text_add(&ini, "[rule r]\n%s\ndo = drop\n", wrong[i].key);
		text_add(&want, "t.ini:2: [rule r] %s\n", wrong[i].want);
		assert_complaints(ini.at, want.at);
		text_free(&ini);
		text_free(&want);
	}
}

/* Whatever the bytes are, nothing is read past their end. */
static void test_noise(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 200000; i++) {
		struct draw draw = {chance_mix(i)};
		size_t size = chance_below(draw, 0, 24);
		uint8_t *bytes = malloc(size + 1);
		struct coap coap;

		for (size_t k = 0; k < size; k++)
			bytes[1 + k] = (uint8_t)(chance_bits(draw, 1 + (unsigned)k / 8) >> k % 8 * 8);
		if (size)
			bytes[1] = (uint8_t)(0x40 | (bytes[1] & 0x3f));
		coap_parse(&coap, bytes + 1, size);
		free(bytes);
	}
}

static void test_periods(void **state)
{
	static const struct span spans[] = {{5, 8, 8}, {3, 3, 3}, {1, 1, 1}, {2, 4, 3}};

	(void)state;
	for (size_t i = 0; i < COUNT(spans); i++)
		for (uint64_t n = 0; n < 100; n++)
			assert_int_equal(span_holds(&spans[i], n),
			    n >= spans[i].low &&
			        (n - spans[i].low) % spans[i].period <= spans[i].high - spans[i].low);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_noise),
	    cmocka_unit_test(test_periods),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
