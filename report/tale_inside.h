/*
 * tale_inside: what the files that read a tale share: tale.c (arrivals and fates, wherever they are told),
 * tale_ours.c (our own comments), tale_events.c, tale_bare.c (files without comments), tale_end.c.
 */
#ifndef REPORT_TALE_INSIDE_H
#define REPORT_TALE_INSIDE_H

#include "capture/decode.h"
#include "capture/fields.h"
#include "capture/reader.h"
#include "report/tale.h"

#define TALE_HEADER_IPV4 28 /* bytes of IP and UDP */
#define TALE_HEADER_IPV6 48

/* A session by its number, made where it is new. */
struct tale_session *tale_session(struct tale *tale, uint32_t number, ns_t at);
/* A datagram of it arrived; its fate is not known yet. */
struct mark *tale_arrived(struct tale *tale, struct tale_session *session, enum way way, uint32_t n,
    const struct decoded *decoded, ns_t at);
/* What its records show: for the handshakes, and whether it carries data. */
void tale_look(
    struct tale *tale, struct tale_session *session, struct mark *mark, const struct decoded *decoded);
/* A datagram left, with these bytes; each that leaves, copies and joint ones too. */
void tale_left(struct tale_session *session, enum way way, const struct decoded *decoded);
/* The mark's datagram left with other bytes than those that came. */
void tale_changed(
    struct tale *tale, struct tale_session *session, struct mark *mark, const struct decoded *decoded);
/* A datagram left for its receiver with the bytes that came. */
void tale_delivered(
    struct tale *tale, struct tale_session *session, enum way way, const struct decoded *decoded, ns_t at);
struct mark *tale_mark(const struct tale *tale, const struct tale_session *session, enum way way, uint32_t n);
void tale_sent(struct tale *tale, struct mark *mark, ns_t at);
/* How long it took. Once one was held back on purpose the summary has delays. */
void tale_measured(struct tale *tale, const struct mark *mark, bool on_purpose);
/* Its fate and those of its copies are told: a brief tale forgets it. */
void tale_done(struct tale *tale, struct mark *mark);
void tale_dropped(
    struct tale *tale, struct mark *mark, enum reason reason, const char *by, size_t by_size, ns_t at);
void tale_copied(struct tale *tale, const struct mark *mark, ns_t at); /* a duplicate left */
uint32_t tale_words_add(struct tale_words *words, const char *text, size_t size);

void tale_copy_word(char *into, size_t room, struct word word);

/* tale_events.c */
#define TALE_LIVE_MARK "live " /* an event: something was changed while it ran */
void tale_event(struct tale *tale, const struct decoded *decoded, ns_t at);
void tale_header(struct tale *tale, const struct reader *reader);
void tale_closing(struct tale *tale, const struct savefile_closing *closing);
/* What the reader knows once it is at its end: what was passed over, and its notes. */
void tale_reader_done(struct tale *tale, const struct reader *reader);

/* tale_end.c: once all packets are read */
void tale_end(struct tale *tale);

/* Reads our own files, with comments. */
void tale_read_ours(struct tale *tale, struct reader *reader);
/* Reads a file that is none of ours, or ours without comments. */
int tale_read_bare(
    struct tale *tale, struct inputs *inputs, const struct tale_wish *wish, struct error *error);

#endif
