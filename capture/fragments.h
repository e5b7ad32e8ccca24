/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fragments: IP datagrams put together from their fragments (RFC 791 section 3.2, RFC 8200 section 4.5).
 *
 * Fragments of one datagram share addresses, protocol and identification. Of the bytes that overlap the first
 * ones stay. At most FRAGMENTS_OPEN_MAX datagrams are open at once; the one that was begun first makes room.
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
	uint8_t key[FRAGMENTS_KEY_SIZE]; /* what the fragments of one datagram share; zeros behind it */
	size_t offset;                   /* of its bytes in the datagram */
	size_t size;                     /* that it had */
	const uint8_t *bytes;
	size_t kept; /* of them in the capture */
	bool is_last;
	unsigned packets; /* of the capture that it came in: 1, or more if it was in a fragmented tunnel */
};

struct fragments *fragments_new(void);
void fragments_free(struct fragments *fragments);

/* A datagram behind its IP header; the bytes live until the next datagram is whole. */
struct fragments_whole {
	const uint8_t *bytes;
	size_t kept;      /* the first ones, up to where the capture cut a fragment */
	unsigned packets; /* of the capture, those that came twice too */
};

/* Adds a fragment. Returns true, and fills `whole`, if its datagram is whole now. */
bool fragments_add(
    struct fragments *fragments, const struct fragment *fragment, struct fragments_whole *whole);

#endif
