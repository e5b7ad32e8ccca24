/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader: reads the packets of one or several captures as one sequence in time.
 *
 * The parts of one run of deadzone are read in the order in which they were written, however they are ordered
 * on the command line. Other files are merged by time; packets that are out of order within one of them are
 * sorted, and steps of its clock are removed (capture/window.h).
 */
#ifndef CAPTURE_READER_H
#define CAPTURE_READER_H

#include "base/text.h"
#include "capture/decode.h"
#include "capture/inputs.h"
#include "capture/savefile.h"

struct reader;

struct reader_packet {
	struct saved_packet saved; /* its timestamp is adjusted to the sequence */
	bool follows_step; /* the time since the previous packet is not known: the clock was stepped */
};

/* Returns NULL and sets *error if a file is not a capture, or the files do not belong together. `inputs`
 * must outlive the reader. */
struct reader *reader_open(struct inputs *inputs, struct error *error);
void reader_close(struct reader *reader);

/* Returns false at the end. The packet's data is valid until the next call. */
bool reader_next(struct reader *reader, struct reader_packet *packet);
/* Decodes the packet that reader_next returned last, with the fragments seen before it. */
enum decode_result reader_decode(
    struct reader *reader, const struct reader_packet *packet, struct decoded *decoded);

bool reader_is_ours(const struct reader *reader);
bool reader_seed(const struct reader *reader, uint64_t *seed);
const char *reader_application(const struct reader *reader);
const char *reader_section_comment(const struct reader *reader);
const struct savefile_closing *reader_closing(const struct reader *reader);
/* Returns true if a file ended in the middle of a packet. */
bool reader_was_cut(const struct reader *reader);
/* Appends counts of packets other than UDP datagrams, such as "12 TCP, 3 ARP"; nothing if there were none. */
void reader_count_others(const struct reader *reader, struct text *text);
/* Appends a line for everything about the files that the user should know; complete only at the end. */
void reader_notes(const struct reader *reader, struct text *text);

#endif
