/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/hosts.h"

#include <stdlib.h>
#include <string.h>

#include "capture/pcapng.h"

#define SLOT_COUNT (4 * HOSTS_MAX)
#define RECORD_END 0
#define RECORD_IPV4 1
#define RECORD_IPV6 2

void hosts_free(struct hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++)
		free(hosts->all[i].name);
	free(hosts->all);
	free(hosts->slots);
	*hosts = (struct hosts){0};
}

static size_t hash_host(const struct address *address, const char *name, size_t size)
{
	uint64_t hash = address_hash(address);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3); /* the prime of FNV-1a */
	return (size_t)(hash ^ hash >> 32) % SLOT_COUNT;
}

static bool is_same_host(
    const struct host *host, const struct address *address, const char *name, size_t size)
{
	return address_same_host(&host->address, address) && strlen(host->name) == size &&
	       memcmp(host->name, name, size) == 0;
}

bool hosts_add(struct hosts *hosts, const struct address *address, const char *name, size_t size)
{
	struct address host = *address;
	size_t slot;

	host.port = 0;
	if (!hosts->all) {
		hosts->all = calloc(HOSTS_MAX, sizeof(*hosts->all));
		hosts->slots = hosts->all ? calloc(SLOT_COUNT, sizeof(*hosts->slots)) : NULL;
		if (!hosts->slots) {
			free(hosts->all);
			hosts->all = NULL;
			hosts->out_of_memory = true;
			return false;
		}
	}
	if (!size || size > HOST_NAME_MAX_SIZE || hosts->count == HOSTS_MAX)
		return false;
	for (slot = hash_host(&host, name, size); hosts->slots[slot]; slot = (slot + 1) % SLOT_COUNT)
		if (is_same_host(&hosts->all[hosts->slots[slot] - 1], &host, name, size))
			return false;
	hosts->all[hosts->count] = (struct host){host, strndup(name, size)};
	if (!hosts->all[hosts->count].name) {
		hosts->out_of_memory = true;
		return false;
	}
	hosts->slots[slot] = ++hosts->count;
	return true;
}

static void add_record(struct text *out, uint16_t type, const void *ip, size_t ip_size, const char *name)
{
	uint16_t head[2] = {type, (uint16_t)(ip_size + (name ? strlen(name) + 1 : 0))};

	text_add_bytes(out, head, sizeof(head));
	if (ip_size)
		text_add_bytes(out, ip, ip_size);
	if (name)
		text_add_bytes(out, name, strlen(name) + 1);
	pcapng_pad(out);
}

void hosts_block(const struct hosts *hosts, size_t first, struct text *out)
{
	size_t start;

	if (first >= hosts->count)
		return;
	start = pcapng_begin(out, PCAPNG_NAMES);
	for (size_t i = first; i < hosts->count; i++) {
		const struct host *host = &hosts->all[i];

		add_record(out, host->address.family == FAMILY_IPV6 ? RECORD_IPV6 : RECORD_IPV4,
		    host->address.ip, address_ip_size(&host->address), host->name);
	}
	add_record(out, RECORD_END, NULL, 0, NULL);
	pcapng_end(out, start);
}
