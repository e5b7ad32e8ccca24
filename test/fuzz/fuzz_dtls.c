/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_dtls: parses untrusted datagrams, one after the other in one session. Whatever they hold, a peek stays
 * inside them, ends, and agrees with a walk over their records.
 *
 * An input is a sequence of datagrams: a byte (bit 0 is the way, bits 1-7 the high byte of the size), the low
 * byte of the size, and the bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rules/dtls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void record_check(const struct dtls_record *record, const uint8_t *bytes, size_t size)
{
	assert(record->body >= bytes && record->body_size <= size);
	assert(record->body + record->body_size <= bytes + size);
	if (record->cid_size)
		assert(record->cid >= bytes && record->cid + record->cid_size <= record->body);
	assert(record->type < 256 || record->type == DTLS_UNIFIED);
	assert(record->number == DTLS_NUMBER_HIDDEN || record->number < UINT64_C(1) << 48);
}

/* Checks and counts the records. Each takes at least a byte, so that the walk ends. */
static size_t walk(const struct dtls_session *session, enum way way, const uint8_t *bytes, size_t size,
    struct dtls_record *first)
{
	struct dtls_record record;
	struct dtls_walk walk;
	const uint8_t *before;
	size_t count = 0;

	dtls_walk(&walk, session, way, bytes, size);
	for (before = walk.at; dtls_next(&walk, &record); before = walk.at) {
		assert(walk.at > before && walk.at <= walk.end);
		record_check(&record, bytes, size);
		if (count++ == 0)
			*first = record;
	}
	return count;
}

static void look(struct dtls_session *session, enum way way, const uint8_t *bytes, size_t size)
{
	struct dtls_session before = *session;
	struct dtls_record first;
	struct dtls_peek peek;
	size_t count;

	dtls_parse(session, way, bytes, size, &peek);
	assert(peek.kinds < UINT32_C(1) << DTLS_KIND_COUNT);
	count = walk(&before, way, bytes, size, &first);
	assert((count == 0) == (peek.first.type == DTLS_NONE));
	assert((count == 0) == (peek.kinds == UINT32_C(1) << DTLS_KIND_NONE));
	if (count)
		assert(first.type == peek.first.type && first.body == peek.first.body);
	assert(!peek.message_count || peek.kinds & UINT32_C(1) << DTLS_KIND_HANDSHAKE);
	walk(session, way, bytes, size, &first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dtls_session session;

	dtls_init(&session);
	while (size >= 2) {
		size_t take = (size_t)(data[0] >> 1) << 8 | data[1];
		enum way way = data[0] & 1 ? WAY_DOWN : WAY_UP;
		uint8_t *bytes;

		data += 2;
		size -= 2;
		if (take > size)
			take = size;
		bytes = malloc(take); /* the exact size: a read past the end is caught */
		assert(bytes || !take);
		if (take)
			memcpy(bytes, data, take);
		look(&session, way, bytes, take);
		free(bytes);
		data += take;
		size -= take;
	}
	return 0;
}
