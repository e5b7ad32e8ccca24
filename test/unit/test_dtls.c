/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtls: what can be read of a datagram without keys.
 *
 * Covered: a table of datagrams, each scenario in a session of its own, with the kinds, the first record and
 * the handshake messages that are found; that noise is not taken for records; and that no prefix of any
 * sample is read past its end (each is parsed in memory of exactly its size, under ASan).
 */
#include "test/unit/unit.h"

#include "base/chance.h"
#include "base/text.h"
#include "rules/dtls.h"

/* Pieces of hellos. A hello's body without extensions is 42 (client) or 38 (server) bytes. */
#define RANDOM "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_RANDOM "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define CLIENT_BODY "fefd " RANDOM " 00 00 0002c0a8 0100"
#define SERVER_BODY "fefd " RANDOM " 00 c0a8 00"
#define CLIENT_HELLO "16fefd0000000000000000 0036  01 00002a 0000 000000 00002a " CLIENT_BODY
#define CLIENT_HELLO_CID                                                                                     \
	"16fefd0000000000000001 003f  01 000033 0001 000000 000033 " CLIENT_BODY " 0007 0036 0003 02aabb"
#define SERVER_HELLO_CID                                                                                     \
	"16fefd0000000000000001 003c  02 000030 0001 000000 000030 " SERVER_BODY " 0008 0036 0004 03010203"
#define SERVER_HELLO_13                                                                                      \
	"16fefd0000000000000001 003a  02 00002e 0001 000000 00002e " SERVER_BODY " 0006 002b 0002 fefc"
#define SERVER_HELLO_13_CID                                                                                  \
	"16fefd0000000000000001 0042  02 000036 0001 000000 000036 " SERVER_BODY                             \
	" 000e 0036 0004 03010203 002b 0002 fefc"
#define SIXTEEN "00112233445566778899aabbccddeeff"

struct sample {
	const char *what; /* the scenario that begins here; NULL: the session goes on */
	enum way way;
	const char *hex;   /* blanks are ignored */
	const char *kinds; /* in the order of enum dtls_kind */
	const char
	    *first; /* type/epoch/number of the first record, then each handshake message, then `new` */
};

static const struct sample samples[] = {
    {"plain CoAP", WAY_UP, "4001 1234 b1 61", "none", "none"},
    {"CoAP with a token", WAY_UP, "48 02 0001 0102030405060708 ff 00", "none", "none"},
    {"an empty datagram", WAY_UP, "", "none", "none"},
    {"one byte", WAY_UP, "16", "none", "none"},
    {"twelve bytes", WAY_UP, "16fefd0000000000000000 00", "none", "none"},
    {"content type 19", WAY_UP, "13fefd0000000000000000 0001 00", "", "19/0/0"},
    {"content type 27", WAY_UP, "1bfefd0001000000000007 0001 00", "encrypted", "27/1/7"},
    {"content type 27 whose length does not fit", WAY_UP, "1bfefd0001000000000007 0002 00", "none", "none"},
    {"content type 27 behind another record", WAY_UP,
        "15fefd0000000000000000 0002 0228 1bfefd0001000000000007 0001 00", "alert", "21/0/0"},
    {"a CoAP header that looks like OpenSSL's old version", WAY_UP, "41 01 0012 aa b474657374 ff 00 00 00 00",
        "none", "none"},
    {"TLS 1.2 over UDP", WAY_UP, "160303000000000000000 00001 00", "none", "none"},
    {"DTLS 1.3 as a record version", WAY_UP, "16fefc0000000000000000 0001 00", "handshake", "22/0/0"},

    {"client hello", WAY_UP, CLIENT_HELLO, "handshake client_hello", "22/0/0 clear 1 0 0 new"},
    {NULL, WAY_UP, CLIENT_HELLO, "handshake client_hello", "22/0/0 clear 1 0 0"},
    {NULL, WAY_DOWN, "16feff0000000000000000 0010  03 000004 0000 000000 000004 fefd 01 aa",
        "handshake hello_verify_request", "22/0/0 clear 3 0 0"},
    {NULL, WAY_UP, CLIENT_HELLO_CID, "handshake client_hello", "22/0/1 clear 1 1 0"},
    {"another random", WAY_UP, CLIENT_HELLO, "handshake client_hello", "22/0/0 clear 1 0 0 new"},
    {NULL, WAY_UP,
        "16fefd0000000000000005 0036 01 00002a 0000 000000 00002a fefd " OTHER_RANDOM " 00 00 0002c0a8 0100",
        "handshake client_hello", "22/0/5 clear 1 0 0 new"},
    {"hello in DTLS 1.0", WAY_UP, "16feff0000000000000000 0036 01 00002a 0000 000000 00002a " CLIENT_BODY,
        "handshake client_hello", "22/0/0 clear 1 0 0 new"},
    {"hello in OpenSSL's old version", WAY_UP,
        "1601000000000000000000 0036 01 00002a 0000 000000 00002a " CLIENT_BODY, "handshake client_hello",
        "22/0/0 clear 1 0 0 new"},

    {"a flight in one datagram, a record for each message", WAY_DOWN,
        "16fefd0000000000000001 0032  02 000026 0001 000000 000026 " SERVER_BODY
        "16fefd0000000000000002 0010  0b 000004 0002 000000 000004 00000000"
        "16fefd0000000000000003 000e  0c 000002 0003 000000 000002 0000"
        "16fefd0000000000000004 000c  0e 000000 0004 000000 000000",
        "handshake server_hello certificate server_key_exchange server_hello_done",
        "22/0/1 clear 2 1 0 clear 11 2 0 clear 12 3 0 clear 14 4 0"},
    {"a flight in one record", WAY_DOWN,
        "16fefd0000000000000001 0056  02 000026 0001 000000 000026 " SERVER_BODY
        "0d 000000 0002 000000 000000  0e 000000 0003 000000 000000  16 000000 0004 000000 000000",
        "handshake server_hello certificate_request server_hello_done certificate_status",
        "22/0/1 clear 2 1 0 clear 13 2 0 clear 14 3 0 clear 22 4 0"},
    {"the client's flight", WAY_UP,
        "16fefd0000000000000003 000e  10 000002 0002 000000 000002 0000"
        "14fefd0000000000000004 0001 01"
        "16fefd0001000000000000 0028  00000000000000000000" SIXTEEN "00000000000000000000000000000000",
        "handshake client_key_exchange finished change_cipher_spec encrypted",
        "22/0/3 clear 16 2 0 encrypted 40 1"},
    {"certificate verify, ticket, hello request", WAY_UP,
        "16fefd0000000000000003 000d  0f 000001 0002 000000 000001 00"
        "16fefd0000000000000004 000d  04 000001 0003 000000 000001 00"
        "16fefd0000000000000005 000c  00 000000 0004 000000 000000",
        "handshake hello_request certificate_verify new_session_ticket",
        "22/0/3 clear 15 2 0 clear 4 3 0 clear 0 4 0"},
    {"a ticket and Finished in one datagram", WAY_DOWN,
        "16fefd0000000000000005 000d  04 000001 0005 000000 000001 00"
        "14fefd0000000000000006 0001 01"
        "16fefd0001000000000000 0010 " SIXTEEN,
        "handshake new_session_ticket finished change_cipher_spec encrypted",
        "22/0/5 clear 4 5 0 encrypted 16 1"},
    {"a DTLS 1.2 cookie", WAY_UP,
        "16fefd0000000000000001 0038 01 00002c 0001 000000 00002c fefd " RANDOM " 00 02cafe 0002c0a8 0100",
        "handshake client_hello client_hello_cookie", "22/0/1 clear 1 1 0 new"},
    {"a DTLS 1.3 cookie", WAY_UP,
        "16fefd0000000000000001 0040 01 000034 0001 000000 000034 " CLIENT_BODY " 0008 002c 0004 0002cafe",
        "handshake client_hello client_hello_cookie", "22/0/1 clear 1 1 0 new"},
    {"a later fragment", WAY_DOWN, "16fefd0000000000000009 0010  0b 000400 0002 000123 000004 00000000",
        "handshake certificate", "22/0/9 clear 11 2 291"},
    {"an unknown handshake message", WAY_UP, "16fefd0000000000000000 000c  63 000000 0000 000000 000000",
        "handshake", "22/0/0 clear 99 0 0"},
    {"a handshake record too short for a message", WAY_UP, "16fefd0000000000000000 0003 010000", "handshake",
        "22/0/0"},
    {"an empty record, then another", WAY_UP, "16fefd0000000000000000 0000 15fefd0000000000000001 0002 0228",
        "handshake alert", "22/0/0"},

    {"encrypted finished", WAY_UP, "16fefd0001000000000000 0018 0000000000000000" SIXTEEN,
        "handshake finished encrypted", "22/1/0 encrypted 24 1"},
    {"an encrypted handshake record of epoch 2", WAY_UP, "16fefd0002000000000000 0010" SIXTEEN,
        "handshake encrypted", "22/2/0 encrypted 16 2"},
    {"change_cipher_spec", WAY_UP, "14fefd0000000000000004 0001 01", "change_cipher_spec", "20/0/4"},
    {"alert in the clear", WAY_DOWN, "15fefd0000000000000007 0002 0228", "alert", "21/0/7"},
    {"encrypted alert", WAY_DOWN, "15fefd0001000000000007 0010" SIXTEEN, "alert encrypted", "21/1/7"},
    {"application data", WAY_UP, "17fefd0001 00000000001a 0010" SIXTEEN, "application_data encrypted",
        "23/1/26"},
    {"number of 48 bits", WAY_UP, "17fefdffff ffffffffffff 0001 00", "application_data encrypted",
        "23/65535/281474976710655"},
    {"heartbeat", WAY_UP, "18fefd0001 000000000003 0010" SIXTEEN, "encrypted heartbeat", "24/1/3"},
    {"ACK", WAY_UP, "1afefd0000 000000000002 0002 0000", "ack", "26/0/2"},
    {"two records of application data", WAY_UP,
        "17fefd0001 000000000001 0001 00 17fefd0001 000000000002 0001 00", "application_data encrypted",
        "23/1/1"},

    {"a length past the end", WAY_UP, "16fefd0001000000000000 0010 0000", "handshake finished encrypted",
        "22/1/0 encrypted 2 1"},
    {"a length of 65535", WAY_UP, "17fefd0001000000000000 ffff", "application_data encrypted", "23/1/0"},
    {"a fragment past its record's end", WAY_UP,
        "16fefd0000000000000000 000e 0b ffffff 0001 000000 ffffff 0000", "handshake certificate",
        "22/0/0 clear 11 1 0"},
    {"a hello whose vectors point past its end", WAY_UP,
        "16fefd0000000000000000 002f 01 000023 0000 000000 000023 fefd " RANDOM " ff",
        "handshake client_hello", "22/0/0 clear 1 0 0 new"},
    {"a hello cut inside its random", WAY_UP,
        "16fefd0000000000000000 0010 01 00002a 0000 000000 000004 fefd 0001", "handshake client_hello",
        "22/0/0 clear 1 0 0"},

    {"Particle's moved session, its id behind it", WAY_UP,
        "fefefd0001000000000005 0002 aabb e00fce68a1b2c3d4e5f60718 0c", "encrypted session_move", "254/1/5"},
    {"Particle's moved session without the id", WAY_UP, "fefefd0001000000000005 0002 aabb",
        "encrypted session_move", "254/1/5"},
    {"253, no CID known", WAY_UP, "fdfefd0001000000000005 08 0102030405060708 0010" SIXTEEN, "cid encrypted",
        "253/1/5"},
    {"25, no CID known", WAY_UP, "19fefd0001000000000005 aabb 0010" SIXTEEN, "cid encrypted", "25/1/5"},
    {"252", WAY_UP, "fcfefd0001000000000005 0002 aabb", "encrypted", "252/1/5"},
    {"255", WAY_UP, "fffefd0001000000000005 0002 aabb", "encrypted", "255/1/5"},

    /* The device asks for a CID of 2 bytes, the cloud for one of 3: each is sent the one that it asked for.
     */
    {"CIDs learned from hellos", WAY_UP, CLIENT_HELLO_CID, "handshake client_hello",
        "22/0/1 clear 1 1 0 new"},
    {NULL, WAY_DOWN, SERVER_HELLO_CID, "handshake server_hello", "22/0/1 clear 2 1 0"},
    {NULL, WAY_UP, "19fefd0001000000000001 010203 0002 aabb 17fefd0001000000000002 0001 00",
        "application_data cid encrypted", "25/1/1 cid 010203"},
    {NULL, WAY_DOWN, "19fefd0001000000000001 aabb 0002 aabb 15fefd0001000000000002 0001 00",
        "alert cid encrypted", "25/1/1 cid aabb"},
    {NULL, WAY_UP, "fdfefd0001000000000002 010203 0002 aabb 14fefd0000000000000002 0001 01",
        "change_cipher_spec cid encrypted", "253/1/2 cid 010203"},
    {NULL, WAY_UP, "19fefd0001000000000003 0102", "cid encrypted", "25/1/3"},
    /* A new hello without the extension drops them. */
    {NULL, WAY_UP,
        "16fefd0000000000000005 0036 01 00002a 0000 000000 00002a fefd " OTHER_RANDOM " 00 00 0002c0a8 0100",
        "handshake client_hello", "22/0/5 clear 1 0 0 new"},
    {NULL, WAY_UP, "19fefd0001000000000001 010203 0002 aabb 17fefd0001000000000002 0001 00", "cid encrypted",
        "25/1/1"},

    {"unified with a length that fits", WAY_UP, "2e 0001 0010" SIXTEEN, "encrypted unified", "unified/2/-"},
    {"two unified with lengths that fit", WAY_UP, "2e 0001 0010" SIXTEEN "27 02 0011" SIXTEEN "00",
        "encrypted unified", "unified/2/-"},
    {"unified with CID and a length that fits", WAY_UP, "3f 010203 0001 0010" SIXTEEN,
        "cid encrypted unified", "unified/3/- cid 010203"},
    {"unified with a length one too short", WAY_UP, "2e 0001 0010" SIXTEEN "00", "none", "none"},
    {"unified with a length one too long", WAY_UP, "2e 0001 0011" SIXTEEN, "none", "none"},
    {"unified without length, version unknown", WAY_UP, "2a 0001" SIXTEEN, "none", "none"},
    {"too short to be ciphertext", WAY_UP, "2e 0001 000f 00112233445566778899aabbccddee", "none", "none"},

    {"DTLS 1.3 without CID", WAY_UP, CLIENT_HELLO, "handshake client_hello", "22/0/0 clear 1 0 0 new"},
    {NULL, WAY_DOWN, "2a 0001" SIXTEEN, "none", "none"},
    {NULL, WAY_DOWN, SERVER_HELLO_13 "2e 0000 0010" SIXTEEN "2a 0001" SIXTEEN,
        "handshake server_hello encrypted unified", "22/0/1 clear 2 1 0"},
    {NULL, WAY_UP, "2a 0001" SIXTEEN, "encrypted unified", "unified/2/-"},
    {NULL, WAY_UP, "23 01" SIXTEEN, "encrypted unified", "unified/3/-"},
    {NULL, WAY_UP, "2e 0001 ffff" SIXTEEN, "encrypted unified", "unified/2/-"},
    {NULL, WAY_UP, "1afefd0000 000000000002 0002 0000", "ack", "26/0/2"},
    {NULL, WAY_UP, "40 01 0000", "none", "none"},
    {NULL, WAY_UP, "2a 00", "none", "none"},

    {"DTLS 1.3 with CIDs", WAY_UP, CLIENT_HELLO_CID, "handshake client_hello", "22/0/1 clear 1 1 0 new"},
    {NULL, WAY_DOWN, SERVER_HELLO_13_CID, "handshake server_hello", "22/0/1 clear 2 1 0"},
    {NULL, WAY_UP, "3f 010203 0001 0010" SIXTEEN "32 010203 01" SIXTEEN, "cid encrypted unified",
        "unified/3/- cid 010203"},
    {NULL, WAY_DOWN, "3b aabb 0001" SIXTEEN, "cid encrypted unified", "unified/3/- cid aabb"},
    {NULL, WAY_DOWN, "2b 0001" SIXTEEN, "encrypted unified", "unified/3/-"},

    /* Only the cloud's hello chooses the version. */
    {"a client cannot choose 1.3", WAY_UP, SERVER_HELLO_13, "handshake server_hello", "22/0/1 clear 2 1 0"},
    {NULL, WAY_UP, "2a 0001" SIXTEEN, "none", "none"},
};

static int digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Decodes `hex` into memory of exactly the right size. */
static uint8_t *bytes_of(const char *hex, size_t *size)
{
	uint8_t whole[2048], *exact;
	int high = -1;

	*size = 0;
	for (; *hex; hex++) {
		if (digit(*hex) < 0)
			continue;
		if (high < 0) {
			high = digit(*hex);
			continue;
		}
		whole[(*size)++] = (uint8_t)(high << 4 | digit(*hex));
		high = -1;
	}
	assert_int_equal(high, -1);
	exact = malloc(*size ? *size : 1);
	assert_non_null(exact);
	memcpy(exact, whole, *size);
	return exact;
}

static void kinds_text(const struct dtls_peek *peek, struct text *out)
{
	text_add(out, "%s", "");
	for (unsigned kind = 0; kind < DTLS_KIND_COUNT; kind++)
		if (peek->kinds >> kind & 1)
			text_add(out, "%s%s", out->size ? " " : "", dtls_kinds[kind]);
}

static void first_text(const struct dtls_peek *peek, struct text *out)
{
	const struct dtls_record *first = &peek->first;

	if (first->type == DTLS_NONE)
		text_add(out, "none");
	else if (first->type == DTLS_UNIFIED)
		text_add(out, "unified/%u/%s", first->epoch, first->number == DTLS_NUMBER_HIDDEN ? "-" : "?");
	else
		text_add(out, "%u/%u/%llu", first->type, first->epoch, (unsigned long long)first->number);
	if (first->cid_size)
		text_add(out, " cid ");
	for (unsigned i = 0; i < first->cid_size; i++)
		text_add(out, "%02x", first->cid[i]);
	for (uint32_t i = 0; i < peek->message_count; i++) {
		const struct dtls_message *message = &peek->messages[i];

		if (message->sequence == DTLS_SEQUENCE_HIDDEN)
			text_add(out, " encrypted %u %u", message->place, message->epoch);
		else
			text_add(out, " clear %u %u %u", message->type, message->sequence, message->place);
		assert_true((message->kinds & ~peek->kinds) == 0);
	}
	if (peek->new_hello)
		text_add(out, " new");
}

static void test_samples(void **state)
{
	struct dtls_session session;

	(void)state;
	for (size_t i = 0; i < COUNT(samples); i++) {
		struct text kinds = {0}, first = {0};
		struct dtls_peek peek;
		size_t size;
		uint8_t *bytes = bytes_of(samples[i].hex, &size);

		if (samples[i].what)
			dtls_init(&session);
		dtls_parse(&session, samples[i].way, bytes, size, &peek);
		kinds_text(&peek, &kinds);
		first_text(&peek, &first);
		if (strcmp(kinds.at, samples[i].kinds) != 0 || strcmp(first.at, samples[i].first) != 0)
			print_error("sample %zu, %s: %s\n", i, samples[i].what ? samples[i].what : "…",
			    samples[i].hex);
		assert_string_equal(kinds.at, samples[i].kinds);
		assert_string_equal(first.at, samples[i].first);
		free(bytes);
		text_free(&kinds);
		text_free(&first);
	}
}

/* Every record of a walk lies inside the datagram, and the walk comes to an end. */
static void walk_inside(const struct dtls_session *session, enum way way, const uint8_t *bytes, size_t size)
{
	struct dtls_walk walk;
	struct dtls_record record;
	size_t count = 0;

	dtls_walk(&walk, session, way, bytes, size);
	while (dtls_next(&walk, &record)) {
		assert_true(record.body >= bytes && record.body + record.body_size <= bytes + size);
		if (record.cid)
			assert_true(record.cid > bytes && record.cid + record.cid_size <= bytes + size);
		assert_in_range(++count, 1, size);
	}
}

static void test_every_prefix(void **state)
{
	struct dtls_session session;

	(void)state;
	dtls_init(&session);
	for (size_t i = 0; i < COUNT(samples); i++) {
		size_t size;
		uint8_t *bytes = bytes_of(samples[i].hex, &size);
		struct dtls_peek peek;

		if (samples[i].what)
			dtls_init(&session);
		for (size_t part = 0; part <= size; part++) {
			struct dtls_session copy = session;
			uint8_t *prefix = malloc(part ? part : 1);

			assert_non_null(prefix);
			memcpy(prefix, bytes, part);
			walk_inside(&copy, samples[i].way, prefix, part);
			dtls_parse(&copy, samples[i].way, prefix, part, &peek);
			assert_true(peek.kinds != 0 || peek.first.type != DTLS_NONE);
			free(prefix);
		}
		dtls_parse(&session, samples[i].way, bytes, size, &peek);
		free(bytes);
	}
}

/*
 * Random bytes hardly ever form a record: a plain header needs one of 9 types and 3 versions (2·10^-6 of
 * all), a unified one needs lengths that lead to the end (an eighth has its bits, half of these have a
 * length, which fits once in 65536, for each of 21 CID sizes: 10^-5 at most). Of 10^5 datagrams one is
 * expected to be a record; more than 8 occur by chance once in 10^6.
 */
static void test_noise(void **state)
{
	struct dtls_session session;
	unsigned records = 0;

	(void)state;
	dtls_init(&session);
	for (uint64_t i = 0; i < 100000; i++) {
		struct draw draw = {chance_mix(i)};
		size_t size = 1 + chance_below(draw, 0, 200);
		uint8_t *bytes = malloc(size);
		struct dtls_peek peek;

		assert_non_null(bytes);
		for (size_t k = 0; k < size; k++)
			bytes[k] = (uint8_t)(chance_bits(draw, 1 + (unsigned)k / 8) >> k % 8 * 8);
		dtls_parse(&session, WAY_UP, bytes, size, &peek);
		records += peek.first.type != DTLS_NONE;
		assert_int_equal(peek.first.type == DTLS_NONE, peek.kinds == UINT32_C(1) << DTLS_KIND_NONE);
		free(bytes);
	}
	assert_in_range(records, 0, 8);
}

/* Every kind has a word of its own. */
static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < DTLS_KIND_COUNT; i++) {
		assert_non_null(dtls_kinds[i]);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(dtls_kinds[i], dtls_kinds[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_samples),
	    cmocka_unit_test(test_every_prefix),
	    cmocka_unit_test(test_noise),
	    cmocka_unit_test(test_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
