/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader: the packets of one or several captures, as one sequence in time.
 *
 * Parts of one run of deadzone's own follow one another as they were written, in whatever order they are
 * named. Other files are merged by time; packets that are out of order in one of them are sorted, and steps
 * of its clock are taken out (capture/window.h).
 */
#ifndef CAPTURE_READER_H
#define CAPTURE_READER_H

#include "base/text.h"
#include "capture/decode.h"
#include "capture/inputs.h"
#include "capture/savefile.h"

struct reader;

struct reader_packet {
	struct saved_packet saved; /* its stamp is of the sequence */
	bool follows_step;         /* the time since the packet before is not known: the clock was stepped */
};

/* Returns NULL and fills `error` if a file is no capture, or the files do not belong together. `inputs` must
 * outlive the reader. */
struct reader *reader_open(struct inputs *inputs, struct error *error);
void reader_close(struct reader *reader);

/* Returns false at the end. What the packet points to lives until the next call. */
bool reader_next(struct reader *reader, struct reader_packet *packet);
/* Decodes the packet that reader_next gave last, with the fragments that came before it. */
enum decode_result reader_decode(
    struct reader *reader, const struct reader_packet *packet, struct decoded *decoded);

bool reader_is_ours(const struct reader *reader);
bool reader_seed(const struct reader *reader, uint64_t *seed);
const char *reader_application(const struct reader *reader);
const char *reader_section_comment(const struct reader *reader);
const struct savefile_closing *reader_closing(const struct reader *reader);
/* A file ended in the middle of a packet. */
bool reader_was_cut(const struct reader *reader);
/* Adds what there was besides UDP datagrams: "12 TCP, 3 ARP"; nothing if there was nothing. */
void reader_others(const struct reader *reader, struct text *text);
/* Adds a line for each thing about the files that a user should know; complete at the end. */
void reader_notes(const struct reader *reader, struct text *text);

#endif
