/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/packet.h"

#include <string.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define PROTOCOL_UDP 17
#define TTL 64

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

uint64_t packet_sum(uint64_t sum, const uint8_t *bytes, size_t size)
{
	while (size >= 4) {
		uint32_t word;

		memcpy(&word, bytes, 4);
		sum += word;
		bytes += 4;
		size -= 4;
	}
	if (size) {
		uint32_t word = 0;

		memcpy(&word, bytes, size);
		sum += word;
	}
	return sum;
}

/* Folds a sum of words in memory order, and stores the checksum, also in memory order. */
static void put_checksum(uint8_t *at, uint64_t sum)
{
	uint16_t folded;

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)~sum;
	memcpy(at, &folded, 2);
}

static void put_mac(uint8_t *at, enum packet_party party)
{
	const uint8_t mac[6] = {0x02, 0, 0, 0, 0, (uint8_t)party};

	memcpy(at, mac, 6);
}

static size_t put_ipv4(uint8_t *at, const struct packet_ends *ends, size_t udp_size)
{
	memset(at, 0, 20);
	at[0] = 0x45;
	at[1] = ends->tos;
	put16(at + 2, (unsigned)(20 + udp_size));
	put16(at + 4, ends->id);
	at[8] = TTL;
	at[9] = PROTOCOL_UDP;
	memcpy(at + 12, ends->from.ip, 4);
	memcpy(at + 16, ends->to.ip, 4);
	put_checksum(at + 10, packet_sum(0, at, 20));
	return 20;
}

static size_t put_ipv6(uint8_t *at, const struct packet_ends *ends, size_t udp_size)
{
	memset(at, 0, 40);
	at[0] = (uint8_t)(0x60 | ends->tos >> 4);
	at[1] = (uint8_t)(ends->tos << 4);
	put16(at + 4, (unsigned)udp_size);
	at[6] = PROTOCOL_UDP;
	at[7] = TTL;
	memcpy(at + 8, ends->from.ip, 16);
	memcpy(at + 24, ends->to.ip, 16);
	return 40;
}

size_t packet_headers(uint8_t *headers, const struct packet_ends *ends, size_t size, uint64_t payload_sum)
{
	size_t ip_size = address_ip_size(&ends->from);
	uint8_t *ip = headers + 14, *udp;
	uint8_t pseudo[4] = {0};
	uint64_t sum;

	put_mac(headers, ends->receiver);
	put_mac(headers + 6, ends->sender);
	put16(headers + 12, ip_size == 16 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
	udp = ip + (ip_size == 16 ? put_ipv6(ip, ends, size + 8) : put_ipv4(ip, ends, size + 8));
	put16(udp, ends->from.port);
	put16(udp + 2, ends->to.port);
	put16(udp + 4, (unsigned)(size + 8));
	put16(udp + 6, 0);
	pseudo[1] = PROTOCOL_UDP;
	put16(pseudo + 2, (unsigned)(size + 8));
	sum = packet_sum(payload_sum, pseudo, 4);
	sum = packet_sum(sum, ends->from.ip, ip_size);
	sum = packet_sum(sum, ends->to.ip, ip_size);
	sum = packet_sum(sum, udp, 8);
	put_checksum(udp + 6, sum);
	if (udp[6] == 0 && udp[7] == 0)
		udp[6] = udp[7] = 0xff; /* RFC 768: 0 would mean that there is no checksum */
	return (size_t)(udp + 8 - headers);
}
