/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries are sorted by key and searched by bisection. Sections without an address condition are in a list of
 * their own; of all candidates, the first in file order whose other conditions match is the session's.
 */
#include "rules/sections.h"

#include <stdlib.h>
#include <string.h>

#include "base/chance.h"

struct entry {
	uint64_t key;
	uint32_t device; /* index */
};

struct sections {
	const struct device *devices;
	struct entry *entries; /* sorted by key, then by device */
	size_t entry_count;
	uint32_t *anywhere; /* devices without an address condition */
	size_t anywhere_count;
	bool ipv4[33], ipv6[129]; /* prefix lengths that occur */
};

static uint64_t pattern_key(const struct address *address, unsigned bits, uint16_t port)
{
	struct {
		uint8_t ip[16];
		uint16_t family, port;
		uint32_t bits;
	} whole = {.family = address->family, .port = port, .bits = bits};

	memcpy(whole.ip, address->ip, sizeof(whole.ip));
	for (unsigned i = 0; i < sizeof(whole.ip); i++) {
		unsigned kept = bits > 8 * i ? bits - 8 * i : 0;

		whole.ip[i] &= (uint8_t)(kept >= 8 ? 0xff : 0xff00u >> kept);
	}
	return chance_hash(0, &whole, sizeof(whole));
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->device < y->device ? -1 : x->device > y->device;
}

struct sections *sections_new(struct arena *arena, const struct device *devices, size_t count)
{
	struct sections *sections = arena_get(arena, sizeof(*sections));
	size_t patterns = 0;

	sections->devices = devices;
	for (size_t i = 0; i < count; i++)
		patterns += devices[i].address.count;
	sections->entries = arena_get(arena, (patterns + 1) * sizeof(*sections->entries));
	sections->anywhere = arena_get(arena, (count + 1) * sizeof(*sections->anywhere));
	for (size_t i = 0; i < count; i++) {
		const struct patterns *address = &devices[i].address;

		if (!address->count)
			sections->anywhere[sections->anywhere_count++] = (uint32_t)i;
		for (size_t k = 0; k < address->count; k++) {
			const struct address_pattern *pattern = &address->all[k];
			bool *lengths = pattern->address.family == FAMILY_IPV6 ? sections->ipv6
			                                                       : sections->ipv4;

			lengths[pattern->bits] = true;
			sections->entries[sections->entry_count++] = (struct entry){
			    pattern_key(&pattern->address, pattern->bits, pattern->port), (uint32_t)i};
		}
	}
	if (sections->entry_count)
		qsort(sections->entries, sections->entry_count, sizeof(*sections->entries), compare_entries);
	return sections;
}

/* Tests whether a candidate section fits `query`. */
typedef bool section_test(const struct device *candidate, const void *query);

/* Lowers *best to the first section under `key` that passes the test, if that is below it. */
static void search_key(
    const struct sections *sections, uint64_t key, section_test *test, const void *query, size_t *best)
{
	size_t low = 0, high = sections->entry_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sections->entries[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < sections->entry_count && sections->entries[low].key == key; low++) {
		size_t device = sections->entries[low].device;

		if (device >= *best)
			return;
		if (test(&sections->devices[device], query)) {
			*best = device;
			return;
		}
	}
}

/* Returns the first section below `best` that passes the test, or `best`. Candidates are the sections without
 * an address and those with a pattern that covers the first `bits` of `address`. */
static size_t search(const struct sections *sections, const struct address *address, unsigned bits,
    uint16_t port, section_test *test, const void *query, size_t best)
{
	const bool *lengths = address->family == FAMILY_IPV6 ? sections->ipv6 : sections->ipv4;

	for (size_t i = 0; i < sections->anywhere_count && sections->anywhere[i] < best; i++)
		if (test(&sections->devices[sections->anywhere[i]], query))
			best = sections->anywhere[i];
	for (unsigned length = 0; address->family && length <= bits; length++) {
		if (!lengths[length])
			continue;
		search_key(sections, pattern_key(address, length, 0), test, query, &best);
		if (port)
			search_key(sections, pattern_key(address, length, port), test, query, &best);
	}
	return best;
}

/* ---- The section of an address ---- */

static bool address_among(const struct addresses *all, const struct address *address)
{
	for (size_t i = 0; i < all->count; i++)
		if (address_equal(&all->all[i], address))
			return true;
	return false;
}

struct endpoints {
	const struct address *device;
	const struct entrance *entrance;
};

/* A destination that is not known matches no condition. */
static bool destination_matches(const struct patterns *patterns, const struct address *destination)
{
	return !patterns->count || (destination->family && patterns_match(patterns, destination));
}

static bool section_matches(const struct device *candidate, const void *query)
{
	const struct endpoints *endpoints = query;

	return (!candidate->listener.count ||
	           address_among(&candidate->listener, &endpoints->entrance->listener)) &&
	       destination_matches(&candidate->destination, &endpoints->entrance->destination) &&
	       patterns_match(&candidate->address, endpoints->device);
}

const struct device *sections_find(
    const struct sections *sections, const struct address *device, const struct entrance *entrance)
{
	struct endpoints endpoints = {device, entrance};
	size_t found = search(sections, device, (unsigned)address_ip_size(device) * 8, device->port,
	    section_matches, &endpoints, SIZE_MAX);

	return found == SIZE_MAX ? NULL : &sections->devices[found];
}

/* ---- The section that shadows another one ---- */

static bool pattern_covered(const struct patterns *outer, const struct address_pattern *inner)
{
	for (size_t i = 0; i < outer->count; i++)
		if (address_pattern_covers(&outer->all[i], inner))
			return true;
	return false;
}

static bool patterns_cover(const struct patterns *outer, const struct patterns *inner)
{
	bool covered = !outer->count || inner->count;

	for (size_t i = 0; outer->count && covered && i < inner->count; i++)
		covered = pattern_covered(outer, &inner->all[i]);
	return covered;
}

/* Returns whether `candidate` matches all sessions of the section `query`. A condition without values matches
 * everything. */
static bool section_covers(const struct device *candidate, const void *query)
{
	const struct device *device = query;
	bool covered = patterns_cover(&candidate->address, &device->address) &&
	               patterns_cover(&candidate->destination, &device->destination) &&
	               (!candidate->listener.count || device->listener.count);

	for (size_t i = 0; candidate->listener.count && covered && i < device->listener.count; i++)
		covered = address_among(&candidate->listener, &device->listener.all[i]);
	return covered;
}

const struct device *sections_shadow(const struct sections *sections, const struct device *device)
{
	static const struct address_pattern none;
	const struct address_pattern *first = device->address.count ? &device->address.all[0] : &none;
	size_t self = (size_t)(device - sections->devices);
	size_t found = search(
	    sections, &first->address, first->bits, first->port, section_covers, device, self);

	return found == self ? NULL : &sections->devices[found];
}
