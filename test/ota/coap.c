/* SPDX-License-Identifier: BSD-2-Clause */
#include "coap.h"

#include <assert.h>
#include <string.h>

#define VERSION 1
#define PAYLOAD_MARKER 0xFF
#define ONE_BYTE_FROM 13 /* a nibble of 13: one more byte, 14: two more */
#define TWO_BYTES_FROM 269

void coap_add(struct coap_message *message, enum coap_option_number number, const void *value, size_t size)
{
	assert(message->option_count < COAP_OPTIONS_MAX);
	message->options[message->option_count++] = (struct coap_option){number, size, value};
}

void coap_add_number(
    struct coap_message *message, enum coap_option_number number, uint32_t value, uint8_t room[4])
{
	size_t size = 0;

	for (int shift = 24; shift >= 0; shift -= 8)
		if (size || value >> shift)
			room[size++] = (uint8_t)(value >> shift);
	coap_add(message, number, room, size);
}

/* Returns the nibble for a delta or length, and appends the bytes that extend it. */
static unsigned put_nibble(size_t value, uint8_t *bytes, size_t *at)
{
	if (value < ONE_BYTE_FROM)
		return (unsigned)value;
	if (value < TWO_BYTES_FROM) {
		bytes[(*at)++] = (uint8_t)(value - ONE_BYTE_FROM);
		return 13;
	}
	bytes[(*at)++] = (uint8_t)((value - TWO_BYTES_FROM) >> 8);
	bytes[(*at)++] = (uint8_t)(value - TWO_BYTES_FROM);
	return 14;
}

size_t coap_encode(const struct coap_message *message, uint8_t bytes[COAP_SIZE_MAX])
{
	size_t at = 4;
	unsigned before = 0;

	assert(message->token_size <= COAP_TOKEN_MAX && message->payload_size < COAP_SIZE_MAX - 100);
	bytes[0] = (uint8_t)(VERSION << 6 | (unsigned)message->type << 4 | (unsigned)message->token_size);
	bytes[1] = message->code;
	bytes[2] = (uint8_t)(message->id >> 8);
	bytes[3] = (uint8_t)message->id;
	memcpy(bytes + at, message->token, message->token_size);
	at += message->token_size;
	for (size_t i = 0; i < message->option_count; i++) {
		const struct coap_option *option = &message->options[i];
		size_t head = at++;
		unsigned delta = put_nibble(option->number - before, bytes, &at);

		bytes[head] = (uint8_t)(delta << 4 | put_nibble(option->size, bytes, &at));
		memcpy(bytes + at, option->value, option->size);
		at += option->size;
		before = option->number;
	}
	if (message->payload) {
		bytes[at++] = PAYLOAD_MARKER;
		memcpy(bytes + at, message->payload, message->payload_size);
		at += message->payload_size;
	}
	return at;
}

static int take_nibble(unsigned nibble, const uint8_t *bytes, size_t size, size_t *at, size_t *value)
{
	size_t more = nibble == 13 ? 1 : nibble == 14 ? 2 : 0;

	if (nibble == 15 || size - *at < more)
		return -1;
	*value = nibble;
	if (more == 1)
		*value = ONE_BYTE_FROM + (size_t)bytes[*at];
	if (more == 2)
		*value = TWO_BYTES_FROM + ((size_t)bytes[*at] << 8 | bytes[*at + 1]);
	*at += more;
	return 0;
}

int coap_decode(struct coap_message *message, const uint8_t *bytes, size_t size)
{
	size_t at = 4, number = 0, delta, length;

	memset(message, 0, sizeof(*message));
	if (size < 4 || bytes[0] >> 6 != VERSION)
		return -1;
	message->type = (enum coap_type)(bytes[0] >> 4 & 3);
	message->token_size = bytes[0] & 15;
	message->code = bytes[1];
	message->id = (uint16_t)(bytes[2] << 8 | bytes[3]);
	if (message->token_size > COAP_TOKEN_MAX || size - at < message->token_size)
		return -1;
	memcpy(message->token, bytes + at, message->token_size);
	at += message->token_size;
	while (at < size && bytes[at] != PAYLOAD_MARKER) {
		uint8_t head = bytes[at++];

		if (take_nibble(head >> 4, bytes, size, &at, &delta) ||
		    take_nibble(head & 15, bytes, size, &at, &length) || size - at < length ||
		    message->option_count == COAP_OPTIONS_MAX)
			return -1;
		number += delta;
		message->options[message->option_count++] = (struct coap_option){
		    (unsigned)number, length, bytes + at};
		at += length;
	}
	if (at < size) {
		message->payload = bytes + at + 1;
		message->payload_size = size - at - 1;
	}
	return 0;
}

const struct coap_option *coap_option_find(
    const struct coap_message *message, enum coap_option_number number, size_t nth)
{
	for (size_t i = 0; i < message->option_count; i++)
		if (message->options[i].number == number && nth-- == 0)
			return &message->options[i];
	return NULL;
}

uint32_t coap_number(const struct coap_option *option)
{
	uint32_t value = 0;

	for (size_t i = 0; option && i < option->size; i++)
		value = value << 8 | option->value[i];
	return value;
}

char coap_path(const struct coap_message *message)
{
	const struct coap_option *path = coap_option_find(message, COAP_URI_PATH, 0);

	return path && path->size == 1 ? (char)path->value[0] : 0;
}

struct coap_message coap_ack(const struct coap_message *like, enum coap_code code)
{
	struct coap_message ack = {.type = COAP_ACK, .code = (uint8_t)code, .id = like->id};

	if (code != COAP_EMPTY) {
		ack.token_size = like->token_size;
		memcpy(ack.token, like->token, sizeof(ack.token));
	}
	return ack;
}

struct coap_message coap_request(enum coap_type type, enum coap_code code, const char *path)
{
	struct coap_message request = {.type = type, .code = (uint8_t)code};

	coap_add(&request, COAP_URI_PATH, path, 1);
	return request;
}
