/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address: addresses and patterns are read, written and matched; the message for each bad one says what would
 * be right.
 */
#include "test/unit/unit.h"

#include <netinet/in.h>

#include "base/address.h"

static void test_read(void **state)
{
	static const struct {
		const char *text, *again; /* NULL: the same as `text` */
		uint16_t family, port;
	} rows[] = {
	    {"192.0.2.7:5684", NULL, FAMILY_IPV4, 5684},
	    {"0.0.0.0:0", NULL, FAMILY_IPV4, 0},
	    {"255.255.255.255:65535", NULL, FAMILY_IPV4, 65535},
	    {"localhost:5684", "127.0.0.1:5684", FAMILY_IPV4, 5684},
	    {"[2001:db8::7]:5684", NULL, FAMILY_IPV6, 5684},
	    {"[2001:DB8:0:0::7]:5684", "[2001:db8::7]:5684", FAMILY_IPV6, 5684},
	    {"[::]:1", NULL, FAMILY_IPV6, 1},
	    {"[::1]:5684", NULL, FAMILY_IPV6, 5684},
	    {"[::ffff:192.0.2.7]:1", NULL, FAMILY_IPV6, 1},
	    {"[fe80::1%lo]:5684", NULL, FAMILY_IPV6, 5684},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[ADDRESS_TEXT_SIZE];
		struct address address, back;
		struct sockaddr_storage storage;
		struct error error;

		assert_int_equal(address_read(rows[i].text, &address, &error), 0);
		assert_int_equal(address.family, rows[i].family);
		assert_int_equal(address.port, rows[i].port);
		assert_string_equal(
		    address_text(&address, text, sizeof(text)), rows[i].again ? rows[i].again : rows[i].text);
		/* Converted to a sockaddr and back it is the same, byte by byte. */
		assert_int_equal(address_to_socket(&address, &storage),
		    rows[i].family == FAMILY_IPV6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		assert_int_equal(address_from_socket((struct sockaddr *)&storage, &back), 0);
		assert_true(address_equal(&address, &back));
		assert_true(address_hash(&address) == address_hash(&back));
	}
}

enum reader { WITH_PORT, HOST, PATTERN };

static void test_mistakes(void **state)
{
	static const struct {
		enum reader reader;
		const char *text, *want;
	} rows[] = {
	    {WITH_PORT, "192.0.2.7", "`192.0.2.7` lacks its port, as in 192.0.2.7:5684"},
	    {WITH_PORT, "192.0.2.7:", "`` is not a port; one is 0 to 65535"},
	    {WITH_PORT, "192.0.2.7:65536", "`65536` is not a port; one is 0 to 65535"},
	    {WITH_PORT, "192.0.2.7:coap", "`coap` is not a port; one is 0 to 65535"},
	    {WITH_PORT, "192.0.2.7:-1", "`-1` is not a port; one is 0 to 65535"},
	    {WITH_PORT, "192.0.2:5684", "`192.0.2` is not an IPv4 or IPv6 address"},
	    {WITH_PORT, "192.0.2.256:5684", "`192.0.2.256` is not an IPv4 or IPv6 address"},
	    {WITH_PORT, "example.org:5684", "`example.org` is not an IPv4 or IPv6 address"},
	    {WITH_PORT, ":5684", "`:5684` names no host; all addresses of this machine are 0.0.0.0:5684"},
	    {WITH_PORT, "[]:5684", "`[]:5684` names no host; all addresses of this machine are 0.0.0.0:5684"},
	    {WITH_PORT, "[2001:db8::7]", "`[2001:db8::7]` lacks its port, as in [2001:db8::7]:5684"},
	    {WITH_PORT, "[2001:db8::7]5684", "`[2001:db8::7]5684` lacks its port, as in [2001:db8::7]:5684"},
	    {WITH_PORT, "[2001:db8::7", "`[2001:db8::7` lacks its port, as in [2001:db8::7]:5684"},
	    {WITH_PORT, "2001:db8::7:5684",
	        "`2001:db8::7:5684`: an IPv6 address with a port stands in brackets, [2001:db8::7]:5684"},
	    {WITH_PORT, "", "`` lacks its port, as in 192.0.2.7:5684"},
	    {HOST, "192.0.2.7:5684", "`192.0.2.7:5684` is not an IPv4 or IPv6 address"},
	    {HOST, "", "`` is not an IPv4 or IPv6 address"},
	    {HOST, "fe80::1%nowhere0", "`nowhere0` names no network interface of this machine"},
	    {HOST, "fe80::1%1x", "`1x` names no network interface of this machine"},
	    {HOST, "192.0.2.7%lo", "`192.0.2.7%lo` is not an IPv4 or IPv6 address"},
	    {PATTERN, "10.0.0.0/33", "`10.0.0.0/33` is not a prefix; its length is 0 to 32"},
	    {PATTERN, "10.0.0.0/", "`10.0.0.0/` is not a prefix; its length is 0 to 32"},
	    {PATTERN, "10.0.0.0/8.5", "`10.0.0.0/8.5` is not a prefix; its length is 0 to 32"},
	    {PATTERN, "10.0.0.0/8:0", "`10.0.0.0/8:0` has no port after its prefix; a port is 1 to 65535"},
	    {PATTERN, "10.0.0.0/8:", "`10.0.0.0/8:` has no port after its prefix; a port is 1 to 65535"},
	    {PATTERN, "10.0.0.0/8x", "`10.0.0.0/8x` is not a prefix; its length is 0 to 32"},
	    {PATTERN, "[2001:db8::/32", "`[2001:db8::/32` is not a prefix; its length is 0 to 128"},
	    {PATTERN, "2001:db8::/129", "`2001:db8::/129` is not a prefix; its length is 0 to 128"},
	    {PATTERN, "10.0.0/8", "`10.0.0` is not an IPv4 or IPv6 address"},
	    {PATTERN, "10.0.0.1:0", "`10.0.0.1:0` has port 0, which no datagram has"},
	    {PATTERN, "device", "`device` is not an IPv4 or IPv6 address"},
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = {"(nothing)"};
		struct address address;
		struct address_pattern pattern;
		int result = rows[i].reader == WITH_PORT ? address_read(rows[i].text, &address, &error)
		             : rows[i].reader == HOST    ? address_read_host(rows[i].text, &address, &error)
		                                      : address_pattern_read(rows[i].text, &pattern, &error);

		if (result == -1 && strcmp(error.text, rows[i].want) == 0)
			continue;
		print_error("for `%s` got: %s\n     want: %s\n", rows[i].text, error.text, rows[i].want);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* A text far longer than any address is refused, not cut to one. */
static void test_long_texts(void **state)
{
	char text[400];
	struct address address;
	struct error error;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(address_read_host(text, &address, &error), -1);
	memcpy(text, "192.0.2.7:", 10);
	assert_int_equal(address_read(text, &address, &error), -1);
	memcpy(text + 300, ":5684", 6);
	text[9] = 'a';
	assert_int_equal(address_read(text, &address, &error), -1);
}

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *address;
		bool matches;
	} rows[] = {
	    {"192.0.2.7", "192.0.2.7:1", true},
	    {"192.0.2.7", "192.0.2.8:1", false},
	    {"192.0.2.7:5684", "192.0.2.7:5684", true},
	    {"192.0.2.7:5684", "192.0.2.7:5685", false},
	    {"10.0.0.0/8", "10.255.0.1:1", true},
	    {"10.0.0.0/8", "11.0.0.1:1", false},
	    {"192.0.2.128/25", "192.0.2.127:1", false},
	    {"192.0.2.128/25", "192.0.2.200:1", true},
	    {"192.0.2.130/31", "192.0.2.131:1", true},
	    {"192.0.2.130/31", "192.0.2.132:1", false},
	    {"192.0.2.7/32", "192.0.2.7:1", true},
	    {"0.0.0.0/0", "203.0.113.9:1", true},
	    {"0.0.0.0/0", "[::1]:1", false},
	    {"10.0.0.0/8:53", "10.255.0.1:53", true},
	    {"10.0.0.0/8:53", "10.255.0.1:54", false},
	    {"[2001:db8::/32]:53", "[2001:db8:ffff::1]:53", true},
	    {"2001:db8::/32:53", "[2001:db8:ffff::1]:9", false},
	    {"2001:db8::/32", "[2001:db8:ffff::1]:9", true},
	    {"2001:db8::/33", "[2001:db8:ffff::1]:9", false},
	    {"2001:db8::7", "[2001:db8::7]:9", true},
	    {"[2001:db8::7]:9", "[2001:db8::7]:9", true},
	    {"[2001:db8::7]:9", "[2001:db8::7]:8", false},
	    {"::/0", "[2001:db8::7]:9", true},
	    {"::/0", "192.0.2.7:9", false},
	    {"fe80::1%lo", "[fe80::1]:9", false},
	    {"fe80::1", "[fe80::1%lo]:9", true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address_pattern pattern;
		struct address address;
		struct error error;

		assert_int_equal(address_pattern_read(rows[i].pattern, &pattern, &error), 0);
		assert_int_equal(address_read(rows[i].address, &address, &error), 0);
		if (address_pattern_matches(&pattern, &address) != rows[i].matches)
			print_error("%s and %s\n", rows[i].pattern, rows[i].address);
		assert_int_equal(address_pattern_matches(&pattern, &address), rows[i].matches);
	}
}

static void test_covers(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool covers;
	} rows[] = {
	    {"10.0.0.0/8", "10.1.0.0/16", true},
	    {"10.1.0.0/16", "10.0.0.0/8", false},
	    {"10.0.0.0/8", "10.0.0.1", true},
	    {"10.0.0.1", "10.0.0.1:5684", true},
	    {"10.0.0.1:5684", "10.0.0.1", false},
	    {"10.0.0.1:5684", "10.0.0.1:5684", true},
	    {"0.0.0.0/0", "::/0", false},
	    {"10.0.0.0/8", "11.0.0.0/9", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address_pattern outer, inner;
		struct error error;

		assert_int_equal(address_pattern_read(rows[i].outer, &outer, &error), 0);
		assert_int_equal(address_pattern_read(rows[i].inner, &inner, &error), 0);
		assert_int_equal(address_pattern_covers(&outer, &inner), rows[i].covers);
	}
}

static void test_predicates(void **state)
{
	static const struct {
		const char *text;
		bool loopback, any;
	} rows[] = {{"127.0.0.1", true, false}, {"127.9.9.9", true, false}, {"0.0.0.0", false, true},
	    {"::1", true, false}, {"::", false, true}, {"192.0.2.7", false, false}, {"7f00::", false, false}};
	struct address a, b;
	struct error error;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(address_read_host(rows[i].text, &a, &error), 0);
		assert_int_equal(address_is_loopback(&a), rows[i].loopback);
		assert_int_equal(address_is_any(&a), rows[i].any);
	}
	address_read("192.0.2.7:1", &a, &error);
	address_read("192.0.2.7:2", &b, &error);
	assert_true(address_same_host(&a, &b));
	assert_false(address_equal(&a, &b));
	assert_true(address_hash(&a) != address_hash(&b));
}

static void test_split(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} rows[] = {{"cloud.example:5684", "cloud.example", 5684}, {"[2001:db8::7]:1", "2001:db8::7", 1},
	    {"192.0.2.7:65535", "192.0.2.7", 65535}};
	char host[64], small[4];
	struct error error;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(address_split(rows[i].text, host, sizeof(host), &port, &error), 0);
		assert_string_equal(host, rows[i].host);
		assert_int_equal(port, rows[i].port);
	}
	assert_int_equal(address_split("host:1", small, sizeof(small), &port, &error), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_long_texts),
	    cmocka_unit_test(test_patterns),
	    cmocka_unit_test(test_covers),
	    cmocka_unit_test(test_predicates),
	    cmocka_unit_test(test_split),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
