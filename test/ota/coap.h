/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coap: messages of RFC 7252, as far as Particle's two OTA protocols need them (test/ota/README.md 1.1 and
 * 2).
 *
 * A message is filled in (coap_add for options, in ascending order) and encoded, or decoded from
 * bytes; its options and payload point into memory that the caller keeps. Traffic never ends the process:
 * coap_decode returns -1 for malformed bytes.
 */
#ifndef OTA_COAP_H
#define OTA_COAP_H

#include <stddef.h>
#include <stdint.h>

enum coap_type { COAP_CON, COAP_NON, COAP_ACK, COAP_RST };

/* class and detail as encoded in the byte */
enum coap_code {
	COAP_EMPTY = 0x00,
	COAP_GET = 0x01,
	COAP_POST = 0x02,
	COAP_PUT = 0x03,
	COAP_CREATED = 0x41,
	COAP_CHANGED = 0x44,
	COAP_BAD_REQUEST = 0x80,
};

enum coap_option_number {
	COAP_URI_PATH = 11,
	COAP_URI_QUERY = 15,
	COAP_CHUNK_INDEX = 2049,
	COAP_WINDOW_SIZE = 2053,
	COAP_FILE_SIZE = 2057,
	COAP_FILE_SHA256 = 2061,
	COAP_CHUNK_SIZE = 2065,
};

#define COAP_OPTIONS_MAX 8
#define COAP_TOKEN_MAX 8
#define COAP_SIZE_MAX 1300 /* of a whole message; Device OS stays below 1152 */

struct coap_option {
	unsigned number;
	size_t size;
	const uint8_t *value;
};

struct coap_message {
	enum coap_type type;
	uint8_t code;
	uint16_t id;
	size_t token_size;
	uint8_t token[COAP_TOKEN_MAX];
	size_t option_count;
	struct coap_option options[COAP_OPTIONS_MAX];
	const uint8_t *payload; /* NULL: none, and no marker byte */
	size_t payload_size;
};

void coap_add(struct coap_message *message, enum coap_option_number number, const void *value, size_t size);
/* Adds a number in as few bytes as possible (none for 0), stored in `room`, which the caller keeps. */
void coap_add_number(
    struct coap_message *message, enum coap_option_number number, uint32_t value, uint8_t room[4]);

/* Returns the number of bytes, which must fit into COAP_SIZE_MAX. */
size_t coap_encode(const struct coap_message *message, uint8_t bytes[COAP_SIZE_MAX]);
int coap_decode(struct coap_message *message, const uint8_t *bytes, size_t size);

/* Returns the nth option (0 is the first) with this number, or NULL. */
const struct coap_option *coap_option_find(
    const struct coap_message *message, enum coap_option_number number, size_t nth);
uint32_t coap_number(const struct coap_option *option);
/* Returns the letter of a one-letter path, else 0. */
char coap_path(const struct coap_message *message);

/* Returns an ACK with this code and the id of `like`, and with its token unless the code is COAP_EMPTY. */
struct coap_message coap_ack(const struct coap_message *like, enum coap_code code);
/* Returns a request for a one-letter path; `path` must live as long as the message. */
struct coap_message coap_request(enum coap_type type, enum coap_code code, const char *path);

#endif
