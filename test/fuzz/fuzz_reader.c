/*
 * fuzz_reader: capture files from strangers, and the packets in them, read to the end.
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

static void packet_check(const struct reader_packet *packet, size_t file_size)
{
	uint8_t *bytes = malloc(packet->size); /* exactly so many: a step past the end is seen */
	struct decoded decoded;

	assert(packet->size <= file_size && packet->size <= packet->original + file_size);
	assert(strlen(packet->comment) < READER_COMMENT_ROOM);
	assert(strlen(packet->interface) < READER_NAME_ROOM);
	assert(bytes || !packet->size);
	if (packet->size)
		memcpy(bytes, packet->bytes, packet->size);
	if (decode_packet(packet->link_type, bytes, packet->size, &decoded) == DECODE_UDP) {
		assert(decoded.kept <= decoded.size && decoded.size <= 65527);
		assert(decoded.payload >= bytes && decoded.payload + decoded.kept <= bytes + packet->size);
		assert(decoded.from.family == decoded.to.family && decoded.from.family != FAMILY_NONE);
	}
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader_packet packet;
	struct reader *reader;
	struct error error;
	uint64_t seed;

	reader = reader_open(file_of(data, size), &error);
	if (!reader) {
		assert(*error.text);
		return 0;
	}
	while (reader_next(reader, &packet, &error))
		packet_check(&packet, size);
	assert(strlen(error.text) < sizeof(error.text));
	(void)reader_was_cut(reader);
	(void)reader_seed(reader, &seed);
	(void)reader_is_ours(reader);
	reader_close(reader);
	return 0;
}
