/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pins: turns the decisions of a recorded run into rules that repeat them.
 *
 * A pin is one decision about one datagram of a session and direction: a drop, a delay, a copy, a changed
 * byte, or a NAT rebinding at that moment. pins_write writes pins as an ini fragment of rules (`session`,
 * `direction`, `nth`) and merges equal decisions into one rule. A blackout becomes its effects on each
 * datagram. A random change of a byte becomes `set` with the resulting value.
 *
 * Decisions that no rule can repeat are left out and counted: decoys; injected datagrams that are long or
 * came late; joint datagrams (their parts are sent one by one); drops by errors or before there was a
 * session.
 *
 * Call pins_find on an analysis with ANALYSIS_WHOLE, then pins_write or pin_describe, then pins_free.
 */
#ifndef REPORT_PINS_H
#define REPORT_PINS_H

#include "report/analysis.h"

/* In the order of their rules: PIN_COPY_FIRST copies the datagram before its bytes are changed. */
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
	uint32_t nth;                       /* as in a rule's `nth`; 0: at `time` instead */
	const struct packet_record *record; /* NULL: none */
	ns_t time; /* the delay; for copies: since the arrival; if `nth` is 0: since the session began */
	uint32_t byte, value;
	const char *hex; /* of PIN_INJECT; owned by the analysis */
	uint8_t way;
};

#define PINS_LEFT_LINES 10

struct pins {
	struct pin *all;
	size_t count;
	uint64_t left_out;      /* decisions that cannot be pinned */
	struct text left_lines; /* a line for each of the first PINS_LEFT_LINES of these */
};

/* Fills `pins`. Delays are rounded to multiples of `step` (0: not rounded) to get fewer rules; a delay that
 * rounds to 0 gets no pin. The analysis must outlive the pins. */
void pins_find(struct pins *pins, const struct analysis *analysis, ns_t step);
void pins_free(struct pins *pins);

/* Appends the ini fragment of the pins i with is_included[i] (NULL: of all), after `head`, which holds
 * comment lines. */
void pins_write(const struct pins *pins, const bool *is_included, const char *head, struct text *out);
/* Appends a description: "s=1 dir=down n=69 drop (24.013 s, 557 bytes, application_data/1/61, loss by
 * link:default)". */
void pin_describe(const struct analysis *analysis, const struct pin *pin, struct text *out);

#endif
