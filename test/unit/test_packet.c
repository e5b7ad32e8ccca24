/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet: the synthetic Ethernet, IP and UDP headers of a datagram: every field, and the checksums against
 * ones that are computed here, independently.
 */
#include "test/unit/unit.h"

#include "base/chance.h"
#include "capture/packet.h"

static unsigned read16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* RFC 1071, by the book: 16-bit words in network order, an odd byte padded with 0. */
static uint64_t plain_sum(const uint8_t *bytes, size_t size)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < size; i += 2)
		sum += (unsigned)bytes[i] << 8 | (i + 1 < size ? bytes[i + 1] : 0u);
	return sum;
}

static unsigned folded(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned)sum;
}

static struct packet_ends ends_of(const char *from, const char *to)
{
	struct packet_ends ends = {
	    .sender = PARTY_DEVICE, .receiver = PARTY_PROXY, .tos = 0xb9, .id = 0x1234};
	struct error error;

	assert_int_equal(address_read(from, &ends.from, &error), 0);
	assert_int_equal(address_read(to, &ends.to, &error), 0);
	return ends;
}

/* Checks what a receiver checks: the sum over pseudo header, UDP header and payload is all ones. */
static void assert_udp_valid(
    const uint8_t *addresses, size_t address_size, const uint8_t *udp, const uint8_t *payload, size_t size)
{
	uint64_t sum = plain_sum(addresses, 2 * address_size) + 17 + size + 8 + plain_sum(udp, 8) +
	               plain_sum(payload, size);

	assert_int_equal(read16(udp + 4), size + 8);
	assert_int_not_equal(read16(udp + 6), 0);
	assert_int_equal(folded(sum), 0xffff);
}

static void test_ipv4(void **state)
{
	static const uint8_t macs[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0};
	static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 100, 1471, 65507};
	const struct packet_ends ends = ends_of("192.0.2.7:40112", "198.51.100.1:5684");
	static uint8_t payload[65507];

	(void)state;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)chance_mix(i);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		uint8_t headers[PACKET_HEADERS_MAX], *ip = headers + 14;
		size_t size = packet_headers(headers, &ends, sizes[i], packet_sum(0, payload, sizes[i]));

		assert_int_equal(size, 14 + 20 + 8);
		assert_memory_equal(headers, macs, sizeof(macs));
		assert_int_equal(ip[0], 0x45);
		assert_int_equal(ip[1], 0xb9);
		assert_int_equal(read16(ip + 2), 28 + sizes[i]);
		assert_int_equal(read16(ip + 4), 0x1234);
		assert_int_equal(ip[9], 17);
		assert_true(ip[8] > 0);
		assert_memory_equal(ip + 12, ends.from.ip, 4);
		assert_memory_equal(ip + 16, ends.to.ip, 4);
		assert_int_equal(folded(plain_sum(ip, 20)), 0xffff);
		assert_int_equal(read16(ip + 20), 40112);
		assert_int_equal(read16(ip + 22), 5684);
		assert_udp_valid(ip + 12, 4, ip + 20, payload, sizes[i]);
	}
}

static void test_ipv6(void **state)
{
	static const uint8_t macs[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd};
	static const size_t sizes[] = {0, 1, 33, 1200, 65507};
	const struct packet_ends ends = ends_of("[2001:db8::7]:40112", "[2001:db8:ffff::1]:5684");
	static uint8_t payload[65507];

	(void)state;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)chance_mix(i + 7);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		uint8_t headers[PACKET_HEADERS_MAX], *ip = headers + 14;
		size_t size = packet_headers(headers, &ends, sizes[i], packet_sum(0, payload, sizes[i]));

		assert_int_equal(size, PACKET_HEADERS_MAX);
		assert_memory_equal(headers, macs, sizeof(macs));
		assert_int_equal(ip[0] >> 4, 6);
		assert_int_equal((ip[0] & 15) << 4 | ip[1] >> 4, 0xb9);
		assert_int_equal(read16(ip + 4), 8 + sizes[i]);
		assert_int_equal(ip[6], 17);
		assert_memory_equal(ip + 8, ends.from.ip, 16);
		assert_memory_equal(ip + 24, ends.to.ip, 16);
		assert_udp_valid(ip + 8, 16, ip + 40, payload, sizes[i]);
	}
}

/* Among 65536 payloads of two bytes one sums up to a checksum of 0, which RFC 768 writes as all ones. */
static void test_checksum_is_never_0(void **state)
{
	const struct packet_ends ends = ends_of("192.0.2.7:40112", "198.51.100.1:5684");
	unsigned ones = 0;

	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		const uint8_t payload[] = {(uint8_t)(i >> 8), (uint8_t)i};
		uint8_t headers[PACKET_HEADERS_MAX];

		packet_headers(headers, &ends, 2, packet_sum(0, payload, 2));
		assert_int_not_equal(read16(headers + 40), 0);
		ones += read16(headers + 40) == 0xffff;
	}
	assert_int_equal(ones, 1);
}

/* A sum can be computed in parts of an even number of bytes, for payloads that are cut for the capture. */
static void test_sum_in_parts(void **state)
{
	uint8_t bytes[1001];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)chance_mix(i);
	for (size_t cut = 0; cut <= sizeof(bytes); cut += 2)
		assert_int_equal(
		    folded(packet_sum(packet_sum(0, bytes, cut), bytes + cut, sizeof(bytes) - cut)),
		    folded(packet_sum(0, bytes, sizeof(bytes))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ipv4),
	    cmocka_unit_test(test_ipv6),
	    cmocka_unit_test(test_checksum_is_never_0),
	    cmocka_unit_test(test_sum_in_parts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
