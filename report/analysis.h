/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis: reconstructs what happened in a run from its capture alone.
 *
 * How much is known depends on the capture (enum analysis_kind):
 * - a pcapng file of deadzone has a comment with the fate of each datagram; the accounts are exactly those of
 *   the run's own summary;
 * - a classic pcap file of deadzone has no comments but shows both sides of the proxy: arrivals and
 *   departures are paired by their bytes, and a datagram that never left counts as lost;
 * - any other capture shows one place; its datagrams are counted, but their fates are unknown.
 *
 * Call analysis_read, then any of analysis_print, analysis_json and analysis_page, then analysis_free. The
 * caller owns the analysis; it owns all that it points to.
 *
 * With ANALYSIS_BRIEF memory grows with the number of sessions; with ANALYSIS_WHOLE, and for classic pcap, it
 * grows with the number of datagrams.
 */
#ifndef REPORT_ANALYSIS_H
#define REPORT_ANALYSIS_H

#include "base/text.h"
#include "capture/inputs.h"
#include "report/handshake.h"
#include "report/index.h"
#include "report/rate.h"
#include "report/runs.h"
#include "report/run_summary.h"

enum fate { FATE_OPEN, FATE_SENT, FATE_DROPPED };

/* A datagram that arrived. */
struct packet_record {
	ns_t at, left;    /* time of arrival, and of departure or drop */
	uint64_t number;  /* of its first DTLS record; may be DTLS_NUMBER_HIDDEN */
	int64_t delay_us; /* delay that was scheduled; -1: unknown */
	int32_t late_us;
	uint32_t session, n; /* index into `sessions`; ordinal within session and direction, from 1 */
	uint32_t size;
	uint32_t data;  /* bytes of application data in its DTLS records, as far as they are visible */
	uint32_t words; /* index into `words`: fields of its comment that have no member here */
	uint16_t copies, copies_sent, copies_done;
	uint8_t way, fate, reason;
	bool timed;         /* delay_us and late_us are known */
	bool altered;       /* a rule or link changed its bytes */
	uint32_t mutations; /* index into `words` plus 1 of its mutations ("set:57:12,…"); 0: none */
	uint32_t hash;      /* of its bytes on arrival; set only if they were altered */
	uint8_t message;    /* enum dtls_kind plus 1 of the first kind found in it; 0: none */
};

/* A copy that left. */
struct analysis_copy {
	ns_t at;
	uint32_t record; /* index into `records` of the datagram it belongs to */
	uint32_t hex;    /* index into `words` plus 1 of its bytes, if injected and short; 0: none */
	uint8_t origin;
	bool untouched; /* it has the bytes of the arrival, although the datagram was altered */
};

/* Interned strings: each distinct one is stored once. */
struct analysis_words {
	char **all;
	size_t count;
	struct index index;
};

/* Why datagrams were dropped, and how many. */
struct cause {
	enum reason reason;
	char by[72]; /* "link:default", "rule:dead-zone"; "" if the capture names none */
	uint64_t count;
};

#define CAUSES_MAX 24

struct analysis_way {
	struct sparse asked, measured, late; /* of sent datagrams: scheduled delay, actual delay, lateness */
	struct sparse counted; /* actual delays, from the first datagram delayed on purpose on */
	bool delayed;
	ns_t slowest;
	struct cause *causes;
	size_t cause_cap;
	size_t cause_count;
	uint64_t copies_due; /* announced in comments of arrivals, and not seen leaving yet */
	uint64_t copies_sent[ORIGIN_COUNT];
	uint64_t lost;          /* dropped datagrams, without copies */
	uint64_t copies_lost;   /* dropped copies */
	uint64_t wire_bytes;    /* sent, with IP and UDP headers, including copies */
	uint64_t carried_bytes; /* application data sent, without copies */
	uint64_t cid_records, alerts;
	ns_t silence, silence_from; /* longest gap between two arrivals, and its start */
	ns_t first, last;           /* arrivals */
	/* Reordering extent (RFC 4737 section 4) of datagrams sent after one with a higher n. */
	uint64_t extent_sum;
	uint32_t extent_max;
	/* Runs of consecutive losses, by n. */
	struct runs runs;
	/* Running maxima of n in order of sending, to compute extents. */
	struct extent_step {
		uint32_t position, n;
	} * steps;
	size_t step_first, step_count; /* steps before `step_first` are obsolete */
	uint32_t sent_position;
};

struct analysis_blackout {
	ns_t began, ended; /* ended 0: still going on */
	ns_t until;        /* end of its own duration; overlapping blackouts may last longer */
	bool ways[WAYS], hold;
	uint8_t ways_left; /* directions that are still dark */
	char by[72];
	ns_t data[WAYS]; /* first application data sent after its end; 0: none */
};

/* `do = upstream`: the session goes to another server. */
struct analysis_move {
	ns_t at;
	ns_t answered; /* the server's first datagram; 0: none */
	char to[80];   /* HOST:PORT, or "back" */
	char by[72];
};

struct analysis_event {
	ns_t at;
	uint32_t session; /* number; 0: not of a session */
	char *text;       /* without the prefix "s=N " */
};

struct analysis_session {
	struct run_summary_session *result; /* filled at the end */
	struct dtls_session dtls;
	struct handshakes handshakes;
	struct rate rate;
	struct analysis_way ways[WAYS];
	struct account accounts[WAYS];
	uint32_t sent_n[WAYS];
	uint32_t number;
	struct address device;
	struct address cloud;
	uint16_t cloud_port;
	uint32_t rebinds, old_ports, header;
	char section[64], identity[64], link[64];
	const char *ended; /* NULL: "stop" or unknown */
	ns_t began, last;
	struct analysis_blackout *blackouts;
	size_t blackout_count;
	struct analysis_move *moves;
	size_t move_count;
	struct analysis_open {
		uint32_t *all; /* indexes of the blackouts that have not ended in this direction */
		size_t count;
	} open[WAYS];
	uint32_t bare_n[WAYS]; /* last ordinal assigned, in captures without comments */
	uint64_t steps;        /* value of analysis.steps at its last packet */
};

enum analysis_kind { ANALYSIS_OURS, ANALYSIS_TWO_SIDES, ANALYSIS_ONE_SIDE };

struct analysis {
	enum analysis_kind kind;
	struct run_summary result;
	char *ini;              /* ini text in force at the end; NULL: unknown */
	struct text notes;      /* lines for the user: how the capture was read, and what was odd */
	struct text others;     /* packets that are not UDP: "12 TCP, 3 ARP" */
	uint64_t cut_datagrams; /* truncated by the capture's snaplen */
	bool cut;               /* a file ends in the middle of a packet */
	uint64_t steps;         /* clock steps seen so far */
	bool live;              /* the API changed something during the run */
	uint64_t strange;       /* UDP datagrams that belong to no session */
	struct analysis_session *sessions;
	size_t session_count;
	struct index by_number;
	bool brief; /* a record is freed once its fate is known; enough for text and JSON */
	struct packet_record *records; /* in order of arrival; if brief, open ones in any order */
	size_t record_count;
	uint32_t free_record; /* head of the list of free records: index plus 1; 0: empty */
	struct index by_n;
	struct analysis_copy *copies;
	size_t copy_count;
	struct analysis_words words;
	struct analysis_event *events;
	size_t event_count;
	struct account refused[WAYS];
	/* Packets of deadzone's own capture, by kind and by interface. */
	uint64_t arrivals, departures, device_packets, cloud_packets;
	uint64_t joints; /* joint datagrams (action `pack`) that left */
	struct text scratch;
	uint64_t packets;
	ns_t first, last;
};

struct analysis_filter {
	const char *device, *cloud; /* as in struct flows_filter; NULL: detect */
};

/* ANALYSIS_WHOLE keeps a record of each datagram, as analysis_page and pins_find need. */
enum analysis_detail { ANALYSIS_BRIEF, ANALYSIS_WHOLE };
/* Returns NULL and sets *error if the capture cannot be read or holds no datagram. */
struct analysis *analysis_read(struct inputs *inputs, const struct analysis_filter *filter,
    enum analysis_detail detail, struct error *error);
void analysis_free(struct analysis *analysis);

/* Prints the analysis for people: each session in detail, then the summary. */
void analysis_print(const struct analysis *analysis, FILE *out);
/* Writes the summary's JSON with the details of each session, one session at a time to bound memory. */
void analysis_json(const struct analysis *analysis, FILE *out);
/* Returns the JSON of one session; the caller owns it. */
json_t *analysis_json_session(const struct analysis *analysis, size_t index);
/* Writes one self-contained HTML page. Returns -1 and sets *error if it cannot be written. */
int analysis_page(const struct analysis *analysis, const char *title, const char *path, struct error *error);

/* Returns the handshake that followed a move before the next one; NULL if none did. */
const struct handshake *analysis_move_handshake(const struct analysis_session *session, size_t move);

#endif
