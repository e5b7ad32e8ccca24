/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis_inside: what the files that read a tale share: tale.c (arrivals and fates, wherever they are
 * told), analysis_ours.c (our own comments), analysis_events.c, analysis_bare.c (files without comments),
 * analysis_end.c.
 */
#ifndef REPORT_TALE_INSIDE_H
#define REPORT_TALE_INSIDE_H

#include "capture/decode.h"
#include "capture/fields.h"
#include "capture/reader.h"
#include "report/analysis.h"

#define ANALYSIS_HEADER_IPV4 28 /* bytes of IP and UDP */
#define ANALYSIS_HEADER_IPV6 48

/* A session by its number, made where it is new. */
struct analysis_session *analysis_session(struct analysis *analysis, uint32_t number, ns_t at);
/* A datagram of it arrived; its fate is not known yet. */
struct packet_record *analysis_arrived(struct analysis *analysis, struct analysis_session *session,
    enum way way, uint32_t n, const struct decoded *decoded, ns_t at);
/* What its records show: for the handshakes, and whether it carries data. */
void analysis_inspect(struct analysis *analysis, struct analysis_session *session,
    struct packet_record *record, const struct decoded *decoded);
/* A datagram left, with these bytes; each that leaves, copies and joint ones too. */
void analysis_left(struct analysis_session *session, enum way way, const struct decoded *decoded);
/* The mark's datagram left with other bytes than those that came. */
void analysis_changed(struct analysis *analysis, struct analysis_session *session,
    struct packet_record *record, const struct decoded *decoded);
/* A datagram left for its receiver with the bytes that came. */
void analysis_delivered(struct analysis *analysis, struct analysis_session *session, enum way way,
    const struct decoded *decoded, ns_t at);
struct packet_record *analysis_record(
    const struct analysis *analysis, const struct analysis_session *session, enum way way, uint32_t n);
void analysis_sent(struct analysis *analysis, struct packet_record *record, ns_t at);
/* How long it took. Once one was held back on purpose the summary has delays. */
void analysis_measured(struct analysis *analysis, const struct packet_record *record, bool on_purpose);
/* Its fate and those of its copies are told: a brief tale forgets it. */
void analysis_done(struct analysis *analysis, struct packet_record *record);
void analysis_dropped(struct analysis *analysis, struct packet_record *record, enum reason reason,
    const char *by, size_t by_size, ns_t at);
void analysis_copied(
    struct analysis *analysis, const struct packet_record *record, ns_t at); /* a duplicate left */
uint32_t analysis_words_add(struct analysis_words *words, const char *text, size_t size);

void analysis_copy_word(char *into, size_t cap, struct word word);

/* analysis_events.c */
#define ANALYSIS_LIVE_MARK "live " /* an event: something was changed while it ran */
void analysis_event(struct analysis *analysis, const struct decoded *decoded, ns_t at);
void analysis_header(struct analysis *analysis, const struct reader *reader);
void analysis_closing(struct analysis *analysis, const struct savefile_closing *closing);
/* What the reader knows once it is at its end: what was passed over, and its notes. */
void analysis_reader_done(struct analysis *analysis, const struct reader *reader);

/* analysis_end.c: once all packets are read */
void analysis_end(struct analysis *analysis);

/* Reads our own files, with comments. */
void analysis_read_ours(struct analysis *analysis, struct reader *reader);
/* Reads a file that is none of ours, or ours without comments. */
int analysis_read_bare(struct analysis *analysis, struct inputs *inputs, const struct analysis_filter *filter,
    struct error *error);

#endif
