/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tale: what happened in a run, from its capture alone.
 *
 * Of our own captures the comments tell each datagram's fate; the accounts come out as the run's own summary
 * has them, to the last datagram. Of a file without comments that has our proxy's two sides (classic pcap)
 * fates are told by the bytes: what came and never left was lost. Of any other file the datagrams of its
 * flows are told, and nothing of a fate.
 *
 * For text and JSON memory is in proportion to the sessions (of classic pcap, where fates are told by the
 * bytes, and for a page to the datagrams).
 */
#ifndef REPORT_TALE_H
#define REPORT_TALE_H

#include "base/text.h"
#include "capture/inputs.h"
#include "report/handshake.h"
#include "report/index.h"
#include "report/rate.h"
#include "report/runs.h"
#include "report/run_summary.h"

enum fate { FATE_WAITS, FATE_SENT, FATE_DROPPED };

/* One datagram that arrived. */
struct packet_record {
	ns_t at, left;    /* `left`: when it was sent or died */
	uint64_t number;  /* of its first record; DTLS_NUMBER_HIDDEN */
	int64_t delay_us; /* as it was due; -1: not known */
	int32_t late_us;
	uint32_t session, n; /* index into sessions */
	uint32_t size;
	uint32_t data;  /* bytes in bodies of records that are application data, as far as it shows */
	uint32_t words; /* the rest of its comment: number in `words` */
	uint16_t copies, copies_sent, copies_done;
	uint8_t way, fate, reason;
	bool timed;   /* delay_us and late_us are known */
	bool altered; /* something was done to its bytes */
	uint32_t
	    mutations;   /* what its bytes became: number in `words`, plus 1; 0: nothing was done to them */
	uint32_t hash;   /* of its bytes as they came, where something was done to them */
	uint8_t message; /* the first handshake message or the like in it: enum dtls_kind plus 1; 0: none */
};

/* A copy that left. */
struct analysis_copy {
	ns_t at;
	uint32_t record; /* whose bytes they are: index into marks */
	uint32_t
	    hex; /* of injected bytes and decoys, where they are few: number in `words`, plus 1; 0: none */
	uint8_t origin;
	bool untouched; /* its bytes are those that came, before something was done to them */
};

/* The rest of comments: what a mark has no number for, and each different one once. */
struct analysis_words {
	char **all;
	size_t count;
	struct index index;
};

/* By which a datagram was dropped. */
struct cause {
	enum reason reason;
	char by[72]; /* "link:default", "rule:dead-zone"; "" where nobody is named */
	uint64_t count;
};

#define CAUSES_MAX 24

struct analysis_way {
	struct sparse asked, measured, late; /* delays as due, and as they were, of what was sent */
	struct sparse counted;               /* delays from the first delayed one on */
	bool delayed;
	ns_t slowest;
	struct cause *causes;
	size_t cause_cap;
	size_t cause_count;
	uint64_t copies_due; /* made, as arrivals say, and not seen leaving yet */
	uint64_t copies_sent[ORIGIN_COUNT];
	uint64_t lost;          /* datagrams of which the original died; copies are not counted */
	uint64_t copies_lost;   /* copies that died */
	uint64_t wire_bytes;    /* that left, with IP and UDP headers, copies too */
	uint64_t carried_bytes; /* of application records' bodies that left, without copies */
	uint64_t cid_records, alerts;
	ns_t silence, silence_from; /* the longest between two arrivals, and when it began */
	ns_t first, last;           /* arrivals */
	/* Reordering (RFC 4737 section 4): of those sent after one with a higher n, how far back that one is.
	 */
	uint64_t extent_sum;
	uint32_t extent_max;
	/* Runs of datagrams lost one after another, by n. */
	struct runs runs;
	/* Running maxima of n, in order of sending: for the extent. */
	struct extent_step {
		uint32_t position, n;
	} * steps;
	size_t step_first, step_count; /* those in front are of no use any more */
	uint32_t sent_position;
};

struct analysis_blackout {
	ns_t began, ended; /* 0: still */
	ns_t until;        /* when its own time is over; others may go on */
	bool ways[WAYS], hold;
	uint8_t ways_left; /* that are dark still */
	char by[72];
	ns_t data[WAYS]; /* first application data that left after its end; 0: none did */
};

struct analysis_event {
	ns_t at;
	uint32_t session; /* number; 0: of none */
	char *text;       /* without "s=N " */
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
	uint16_t cloud_port;
	uint32_t rebinds, old_ports, header;
	char section[64], identity[64], link[64];
	const char *ended; /* NULL: "stop", or not known */
	ns_t began, last;
	struct analysis_blackout *blackouts;
	size_t blackout_count;
	struct analysis_open {
		uint32_t *all; /* indexes of the blackouts of this way that have not ended */
		size_t count;
	} open[WAYS];
	uint32_t bare_n[WAYS]; /* without comments: ordinals given so far */
	uint64_t steps;        /* of the clock, when its last packet came */
};

enum analysis_kind { ANALYSIS_OURS, ANALYSIS_TWO_SIDES, ANALYSIS_ONE_SIDE };

struct analysis {
	enum analysis_kind kind;
	struct run_summary result;
	char *ini;              /* text in force; NULL: not known */
	struct text notes;      /* lines for the user: how it was read, and what was found odd */
	struct text others;     /* what there was besides UDP datagrams: "12 TCP, 3 ARP" */
	uint64_t cut_datagrams; /* of which the capture holds only the first bytes */
	bool cut;               /* a file ended in the middle of a packet */
	uint64_t steps;         /* of the clock that stamped the packets */
	bool live;              /* something was changed while it ran */
	uint64_t strange;       /* UDP datagrams of no session */
	struct analysis_session *sessions;
	size_t session_count;
	struct index by_number;
	bool brief; /* only what text and JSON need: a mark is forgotten once its fate is known */
	struct packet_record *records; /* in order of arrival; if brief those that are open, anywhere */
	size_t record_count;
	uint32_t free_mark; /* of those given back, plus 1; 0: none */
	struct index by_n;
	struct analysis_copy *copies;
	size_t copy_count;
	struct analysis_words words;
	struct analysis_event *events;
	size_t event_count;
	struct account refused[WAYS];
	/* Packets of ours: of what came and what left, and of either side of the proxy. */
	uint64_t arrivals, departures, device_packets, cloud_packets;
	uint64_t joints; /* joint datagrams that left */
	struct text scratch;
	uint64_t packets;
	ns_t first, last;
};

struct analysis_filter {
	const char *device, *cloud; /* as simulate's; NULL: by themselves */
};

/* NULL and why where the file cannot be read or holds no datagram. `detail`: each datagram is kept, for a
 * page or for rules; else memory goes with the sessions. */
enum analysis_detail { ANALYSIS_BRIEF, ANALYSIS_WHOLE };
struct analysis *analysis_read(struct inputs *inputs, const struct analysis_filter *filter,
    enum analysis_detail detail, struct error *error);
void analysis_free(struct analysis *analysis);

/* For people: the summary, then session by session what a network engineer would ask. */
void analysis_print(const struct analysis *analysis, FILE *out);
/* Writes the summary's JSON, with `network` and `dtls` in each session; one session at a time, for there may
 * be very many. */
void analysis_json(const struct analysis *analysis, FILE *out);
/* That of one session, and all but the sessions. */
json_t *analysis_json_session(const struct analysis *analysis, size_t index);
/* One self-contained page. -1 and why where it cannot be written. */
int analysis_page(const struct analysis *analysis, const char *title, const char *path, struct error *error);

#endif
