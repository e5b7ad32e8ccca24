/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/fragments.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define DATAGRAM_SIZE 65536
#define UNIT 8 /* bytes; fragment offsets are in these units (RFC 791) */
#define UNITS (DATAGRAM_SIZE / UNIT)

struct assembly {
	uint8_t key[FRAGMENTS_KEY_SIZE];
	uint64_t opened; /* ordinal of opening; 0: free */
	size_t size;     /* of the whole datagram; 0: its last fragment has not arrived */
	size_t covered;  /* number of units that have arrived */
	unsigned packets;
	size_t cut_at;            /* bytes from here on are missing, because the capture cut a fragment */
	uint64_t has[UNITS / 64]; /* bitmap of units that have arrived */
	uint8_t *bytes;           /* DATAGRAM_SIZE bytes */
};

struct fragments {
	struct assembly all[FRAGMENTS_OPEN_MAX];
	uint8_t *whole; /* bytes of the last complete datagram */
	uint64_t count;
};

struct fragments *fragments_new(void)
{
	return memory_new(1, sizeof(struct fragments));
}

void fragments_free(struct fragments *fragments)
{
	if (!fragments)
		return;
	for (size_t i = 0; i < FRAGMENTS_OPEN_MAX; i++)
		free(fragments->all[i].bytes);
	free(fragments->whole);
	free(fragments);
}

/* Returns the assembly with this key; if there is none, a new one, in a free place or in that of the
 * oldest. */
static struct assembly *find_or_open(struct fragments *fragments, const uint8_t *key)
{
	struct assembly *oldest = &fragments->all[0];
	uint8_t *bytes;

	for (size_t i = 0; i < FRAGMENTS_OPEN_MAX; i++) {
		struct assembly *assembly = &fragments->all[i];

		if (assembly->opened && memcmp(assembly->key, key, FRAGMENTS_KEY_SIZE) == 0)
			return assembly;
		if (assembly->opened < oldest->opened)
			oldest = assembly;
	}
	bytes = oldest->bytes ? oldest->bytes : memory_malloc(DATAGRAM_SIZE);
	*oldest = (struct assembly){.opened = ++fragments->count, .cut_at = DATAGRAM_SIZE, .bytes = bytes};
	memcpy(oldest->key, key, FRAGMENTS_KEY_SIZE);
	return oldest;
}

/* Copies the units of a fragment that have not arrived before. */
static void copy_units(struct assembly *assembly, const struct fragment *fragment)
{
	for (size_t at = 0; at < fragment->size; at += UNIT) {
		size_t unit = (fragment->offset + at) / UNIT;
		size_t kept = at < fragment->kept ? fragment->kept - at : 0;
		size_t whole = fragment->size - at < UNIT ? fragment->size - at : UNIT;

		if (assembly->has[unit / 64] >> (unit % 64) & 1)
			continue;
		assembly->has[unit / 64] |= UINT64_C(1) << (unit % 64);
		assembly->covered++;
		memcpy(assembly->bytes + unit * UNIT, fragment->bytes + at, kept < whole ? kept : whole);
		if (kept < whole && unit * UNIT + kept < assembly->cut_at)
			assembly->cut_at = unit * UNIT + kept;
	}
}

/* Returns true if every unit has arrived. `covered` alone does not tell: it may count units beyond the
 * end. */
static bool is_whole(const struct assembly *assembly)
{
	size_t units = (assembly->size + UNIT - 1) / UNIT;

	if (!assembly->size || assembly->covered < units)
		return false;
	for (size_t unit = 0; unit < units; unit++)
		if (!(assembly->has[unit / 64] >> (unit % 64) & 1))
			return false;
	return true;
}

bool fragments_add(
    struct fragments *fragments, const struct fragment *fragment, struct fragments_whole *whole)
{
	struct assembly *assembly;

	if (!fragment->size || fragment->offset + fragment->size > DATAGRAM_SIZE ||
	    (!fragment->is_last && fragment->size % UNIT))
		return false;
	assembly = find_or_open(fragments, fragment->key);
	/* Two last fragments with different ends: the first one is used. */
	if (fragment->is_last && assembly->size && fragment->offset + fragment->size != assembly->size)
		return false;
	assembly->packets += fragment->packets;
	copy_units(assembly, fragment);
	if (fragment->is_last && !assembly->size)
		assembly->size = fragment->offset + fragment->size;
	if (!is_whole(assembly))
		return false;
	*whole = (struct fragments_whole){.bytes = assembly->bytes,
	    .kept = assembly->cut_at < assembly->size ? assembly->cut_at : assembly->size,
	    .packets = assembly->packets};
	/* With tunnels, the next fragment may be part of this datagram, so its memory is not reused yet. */
	assembly->bytes = fragments->whole;
	fragments->whole = (uint8_t *)whole->bytes;
	assembly->opened = 0;
	return true;
}
