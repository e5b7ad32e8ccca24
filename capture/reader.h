/*
 * reader: packets out of a pcap or pcapng file, whoever wrote it.
 *
 * pcapng blocks are read here (libpcap refuses files whose interfaces differ, and passes over comments);
 * classic pcap goes through libpcap. Files from strangers: every length is checked; a file that ends in the
 * middle of a block is read up to there. Numbers of either byte order, any timestamp resolution, several
 * sections.
 */
#ifndef CAPTURE_READER_H
#define CAPTURE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/ns.h"

#define READER_COMMENT_ROOM 65536
#define READER_NAME_ROOM 64

struct reader;

/* One packet; what it points to lives until the next reader_next. */
struct reader_packet {
	ns_t at;       /* since 1970 */
	int link_type; /* DLT of libpcap's savefile */
	const uint8_t *bytes;
	size_t size;           /* in the file */
	size_t original;       /* on the wire */
	const char *interface; /* its name; "" where there is none */
	const char *comment;   /* "" where there is none */
	uint32_t flags;        /* epb_flags, 0 where there are none */
	uint64_t id;           /* epb_packetid, 0 where there is none */
};

struct reader *reader_open(const char *path, struct error *error);
void reader_close(struct reader *reader);

/* false at the end, and where reading fails: then `error` says why, else its text is empty. */
bool reader_next(struct reader *reader, struct reader_packet *packet, struct error *error);
/* It is one of our own, and the seed that its header names. */
bool reader_is_ours(const struct reader *reader);
bool reader_seed(const struct reader *reader, uint64_t *seed);
/* Who wrote it, as the section header says; "" where it does not. */
const char *reader_application(const struct reader *reader);
/* The comment of the last section header: of our own, `seed=N` and the ini text in force; "" for none. */
const char *reader_section_comment(const struct reader *reader);
/* What the statistics at the end of one of our own say; NULL before they were read, or where there are none.
 */
struct reader_closing {
	const char *comment; /* lines of `key=value` */
	ns_t began, ended;
};
const struct reader_closing *reader_closing(const struct reader *reader);
/* It ended in the middle of a block. */
bool reader_was_cut(const struct reader *reader);

#endif
