/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fragments: reassembles IP datagrams (RFC 791 section 3.2, RFC 8200 section 4.5).
 *
 * Fragments of one datagram have the same addresses, protocol and identification. If fragments overlap, the
 * bytes that arrived first are used. At most FRAGMENTS_OPEN_MAX datagrams are incomplete at a time; the
 * oldest is discarded for a new one.
 */
#ifndef CAPTURE_FRAGMENTS_H
#define CAPTURE_FRAGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAGMENTS_OPEN_MAX 64
#define FRAGMENTS_KEY_SIZE 40

struct fragments;

struct fragment {
	uint8_t key[FRAGMENTS_KEY_SIZE]; /* what the fragments of one datagram have in common, padded with
	                                    zeros */
	size_t offset;                   /* of its bytes in the datagram */
	size_t size;                     /* bytes on the wire */
	const uint8_t *bytes;
	size_t kept; /* bytes in the capture */
	bool is_last;
	unsigned packets; /* number of captured packets: 1, or more if it was in a fragmented tunnel */
};

struct fragments *fragments_new(void);
void fragments_free(struct fragments *fragments);

/* A reassembled datagram without its IP header; the bytes are valid until the next datagram is complete. */
struct fragments_whole {
	const uint8_t *bytes;
	size_t kept;      /* bytes up to where the capture cut a fragment */
	unsigned packets; /* number of captured packets, including duplicates */
};

/* Adds a fragment. Returns true, and fills `whole`, if its datagram is complete now. */
bool fragments_add(
    struct fragments *fragments, const struct fragment *fragment, struct fragments_whole *whole);

#endif
