/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capture is read twice: packet by packet, for times, CoAP and what a sweep counts; then by the analysis,
 * for handshakes.
 */
#include "proxy/campaign/measures.h"

#include <string.h>

#include "capture/fields.h"
#include "capture/reader.h"
#include "campaign/sweep.h"
#include "report/analysis.h"
#include "report/index.h"
#include "rules/content.h"
#include "rules/dtls.h"

struct scan {
	ns_t test_ended, first, last;
	struct index confirmable; /* message IDs of CONs seen, by session and direction */
	uint64_t confirmable_again;
	struct dtls_session dtls; /* of the first session */
	uint32_t kinds;           /* mask of the kind that a sweep counts */
	struct sweep_seen seen;
};

/* Counts a confirmable message whose ID was seen before (RFC 7252 section 4.2). */
static void scan_coap(struct scan *scan, const struct fields *fields, const struct decoded *decoded)
{
	struct coap coap;
	uint64_t key;

	coap_parse(&coap, decoded->payload, decoded->kept);
	if (!(coap.kinds & 1u << COAP_CON) || !coap.code)
		return;
	key = (uint64_t)fields->session << 32 | (uint64_t)fields->way << 16 |
	      (uint64_t)decoded->payload[2] << 8 | decoded->payload[3];
	if (index_find(&scan->confirmable, key) != INDEX_NONE)
		scan->confirmable_again++;
	else
		index_add(&scan->confirmable, key, 0);
}

static void scan_first_session(struct scan *scan, const struct fields *fields, const struct decoded *decoded)
{
	struct dtls_peek peek;

	dtls_parse(&scan->dtls, fields->way, decoded->payload, decoded->kept, &peek);
	scan->seen.datagrams[fields->way]++;
	scan->seen.with_kind[fields->way] += (peek.kinds & scan->kinds) != 0;
	scan->seen.encrypted[fields->way] += peek.first.type == DTLS_UNIFIED && peek.first.epoch == 2;
}

static void scan_packet(struct scan *scan, struct reader *reader, const struct reader_packet *packet)
{
	struct decoded decoded;
	struct fields fields;

	if (!packet->saved.comment || !fields_read(packet->saved.comment, &fields) ||
	    fields.kind == FIELDS_UNSENT || packet->saved.at > scan->test_ended ||
	    reader_decode(reader, packet, &decoded) != DECODE_UDP)
		return;
	scan->first = scan->first ? scan->first : packet->saved.at;
	scan->last = packet->saved.at;
	if (fields.kind != FIELDS_ARRIVED || !fields.session)
		return;
	scan_coap(scan, &fields, &decoded);
	if (fields.session == 1)
		scan_first_session(scan, &fields, &decoded);
}

static void scan_capture(struct scan *scan, struct inputs *inputs)
{
	struct reader_packet packet;
	struct error error;
	struct reader *reader = reader_open(inputs, &error);

	while (reader && reader_next(reader, &packet))
		scan_packet(scan, reader, &packet);
	reader_close(reader);
}

/* Returns how often handshake messages were sent again. */
static uint64_t count_retransmissions(const struct analysis *analysis)
{
	uint64_t again = 0;

	for (size_t s = 0; s < analysis->session_count; s++) {
		const struct handshakes *handshakes = &analysis->sessions[s].handshakes;

		for (size_t h = 0; h < handshakes->count; h++)
			for (size_t m = 0; m < handshakes->all[h].message_count; m++)
				again += handshakes->all[h].messages[m].sends - 1;
	}
	return again;
}

static uint32_t kind_mask(const struct sweep_section *sweep)
{
	for (int kind = 0; sweep && sweep->kind && kind < DTLS_KIND_COUNT; kind++)
		if (strcmp(dtls_kinds[kind], sweep->kind) == 0)
			return 1u << kind;
	return 0;
}

void measures_read(
    const char *capture, ns_t test_ended, const struct sweep_section *places_of, struct result *result)
{
	struct scan scan = {.test_ended = test_ended, .kinds = kind_mask(places_of)};
	struct analysis_filter filter = {0};
	struct error error;
	struct inputs *inputs = inputs_open(&capture, 1, &error);
	struct analysis *analysis;

	if (!inputs)
		return;
	dtls_init(&scan.dtls);
	scan_capture(&scan, inputs);
	if (scan.first)
		result_measure(result, "network_seconds", (double)(scan.last - scan.first) / 1e9);
	analysis = analysis_read(inputs, &filter, ANALYSIS_BRIEF, &error);
	if (analysis) {
		result_measure(result, "retransmissions",
		    (double)(count_retransmissions(analysis) + scan.confirmable_again));
		if (places_of)
			sweep_places(analysis, &scan.seen, places_of, result);
		analysis_free(analysis);
	}
	index_free(&scan.confirmable);
	inputs_close(inputs);
}
