/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blocks: records as they are queued in the ring, and the pcapng blocks made from them.
 */
#ifndef CAPTURE_BLOCKS_H
#define CAPTURE_BLOCKS_H

#include "base/text.h"
#include "capture/capture.h"
#include "capture/packet.h"

enum record_kind { RECORD_ARRIVED, RECORD_DEPARTED, RECORD_EVENT, RECORD_HOST, RECORD_ROTATE };
enum record_interface { INTERFACE_DEVICE, INTERFACE_CLOUD, INTERFACE_EVENTS, INTERFACE_COUNT };

/* A record in the ring: this header; then, in `extra` bytes, a struct verdict up to its last mutation, or
 * the parts; then the payload. */
struct record {
	uint8_t kind, interface, flags;
	uint32_t size, kept; /* bytes of payload, and how many of them follow */
	uint32_t extra;      /* bytes between this header and the payload */
	ns_t at;
	uint64_t id;
	uint64_t payload_sum; /* packet_sum of the whole payload, if it was cut */
	struct packet_ends ends;
	struct departure departure; /* its parts are in `extra` */
};

static inline const uint8_t *record_payload(const struct record *record)
{
	return (const uint8_t *)(record + 1) + record->extra;
}

/* Appends the head of a file: a section header and the interfaces. */
void blocks_head(struct text *out, const char *version, uint64_t seed, const char *ini);
/* Appends a Decryption Secrets Block with lines of a TLS key log, for the packets that follow it. */
void blocks_secrets(struct text *out, const char *lines, size_t size);
void blocks_record(struct text *out, const struct record *record, const struct names *names);
/* The place of a file in its run; `part` counts the files of the run from 1. */
struct blocks_part {
	ns_t began; /* start of the run's capture */
	uint64_t lost, part;
};
void blocks_closing(struct text *out, const struct capture_closing *closing, const struct blocks_part *part);
/* Appends the end of a file that another one follows. */
void blocks_rotated(struct text *out, const struct blocks_part *part, ns_t at);

/* Writes only a packet's headers, which precede the payload in classic pcap. Returns their size. */
size_t blocks_packet_headers(uint8_t *headers, const struct record *record);

#endif
