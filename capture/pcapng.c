/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/pcapng.h"

#include <string.h>

#define OPTION_MAX 65535 /* bytes */

void pcapng_add32(struct text *out, uint32_t value)
{
	text_add_bytes(out, &value, 4);
}

void pcapng_add_time(struct text *out, ns_t at)
{
	pcapng_add32(out, (uint32_t)((uint64_t)at >> 32));
	pcapng_add32(out, (uint32_t)at);
}

void pcapng_pad(struct text *out)
{
	static const char zero[4];

	text_add_bytes(out, zero, (4 - out->size % 4) % 4);
}

size_t pcapng_begin(struct text *out, uint32_t type)
{
	size_t start = out->size;

	pcapng_add32(out, type);
	pcapng_add32(out, 0); /* total length, set by pcapng_end */
	return start;
}

void pcapng_end(struct text *out, size_t start)
{
	uint32_t size = (uint32_t)(out->size - start) + 4;

	pcapng_add32(out, size);
	if (out->failed)
		return;
	memcpy(out->at + start + 4, &size, 4);
}

size_t pcapng_option_begin(struct text *out, uint16_t code)
{
	const uint16_t head[2] = {code, 0}; /* the length is set by pcapng_option_end */

	text_add_bytes(out, head, 4);
	return out->size;
}

void pcapng_option_end(struct text *out, size_t start)
{
	size_t whole = out->size - start;
	uint16_t size = (uint16_t)(whole < OPTION_MAX ? whole : OPTION_MAX);

	if (out->failed)
		return;
	out->size = start + size;
	memcpy(out->at + start - 2, &size, 2);
	pcapng_pad(out);
}

void pcapng_option(struct text *out, uint16_t code, const void *value, size_t size)
{
	size_t start = pcapng_option_begin(out, code);

	text_add_bytes(out, value, size);
	pcapng_option_end(out, start);
}

void pcapng_option_text(struct text *out, uint16_t code, const char *value)
{
	pcapng_option(out, code, value, strlen(value));
}

void pcapng_comment(struct text *out, const struct text *text)
{
	const char *comment = text->size ? text->at : "";
	size_t left = text->size;

	out->failed |= text->failed;
	do {
		size_t part_size = text_whole_characters(comment, left, OPTION_MAX);

		pcapng_option(out, PCAPNG_COMMENT, comment, part_size);
		comment += part_size;
		left -= part_size;
	} while (left);
}

size_t pcapng_packet_begin(struct text *out, const struct pcapng_packet *packet)
{
	size_t start = pcapng_begin(out, PCAPNG_PACKET);

	pcapng_add32(out, packet->interface);
	pcapng_add_time(out, packet->at);
	pcapng_add32(out, (uint32_t)(packet->header_size + packet->payload_size));
	pcapng_add32(out, (uint32_t)(packet->header_size + packet->original));
	text_add_bytes(out, packet->headers, packet->header_size);
	text_add_bytes(out, packet->payload, packet->payload_size);
	pcapng_pad(out);
	return start;
}
