/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/sides.h"

#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/memory.h"
#include "base/verdict.h"
#include "capture/decode.h"
#include "report/index.h"

#define LINK_ETHERNET 1
#define ETHERNET_HEADER 14
#define SENDERS_MAX 64 /* senders of equal bytes that are kept */

struct sides {
	struct sides_ends *all;
	size_t count;
	struct index by_device, by_port;
	struct index came[WAYS]; /* hash of bytes that arrived: up to the first sender, down to 0 */
	struct sender {
		uint32_t device, next; /* next sender of equal bytes; INDEX_NONE: none */
	} * senders;
	size_t sender_count;
	bool is_paired;
};

static enum party party_of(const uint8_t *mac)
{
	static const uint8_t head[5] = {2, 0, 0, 0, 0}; /* capture/packet.h: 1 device, 2 proxy, 3 cloud */

	return memcmp(mac, head, sizeof(head)) == 0 && mac[5] <= PARTY_IS_CLOUD ? (enum party)mac[5]
	                                                                        : PARTY_NONE;
}

void sides_parties(const struct saved_packet *packet, enum party *from, enum party *to)
{
	bool is_ethernet = packet->link_type == LINK_ETHERNET && packet->size >= ETHERNET_HEADER;

	*from = is_ethernet ? party_of(packet->bytes + 6) : PARTY_NONE;
	*to = is_ethernet ? party_of(packet->bytes) : PARTY_NONE;
}

static uint64_t bytes_key(const struct decoded *decoded)
{
	return chance_hash(decoded->size, decoded->payload, decoded->kept);
}

static uint64_t session_key(const struct address *device, const struct address *device_side)
{
	return address_hash(device) * 3 + address_hash(device_side);
}

/* Returns the index of the session of an arrival from a device; creates it if needed. */
static uint32_t get_session(struct sides *sides, const struct decoded *decoded)
{
	uint64_t key = session_key(&decoded->from, &decoded->to);
	uint32_t number = index_find(&sides->by_device, key);

	if (number != INDEX_NONE)
		return number;
	sides->all = memory_grow(sides->all, sides->count, sizeof(*sides->all));
	sides->all[sides->count] = (struct sides_ends){.device = decoded->from, .device_side = decoded->to};
	index_add(&sides->by_device, key, (uint32_t)sides->count);
	return (uint32_t)sides->count++;
}

/* Adds the device to the senders of these bytes, once. */
static void add_sender(struct sides *sides, uint64_t key, uint32_t device)
{
	uint32_t first = index_find(&sides->came[WAY_UP], key), last = INDEX_NONE, count = 0;

	for (uint32_t i = first; i != INDEX_NONE; last = i, i = sides->senders[i].next)
		if (sides->senders[i].device == device || ++count == SENDERS_MAX)
			return;
	sides->senders = memory_grow(sides->senders, sides->sender_count, sizeof(*sides->senders));
	sides->senders[sides->sender_count] = (struct sender){device, INDEX_NONE};
	if (first == INDEX_NONE)
		index_add(&sides->came[WAY_UP], key, (uint32_t)sides->sender_count);
	else
		sides->senders[last].next = (uint32_t)sides->sender_count;
	sides->sender_count++;
}

/* Returns the first sender of these bytes that has no port towards the cloud yet; if all have one, the first
 * sender. */
static uint32_t find_sender(const struct sides *sides, uint64_t key)
{
	uint32_t first = index_find(&sides->came[WAY_UP], key);

	for (uint32_t i = first; i != INDEX_NONE; i = sides->senders[i].next)
		if (!sides->all[sides->senders[i].device].cloud_side.family)
			return sides->senders[i].device;
	return first == INDEX_NONE ? INDEX_NONE : sides->senders[first].device;
}

/* Handles a departure to the cloud. The first one from a port assigns the port to the sender of its bytes. */
static void note_departure(struct sides *sides, const struct decoded *decoded)
{
	uint32_t number = find_sender(sides, bytes_key(decoded));

	if (number == INDEX_NONE)
		return;
	sides->is_paired = true;
	if (index_find(&sides->by_port, address_hash(&decoded->from)) != INDEX_NONE)
		return;
	index_add(&sides->by_port, address_hash(&decoded->from), number);
	sides->all[number].cloud_side = decoded->from;
	sides->all[number].cloud = decoded->to;
}

/* Returns false if the packet is not one that deadzone would write. */
static bool learn_packet(struct sides *sides, struct reader *reader, const struct reader_packet *packet)
{
	struct decoded decoded;
	enum party from, to;

	sides_parties(&packet->saved, &from, &to);
	if (from == PARTY_IS_PROXY && to == PARTY_IS_PROXY)
		return true; /* an event of deadzone, in a file converted from pcapng */
	if ((from == PARTY_IS_PROXY) == (to == PARTY_IS_PROXY) || !from || !to ||
	    reader_decode(reader, packet, &decoded) != DECODE_UDP)
		return false;
	if (from == PARTY_IS_DEVICE)
		add_sender(sides, bytes_key(&decoded), get_session(sides, &decoded));
	else if (from == PARTY_IS_CLOUD &&
	         index_find(&sides->came[WAY_DOWN], bytes_key(&decoded)) == INDEX_NONE)
		index_add(&sides->came[WAY_DOWN], bytes_key(&decoded), 0);
	else if (from == PARTY_IS_CLOUD)
		return true;
	else if (to == PARTY_IS_CLOUD)
		note_departure(sides, &decoded);
	else
		sides->is_paired |= index_find(&sides->came[WAY_DOWN], bytes_key(&decoded)) != INDEX_NONE;
	return true;
}

struct sides *sides_new(struct inputs *inputs)
{
	struct error error;
	struct reader *reader = reader_open(inputs, &error);
	struct sides *sides = memory_new(1, sizeof(*sides));
	struct reader_packet packet;
	bool is_ours = reader != NULL;

	while (is_ours && reader_next(reader, &packet))
		is_ours = learn_packet(sides, reader, &packet);
	if (reader)
		reader_close(reader);
	if (is_ours && sides->is_paired)
		return sides;
	sides_free(sides);
	return NULL;
}

void sides_free(struct sides *sides)
{
	if (!sides)
		return;
	free(sides->all);
	free(sides->senders);
	index_free(&sides->by_device);
	index_free(&sides->by_port);
	for (int way = 0; way < WAYS; way++)
		index_free(&sides->came[way]);
	free(sides);
}

static const struct sides_ends *find_ends(const struct sides *sides, const struct index *index, uint64_t key)
{
	uint32_t number = index_find(index, key);

	return number == INDEX_NONE ? NULL : &sides->all[number];
}

const struct sides_ends *sides_of_device(
    const struct sides *sides, const struct address *device, const struct address *device_side)
{
	return find_ends(sides, &sides->by_device, session_key(device, device_side));
}

const struct sides_ends *sides_of_port(const struct sides *sides, const struct address *cloud_side)
{
	return find_ends(sides, &sides->by_port, address_hash(cloud_side));
}

size_t sides_count(const struct sides *sides)
{
	return sides->count;
}

const struct sides_ends *sides_at(const struct sides *sides, size_t index)
{
	return &sides->all[index];
}
