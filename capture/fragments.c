/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/fragments.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define DATAGRAM_SIZE 65536
#define UNIT 8 /* offsets count in these (RFC 791) */
#define UNITS (DATAGRAM_SIZE / UNIT)

struct assembly {
	uint8_t key[FRAGMENTS_KEY_SIZE];
	uint64_t begun; /* in order of opening; 0: free */
	size_t size;    /* of the whole; 0: its last fragment has not come */
	size_t covered; /* units */
	unsigned packets;
	size_t cut_at; /* the capture cut a fragment: bytes from here on are not known */
	uint64_t has[UNITS / 64];
	uint8_t *bytes; /* DATAGRAM_SIZE of them */
};

struct fragments {
	struct assembly all[FRAGMENTS_OPEN_MAX];
	uint8_t *whole; /* of the last datagram that became whole */
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

/* The assembly of this key; if there is none, a new one in a free place or in that of the oldest. */
static struct assembly *assembly_of(struct fragments *fragments, const uint8_t *key)
{
	struct assembly *oldest = &fragments->all[0];
	uint8_t *bytes;

	for (size_t i = 0; i < FRAGMENTS_OPEN_MAX; i++) {
		struct assembly *assembly = &fragments->all[i];

		if (assembly->begun && memcmp(assembly->key, key, FRAGMENTS_KEY_SIZE) == 0)
			return assembly;
		if (assembly->begun < oldest->begun)
			oldest = assembly;
	}
	bytes = oldest->bytes ? oldest->bytes : memory_get(DATAGRAM_SIZE);
	*oldest = (struct assembly){.begun = ++fragments->count, .cut_at = DATAGRAM_SIZE, .bytes = bytes};
	memcpy(oldest->key, key, FRAGMENTS_KEY_SIZE);
	return oldest;
}

static void take(struct assembly *assembly, const struct fragment *fragment)
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

/* `covered` may count units behind the end. */
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
	assembly = assembly_of(fragments, fragment->key);
	/* Which end is right cannot be told: the first one stays. */
	if (fragment->is_last && assembly->size && fragment->offset + fragment->size != assembly->size)
		return false;
	assembly->packets += fragment->packets;
	take(assembly, fragment);
	if (fragment->is_last && !assembly->size)
		assembly->size = fragment->offset + fragment->size;
	if (!is_whole(assembly))
		return false;
	*whole = (struct fragments_whole){.bytes = assembly->bytes,
	    .kept = assembly->cut_at < assembly->size ? assembly->cut_at : assembly->size,
	    .packets = assembly->packets};
	/* A fragment may come out of the last whole one, through a tunnel: that memory is not reused yet. */
	assembly->bytes = fragments->whole;
	fragments->whole = (uint8_t *)whole->bytes;
	assembly->begun = 0;
	return true;
}
