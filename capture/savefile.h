/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * savefile: reads the packets of one pcap or pcapng file, from any program, in the order of the file.
 *
 * pcapng blocks are parsed here (libpcap refuses files whose interfaces differ, and ignores comments);
 * libpcap reads classic pcap. Files are untrusted: every length is checked, and a file that ends in the
 * middle of a block is read up to there. Both byte orders, any timestamp resolution, and several sections are
 * supported.
 */
#ifndef CAPTURE_SAVEFILE_H
#define CAPTURE_SAVEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/ns.h"

#define SAVEFILE_COMMENT_SIZE 65536
#define SAVEFILE_NAME_SIZE 64

struct savefile;

/* One packet; its data is valid until the next savefile_next. */
struct saved_packet {
	ns_t at;       /* nanoseconds since 1970 */
	int link_type; /* link type as in the file (LINKTYPE_), or of classic pcap a DLT_ value of libpcap */
	const uint8_t *bytes;
	size_t size;           /* bytes in the file */
	size_t original;       /* bytes on the wire */
	const char *interface; /* name of its interface; "" if it has none */
	const char *comment;   /* "" if it has none */
	uint32_t flags;        /* epb_flags, 0 if there are none */
	uint64_t id;           /* epb_packetid, 0 if there is none */
};

/* Reads from `in`, which must be seekable, and closes it in the end. `name` is for messages. Returns NULL
 * and sets *error if it is not a capture. */
struct savefile *savefile_open(FILE *in, const char *name, struct error *error);
void savefile_close(struct savefile *file);

/* Returns false at the end of the file. */
bool savefile_next(struct savefile *file, struct saved_packet *packet);
/* Returns true if deadzone wrote the file, even if a tool that keeps interfaces and comments (mergecap,
 * editcap, tshark) rewrote it since. Valid once the first packet was read. */
bool savefile_is_ours(const struct savefile *file);
/* Stores the seed of the run. Returns false if no section header has one. */
bool savefile_seed(const struct savefile *file, uint64_t *seed);
/* Returns the program that wrote it, as in the section header; "" if that does not say. */
const char *savefile_application(const struct savefile *file);
/* Returns the comment of the last section header: `seed=N` and the configuration in force, if deadzone
 * wrote it; "" if there is none. */
const char *savefile_section_comment(const struct savefile *file);
/* The statistics that deadzone writes when it closes or rotates a capture. savefile_closing returns NULL
 * if there are none, or they were not read yet. */
struct savefile_closing {
	const char *comment; /* lines of `key=value` */
	ns_t began, ended;
};
const struct savefile_closing *savefile_closing(const struct savefile *file);
/* Returns true if the file ended in the middle of a block. */
bool savefile_was_cut(const struct savefile *file);

#endif
