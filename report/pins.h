/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pins: a recorded run's decisions, one by one, as rules that make the same ones again.
 *
 * A pin is what was done to one datagram of one session and direction: it was dropped, delayed, copied, its
 * bytes were changed; or the session's NAT mapping was replaced at that moment. Written as an ini fragment of
 * rules (`session`, `direction`, `nth`), those alike together. A blackout is what it did to each datagram.
 *
 * What cannot be said so is left out and counted: decoys, and injected datagrams that are long or came late;
 * joint datagrams (they are sent one by one); what died of errors or was refused before there was a session.
 * A changed byte becomes what it became then.
 */
#ifndef REPORT_PINS_H
#define REPORT_PINS_H

#include "report/analysis.h"

/* In the order in which their rules stand: a copy of the bytes that came is made before anything is done to
 * them. */
enum pin_kind {
	PIN_COPY_FIRST,
	PIN_CORRUPT,
	PIN_SET,
	PIN_TRUNCATE,
	PIN_COPY,
	PIN_INJECT,
	PIN_REBIND,
	PIN_DELAY,
	PIN_DROP
};

struct pin {
	enum pin_kind kind;
	uint32_t session;                   /* number */
	uint32_t nth;                       /* as `nth` counts; 0: at a time of the session's life, `time` */
	const struct packet_record *record; /* NULL: none */
	ns_t time; /* PIN_DELAY: how long; PIN_COPY: so long after it came; nth 0: when */
	uint32_t byte, value;
	const char *hex; /* PIN_INJECT; the tale's */
	uint8_t way;
};

#define PINS_LEFT_LINES 10

struct pins {
	struct pin *all;
	size_t count;
	uint64_t left_out;      /* decisions that cannot be pinned */
	struct text left_lines; /* a line for each of the first PINS_LEFT_LINES of them */
};

/* Delays are rounded to a multiple of `step` (0: not), so that rules stay few; those that round to 0 are
 * none. The tale must outlive the pins. */
void pins_find(struct pins *pins, const struct analysis *analysis, ns_t step);
void pins_free(struct pins *pins);

/* The ini fragment of those pins that are `in` (NULL: of all); `head` is a comment's lines. */
void pins_write(const struct pins *pins, const bool *in, const char *head, struct text *out);
/* "s=1 down n=69 drop  24.013 s application_data/1/61, 557 bytes, loss by link:default" */
void pin_tell(const struct analysis *analysis, const struct pin *pin, struct text *out);

#endif
