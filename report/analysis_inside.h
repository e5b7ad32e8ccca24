/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis_inside: functions shared by the files that build an analysis.
 *
 *   analysis_read.c    chooses one of the two readers
 *   analysis_ours.c    reads captures with deadzone's comments
 *   analysis_bare.c    reads captures without comments
 *   analysis_events.c  reads events, the file header and the closing statistics
 *   analysis.c         records arrivals, departures and drops for both readers
 *   analysis_end.c     computes the results once all packets are read
 */
#ifndef REPORT_ANALYSIS_INSIDE_H
#define REPORT_ANALYSIS_INSIDE_H

#include "capture/decode.h"
#include "capture/fields.h"
#include "capture/reader.h"
#include "report/analysis.h"

#define ANALYSIS_HEADER_IPV4 28 /* bytes of IP and UDP */
#define ANALYSIS_HEADER_IPV6 48

/* Returns the session with this number; creates it if needed. */
struct analysis_session *analysis_session(struct analysis *analysis, uint32_t number, ns_t at);
/* Records an arrival, whose fate is still open. */
struct packet_record *analysis_add_arrival(struct analysis *analysis, struct analysis_session *session,
    enum way way, uint32_t n, const struct decoded *decoded, ns_t at);
/* Parses the datagram's DTLS records: feeds the handshakes, and fills `record->data` and the like. */
void analysis_inspect(struct analysis *analysis, struct analysis_session *session,
    struct packet_record *record, const struct decoded *decoded);
/* Counts the wire bytes of a datagram that left, be it an original, a copy or a joint datagram. */
void analysis_count_wire(struct analysis_session *session, enum way way, const struct decoded *decoded);
/* Recomputes `record->data` for a datagram that left with altered bytes. */
void analysis_update_data(struct analysis *analysis, struct analysis_session *session,
    struct packet_record *record, const struct decoded *decoded);
/* Feeds the handshakes a datagram that left with the bytes of its arrival. */
void analysis_delivered(struct analysis *analysis, struct analysis_session *session, enum way way,
    const struct decoded *decoded, ns_t at);
/* Returns NULL if there is no such record, or it was freed. */
struct packet_record *analysis_record(
    const struct analysis *analysis, const struct analysis_session *session, enum way way, uint32_t n);
/* Records that the original left at `at`. */
void analysis_sent(struct analysis *analysis, struct packet_record *record, ns_t at);
/* Adds the actual delay to the summary's delays, which start with the first datagram delayed on purpose. */
void analysis_add_delay(struct analysis *analysis, const struct packet_record *record, bool on_purpose);
/* Frees the record if the analysis is brief and the fates of the original and all copies are known. */
void analysis_release_record(struct analysis *analysis, struct packet_record *record);
/* Records that the original was dropped at `at`, by `by` ("" for unknown). */
void analysis_dropped(struct analysis *analysis, struct packet_record *record, enum reason reason,
    const char *by, size_t by_size, ns_t at);
/* Records that a duplicate left. */
void analysis_copied(struct analysis *analysis, const struct packet_record *record, ns_t at);
/* Interns `text`; returns its index. */
uint32_t analysis_words_add(struct analysis_words *words, const char *text, size_t size);

/* Copies `word` into a buffer of `cap` bytes, truncated if needed; "" if it has no text. */
void analysis_copy_word(char *into, size_t cap, struct word word);

/* analysis_events.c */
#define ANALYSIS_LIVE_MARK "live " /* prefix of events about changes by the API */
void analysis_event(struct analysis *analysis, const struct decoded *decoded, ns_t at);
void analysis_header(struct analysis *analysis, const struct reader *reader);
void analysis_closing(struct analysis *analysis, const struct savefile_closing *closing);
/* Adds the notes of a reader that is at its end: skipped packets, truncation. */
void analysis_reader_done(struct analysis *analysis, const struct reader *reader);

/* analysis_end.c: computes the results once all packets are read. */
void analysis_end(struct analysis *analysis);

/* Reads a capture of deadzone with comments. */
void analysis_read_ours(struct analysis *analysis, struct reader *reader);
/* Reads any other capture. Returns -1 and sets *error on failure. */
int analysis_read_bare(struct analysis *analysis, struct inputs *inputs, const struct analysis_filter *filter,
    struct error *error);

#endif
