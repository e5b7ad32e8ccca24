/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcapng: blocks of a capture file, built whole in memory (draft-ietf-opsawg-pcapng).
 *
 * Order of calls: begin a block, add its fixed part and its options, end it; only whole blocks are ever
 * written to a file. All numbers are in the byte order of this machine, which the section header states.
 */
#ifndef CAPTURE_PCAPNG_H
#define CAPTURE_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

#include "base/ns.h"
#include "base/text.h"

#define PCAPNG_SECTION 0x0a0d0d0au
#define PCAPNG_INTERFACE 1u
#define PCAPNG_NAMES 4u
#define PCAPNG_STATISTICS 5u
#define PCAPNG_PACKET 6u
#define PCAPNG_SECRETS 10u
#define PCAPNG_SECRETS_TLS 0x544c534bu /* a TLS key log */
#define PCAPNG_MAGIC 0x1a2b3c4du
#define PCAPNG_SNAPLEN 262144u

enum pcapng_option {
	PCAPNG_END = 0,
	PCAPNG_COMMENT = 1,
	PCAPNG_SECTION_HARDWARE = 2,
	PCAPNG_SECTION_OS = 3,
	PCAPNG_SECTION_APPLICATION = 4,
	PCAPNG_INTERFACE_NAME = 2,
	PCAPNG_INTERFACE_DESCRIPTION = 3,
	PCAPNG_INTERFACE_RESOLUTION = 9,
	PCAPNG_PACKET_FLAGS = 2,
	PCAPNG_PACKET_ID = 5,
	PCAPNG_STATISTICS_START = 2,
	PCAPNG_STATISTICS_END = 3,
	PCAPNG_STATISTICS_RECEIVED = 4,
	PCAPNG_STATISTICS_DROPPED = 5,
	PCAPNG_STATISTICS_OS_DROPPED = 7
};

enum pcapng_flags { PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 };

/* Begins a block at the end of `out`. Returns its offset, for pcapng_end. */
size_t pcapng_begin(struct text *out, uint32_t type);
void pcapng_end(struct text *out, size_t start);
void pcapng_add32(struct text *out, uint32_t value);
void pcapng_add_time(struct text *out, ns_t at); /* high word, low word */
void pcapng_pad(struct text *out);
void pcapng_option(struct text *out, uint16_t code, const void *value, size_t size);
/* Begins an option whose value is then appended to `out`. pcapng_option_end truncates it to 65535 bytes. */
size_t pcapng_option_begin(struct text *out, uint16_t code);
void pcapng_option_end(struct text *out, size_t start);
void pcapng_option_text(struct text *out, uint16_t code, const char *value);
/* Adds a comment of any length: a long one is split into several options. */
void pcapng_comment(struct text *out, const struct text *comment);

/* Begins a packet block with its fixed part and its bytes (headers, then payload); options and pcapng_end
 * follow. */
struct pcapng_packet {
	uint32_t interface;
	ns_t at;
	const void *headers, *payload;
	size_t header_size, payload_size; /* bytes in the file */
	size_t original;                  /* bytes of payload before cutting */
};
size_t pcapng_packet_begin(struct text *out, const struct pcapng_packet *packet);

#endif
