/* SPDX-License-Identifier: BSD-2-Clause */
#include "image.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/sha256.h>

#define CRC32_POLYNOMIAL 0xEDB88320u

static void *get_memory(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	if (!memory)
		abort();
	return memory;
}

void image_init(struct image *image, size_t size, size_t chunk_size)
{
	assert(chunk_size > 0);
	image_fini(image);
	*image = (struct image){
	    .size = size, .chunk_size = chunk_size, .count = (size + chunk_size - 1) / chunk_size};
	image->bytes = get_memory(size, 1);
	image->held = get_memory(image->count, sizeof(*image->held));
}

void image_fini(struct image *image)
{
	free(image->bytes);
	free(image->held);
	memset(image, 0, sizeof(*image));
}

int image_read(struct image *image, const char *path, size_t chunk_size)
{
	FILE *file = fopen(path, "rb");
	long size;
	size_t got;

	if (!file)
		return -1;
	if (fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET)) {
		fclose(file);
		return -1;
	}
	image_init(image, (size_t)size, chunk_size);
	got = fread(image->bytes, 1, image->size, file);
	fclose(file);
	for (size_t i = 0; i < image->count; i++)
		image->held[i] = true;
	image->held_count = image->count;
	return got == image->size ? 0 : -1;
}

static size_t chunk_bytes(const struct image *image, size_t index)
{
	size_t left = image->size - index * image->chunk_size;

	return left < image->chunk_size ? left : image->chunk_size;
}

bool image_put(struct image *image, size_t index, const uint8_t *bytes, size_t size)
{
	size_t wanted;

	if (index >= image->count)
		return false;
	wanted = chunk_bytes(image, index);
	if (size < wanted || image->held[index])
		return false;
	memcpy(image->bytes + index * image->chunk_size, bytes, wanted);
	image->held[index] = true;
	image->held_count++;
	return true;
}

size_t image_get(const struct image *image, size_t index, uint8_t *bytes)
{
	size_t size = chunk_bytes(image, index);

	memset(bytes, 0, image->chunk_size);
	memcpy(bytes, image->bytes + index * image->chunk_size, size);
	return size;
}

size_t image_missing(const struct image *image, size_t index)
{
	while (index < image->count && image->held[index])
		index++;
	return index;
}

void image_sha256(const struct image *image, uint8_t sum[IMAGE_SHA256_SIZE])
{
	if (mbedtls_sha256_ret(image->bytes, image->size, sum, 0))
		abort();
}

void image_hex(const uint8_t *bytes, size_t size, char *text)
{
	for (size_t i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

uint32_t image_crc32(const uint8_t *bytes, size_t size)
{
	uint32_t sum = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		sum ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (sum & 1 ? CRC32_POLYNOMIAL : 0);
	}
	return ~sum;
}
