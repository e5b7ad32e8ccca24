/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * savefile: the packets of one pcap or pcapng file, whoever wrote it, in the order of the file.
 *
 * pcapng blocks are read here (libpcap refuses files whose interfaces differ, and passes over comments);
 * classic pcap goes through libpcap. Files come from strangers: every length is checked, and a file that ends
 * in the middle of a block is read up to there. Either byte order, any timestamp resolution, and several
 * sections are understood.
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

/* One packet; what it points to lives until the next savefile_next. */
struct saved_packet {
	ns_t at;       /* since 1970 */
	int link_type; /* DLT of libpcap's savefile */
	const uint8_t *bytes;
	size_t size;           /* in the file */
	size_t original;       /* on the wire */
	const char *interface; /* its name; "" if it has none */
	const char *comment;   /* "" if it has none */
	uint32_t flags;        /* epb_flags, 0 if there are none */
	uint64_t id;           /* epb_packetid, 0 if there is none */
};

/* Takes over `in`, which must be seekable. Returns NULL and fills `error` if it is no capture; `name` is for
 * the message. */
struct savefile *savefile_open(FILE *in, const char *name, struct error *error);
void savefile_close(struct savefile *file);

/* Returns false at the end of the file. */
bool savefile_next(struct savefile *file, struct saved_packet *packet);
/* Written by deadzone, perhaps rewritten since by a tool that keeps interfaces and comments (mergecap,
 * editcap, tshark): known once the first packet has been read. */
bool savefile_is_ours(const struct savefile *file);
/* Returns false if no section header names one. */
bool savefile_seed(const struct savefile *file, uint64_t *seed);
/* Who wrote it, as the section header says; "" if it does not. */
const char *savefile_application(const struct savefile *file);
/* The comment of the last section header: of our own, `seed=N` and the ini text in force; "" for none. */
const char *savefile_section_comment(const struct savefile *file);
/* The statistics that deadzone writes when it closes or rotates a capture; NULL before they were read, or if
 * there are none. */
struct savefile_closing {
	const char *comment; /* lines of `key=value` */
	ns_t began, ended;
};
const struct savefile_closing *savefile_closing(const struct savefile *file);
/* The file ended in the middle of a block. */
bool savefile_was_cut(const struct savefile *file);

#endif
