/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_reader: reads untrusted capture files, and the packets in them, to the end.
 *
 * An input is the file.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/comment.h"
#include "capture/decode.h"
#include "capture/reader.h"
#include "test/fuzz/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void packet_check(const struct saved_packet *packet, size_t file_size)
{
	uint8_t *bytes = malloc(packet->size); /* the exact size: a read past the end is caught */
	struct decoded decoded;

	assert(packet->size <= file_size && packet->size <= packet->original + file_size);
	assert(strlen(packet->comment) < SAVEFILE_COMMENT_SIZE);
	assert(strlen(packet->interface) < SAVEFILE_NAME_SIZE);
	assert(bytes || !packet->size);
	if (packet->size)
		memcpy(bytes, packet->bytes, packet->size);
	if (decode_packet(packet->link_type, bytes, packet->size, NULL, &decoded) == DECODE_UDP) {
		assert(decoded.kept <= decoded.size && decoded.size <= 65527);
		assert(decoded.payload >= bytes && decoded.payload + decoded.kept <= bytes + packet->size);
		assert(decoded.from.family == decoded.to.family && decoded.from.family != FAMILY_NONE);
	}
	free(bytes);
}

/* Returns whether the input is compressed: its packets may then be longer than the file. */
static bool packed(const uint8_t *data, size_t size)
{
	return size >= 2 && ((data[0] == 0x1f && data[1] == 0x8b) || (data[0] == 0x28 && data[1] == 0xb5));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = file_of(data, size);
	struct inputs *inputs;
	struct reader_packet packet;
	struct decoded decoded;
	struct reader *reader;
	struct error error;
	struct text notes = {0};
	uint64_t seed;
	ns_t latest = 0;

	inputs = inputs_open(&path, 1, &error);
	reader = inputs ? reader_open(inputs, &error) : NULL;
	if (!reader) {
		assert(*error.text);
		inputs_close(inputs);
		return 0;
	}
	while (reader_next(reader, &packet)) {
		assert(packet.saved.at >= 0 && (packet.saved.at >= latest || reader_is_ours(reader)));
		latest = packet.saved.at;
		packet_check(
		    &packet.saved, inputs_state(inputs, 0) || packed(data, size) ? SIZE_MAX / 2 : size);
		if (reader_decode(reader, &packet, &decoded) == DECODE_UDP)
			assert(decoded.kept <= decoded.size && decoded.size <= 65527);
	}
	(void)reader_was_cut(reader);
	(void)reader_seed(reader, &seed);
	reader_notes(reader, &notes);
	reader_count_others(reader, &notes);
	text_free(&notes);
	reader_close(reader);
	inputs_close(inputs);
	return 0;
}
