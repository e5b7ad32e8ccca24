/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blocks: records as the ring carries them, and the blocks that a file is made of.
 */
#ifndef CAPTURE_BLOCKS_H
#define CAPTURE_BLOCKS_H

#include "base/text.h"
#include "capture/capture.h"
#include "capture/packet.h"

enum record_kind { RECORD_ARRIVED, RECORD_DEPARTED, RECORD_EVENT, RECORD_HOST, RECORD_ROTATE };
enum record_interface { INTERFACE_DEVICE, INTERFACE_CLOUD, INTERFACE_EVENTS, INTERFACE_COUNT };

/* In the ring: this, then a struct verdict cut after its last deed or the parts, then the payload. */
struct record {
	uint8_t kind, interface, flags;
	uint32_t size, kept; /* bytes of payload, and how many are here */
	uint32_t extra;      /* bytes between this and the payload */
	ns_t at;
	uint64_t id;
	uint64_t payload_sum; /* of all of it, where it was cut */
	struct packet_ends ends;
	struct departure departure; /* its parts stand in `extra` */
};

static inline const uint8_t *record_payload(const struct record *record)
{
	return (const uint8_t *)(record + 1) + record->extra;
}

/* The head of a file: section and interfaces. */
void blocks_head(struct text *out, const char *version, uint64_t seed, const char *ini);
/* Lines of a TLS key log: a Decryption Secrets Block, which helps the packets behind it. */
void blocks_secrets(struct text *out, const char *lines, size_t size);
void blocks_record(struct text *out, const struct record *record, const struct names *names);
/* A file's place in its run; `part` counts the files of the run from 1. */
struct blocks_part {
	ns_t began; /* the run's capture */
	uint64_t lost, part;
};
void blocks_tail(struct text *out, const struct capture_closing *closing, const struct blocks_part *part);
/* The end of a file that another one follows. */
void blocks_rotated(struct text *out, const struct blocks_part *part, ns_t at);

/* A packet's headers alone: what classic pcap puts in front of the payload. */
size_t blocks_packet_headers(uint8_t *headers, const struct record *record);

#endif
