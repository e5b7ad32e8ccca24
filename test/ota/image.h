/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image: a firmware image in chunks, which of them have arrived, and its sums.
 *
 * The cloud reads one from a file; the device makes an empty one and puts chunks in. The last chunk of the
 * old protocol is padded to full size on the wire, so a chunk's bytes beyond the image's end are cut off
 * here.
 */
#ifndef OTA_IMAGE_H
#define OTA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_SHA256_SIZE 32

struct image {
	uint8_t *bytes;
	size_t size, chunk_size, count; /* count of chunks */
	bool *held;
	size_t held_count;
};

int image_read(struct image *image, const char *path, size_t chunk_size); /* 0 or -1; all is held */
void image_init(struct image *image, size_t size, size_t chunk_size);     /* nothing is held */
void image_fini(struct image *image);

/* Puts a chunk in. Returns whether it was new. */
bool image_put(struct image *image, size_t index, const uint8_t *bytes, size_t size);
/* Copies a chunk out, padded with zeroes; returns how many of its bytes are the image's. */
size_t image_get(const struct image *image, size_t index, uint8_t *bytes);
/* Returns the first missing chunk from `index` on, or count. */
size_t image_missing(const struct image *image, size_t index);

void image_sha256(const struct image *image, uint8_t sum[IMAGE_SHA256_SIZE]);
void image_hex(const uint8_t *bytes, size_t size, char *text); /* text has room for 2 * size + 1 */
uint32_t image_crc32(const uint8_t *bytes, size_t size);       /* IEEE 802.3, like zlib's */

#endif
