/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The readers report arrivals, departures and drops. Each arrival becomes a packet_record, found again by
 * session, direction and ordinal (`by_n`). Per-direction figures are updated as fates become known. A brief
 * analysis puts records whose fate is known on a free list (`free_record`).
 */
#include "report/analysis.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/memory.h"
#include "report/analysis_inside.h"

/* DTLS content types that carry data; so do 254 and the unified records of DTLS 1.3. */
#define TYPE_APPLICATION_DATA 23
#define TYPE_CID 25
#define TYPE_CID_RESUMED 253

void analysis_copy_word(char *into, size_t cap, struct word word)
{
	snprintf(into, cap, "%.*s", (int)(word.size < cap ? word.size : cap - 1), word.at ? word.at : "");
}

uint32_t analysis_words_add(struct analysis_words *words, const char *text, size_t size)
{
	uint64_t key = chance_hash(1, text, size);
	uint32_t index = index_find(&words->index, key);

	if (index != INDEX_NONE)
		return index;
	words->all = memory_grow(words->all, words->count, sizeof(*words->all));
	words->all[words->count] = memory_text(text, size);
	index_add(&words->index, key, (uint32_t)words->count);
	return (uint32_t)words->count++;
}

struct analysis_session *analysis_session(struct analysis *analysis, uint32_t number, ns_t at)
{
	uint32_t i = index_find(&analysis->by_number, number);
	struct analysis_session *session;

	if (i != INDEX_NONE)
		return &analysis->sessions[i];
	analysis->sessions = memory_grow(
	    analysis->sessions, analysis->session_count, sizeof(*analysis->sessions));
	index_add(&analysis->by_number, number, (uint32_t)analysis->session_count);
	session = &analysis->sessions[analysis->session_count++];
	*session = (struct analysis_session){
	    .number = number, .began = at, .last = at, .header = ANALYSIS_HEADER_IPV4};
	dtls_init(&session->dtls);
	return session;
}

static uint64_t record_key(uint32_t session, enum way way, uint32_t n)
{
	return (uint64_t)session << 33 | (uint64_t)way << 32 | n;
}

static uint32_t session_index(const struct analysis *analysis, const struct analysis_session *session)
{
	return (uint32_t)(session - analysis->sessions);
}

struct packet_record *analysis_record(
    const struct analysis *analysis, const struct analysis_session *session, enum way way, uint32_t n)
{
	uint32_t i = index_find(&analysis->by_n, record_key(session_index(analysis, session), way, n));

	return i == INDEX_NONE ? NULL : &analysis->records[i];
}

/* ---- Arrivals ---- */

/* Returns the bytes of application data in a datagram: bodies of DTLS records, or all of it if there are no
 * records. */
static uint32_t data_size(
    const struct analysis_session *session, enum way way, const uint8_t *bytes, size_t size)
{
	struct dtls_walk walk;
	struct dtls_record record;
	bool is_dtls = false;
	size_t sum = 0;

	dtls_walk(&walk, &session->dtls, way, bytes, size);
	for (; dtls_next(&walk, &record); is_dtls = true)
		if (record.type == TYPE_APPLICATION_DATA || record.type == TYPE_CID ||
		    record.type >= TYPE_CID_RESUMED)
			sum += record.body_size;
	return (uint32_t)(is_dtls ? sum : size);
}

/* Returns enum dtls_kind plus 1 of the first kind found, or 0. */
static uint8_t message_kind(const struct dtls_peek *peek)
{
	for (int kind = DTLS_KIND_CLIENT_HELLO; kind <= DTLS_KIND_ALERT; kind++)
		if (peek->kinds >> kind & 1)
			return (uint8_t)(kind + 1);
	return 0;
}

/* Returns the payload at its full size, with zeros for bytes that the capture lacks, so that record lengths
 * fit. */
static const uint8_t *padded_payload(struct analysis *analysis, const struct decoded *decoded)
{
	struct text *text = &analysis->scratch;

	if (decoded->kept == decoded->size)
		return decoded->payload;
	text_clear(text);
	text_add_bytes(text, decoded->payload, decoded->kept);
	for (size_t left = decoded->size - decoded->kept; left;) {
		static const uint8_t zeros[256];
		size_t size = left < sizeof(zeros) ? left : sizeof(zeros);

		text_add_bytes(text, zeros, size);
		left -= size;
	}
	return (const uint8_t *)text->at;
}

void analysis_inspect(struct analysis *analysis, struct analysis_session *session,
    struct packet_record *record, const struct decoded *decoded)
{
	enum way way = (enum way)record->way;
	struct analysis_way *counters = &session->ways[way];
	const uint8_t *bytes = padded_payload(analysis, decoded);
	struct dtls_peek peek;

	dtls_parse(&session->dtls, way, bytes, decoded->size, &peek);
	handshakes_arrived(
	    &session->handshakes, &session->dtls, way, &peek, bytes, decoded->size, record->at);
	if (decoded->kept < decoded->size) {
		analysis->cut_datagrams++;
		handshakes_cut(&session->handshakes);
	}
	counters->cid_records += peek.kinds >> DTLS_KIND_CID & 1;
	counters->alerts += peek.kinds >> DTLS_KIND_ALERT & 1;
	record->data = data_size(session, way, bytes, decoded->size);
	record->message = message_kind(&peek);
	record->number = peek.first.type == DTLS_NONE ? DTLS_NUMBER_HIDDEN : peek.first.number;
}

void analysis_count_wire(struct analysis_session *session, enum way way, const struct decoded *decoded)
{
	session->ways[way].wire_bytes += decoded->size + session->header;
}

void analysis_update_data(struct analysis *analysis, struct analysis_session *session,
    struct packet_record *record, const struct decoded *decoded)
{
	record->data = data_size(
	    session, (enum way)record->way, padded_payload(analysis, decoded), decoded->size);
}

void analysis_delivered(struct analysis *analysis, struct analysis_session *session, enum way way,
    const struct decoded *decoded, ns_t at)
{
	handshakes_delivered(
	    &session->handshakes, &session->dtls, way, padded_payload(analysis, decoded), decoded->size, at);
}

static void note_arrival_gap(struct analysis_way *way, ns_t at)
{
	if (way->last && at - way->last > way->silence) {
		way->silence = at - way->last;
		way->silence_from = way->last;
	}
	if (!way->first)
		way->first = at;
	way->last = at > way->last ? at : way->last;
}

static struct packet_record *record_new(struct analysis *analysis)
{
	struct packet_record *record;

	if (analysis->free_record) {
		record = &analysis->records[analysis->free_record - 1];
		analysis->free_record = record->words;
		return record;
	}
	analysis->records = memory_grow(
	    analysis->records, analysis->record_count, sizeof(*analysis->records));
	return &analysis->records[analysis->record_count++];
}

void analysis_release_record(struct analysis *analysis, struct packet_record *record)
{
	if (!analysis->brief || record->fate == FATE_OPEN || record->copies > record->copies_done)
		return;
	index_remove(&analysis->by_n, record_key(record->session, (enum way)record->way, record->n));
	record->words = analysis->free_record;
	analysis->free_record = (uint32_t)(record - analysis->records) + 1;
}

struct packet_record *analysis_add_arrival(struct analysis *analysis, struct analysis_session *session,
    enum way way, uint32_t n, const struct decoded *decoded, ns_t at)
{
	struct account *account = &session->accounts[way];
	struct packet_record *record;

	record = record_new(analysis);
	index_add(&analysis->by_n, record_key(session_index(analysis, session), way, n),
	    (uint32_t)(record - analysis->records));
	runs_arrived(&session->ways[way].runs, n);
	rate_add(&session->rate, way, (uint32_t)decoded->size, at);
	*record = (struct packet_record){.at = at,
	    .delay_us = -1,
	    .session = session_index(analysis, session),
	    .n = n,
	    .size = (uint32_t)decoded->size,
	    .way = (uint8_t)way,
	    .fate = FATE_OPEN};
	account->received++;
	account->bytes += decoded->size;
	account->queued++;
	session->last = at > session->last ? at : session->last;
	note_arrival_gap(&session->ways[way], at);
	return record;
}

/* ---- Fates ---- */

/* Returns the counter of a cause; the last one, "others", collects those beyond CAUSES_MAX. */
static struct cause *cause_get(struct analysis_way *way, enum reason reason, const char *by, size_t size)
{
	size_t i = 0;

	for (; i < way->cause_count; i++)
		if (way->causes[i].reason == reason && strlen(way->causes[i].by) == size &&
		    memcmp(way->causes[i].by, by, size) == 0)
			return &way->causes[i];
	if (i == CAUSES_MAX)
		return &way->causes[CAUSES_MAX - 1];
	way->causes = memory_grow(way->causes, i, sizeof(*way->causes));
	way->causes[i] = (struct cause){.reason = reason};
	if (i == CAUSES_MAX - 1)
		snprintf(way->causes[i].by, sizeof(way->causes[i].by), "others");
	else
		snprintf(way->causes[i].by, sizeof(way->causes[i].by), "%.*s", (int)size, by);
	way->cause_count++;
	return &way->causes[i];
}

void analysis_dropped(struct analysis *analysis, struct packet_record *record, enum reason reason,
    const char *by, size_t by_size, ns_t at)
{
	struct analysis_session *session = &analysis->sessions[record->session];
	struct account *account = &session->accounts[record->way];
	size_t size = by_size < sizeof(((struct cause *)0)->by) ? by_size
	                                                        : sizeof(((struct cause *)0)->by) - 1;

	cause_get(&session->ways[record->way], reason, by, size)->count++;
	account->queued--;
	account->dropped[reason]++;
	session->ways[record->way].lost++;
	runs_settled(&session->ways[record->way].runs, record->n, true);
	record->fate = FATE_DROPPED;
	record->reason = (uint8_t)reason;
	record->left = at;
}

/* Removes steps that no open datagram can need: all but the last one at or below the oldest open n. */
static void extent_prune(struct analysis_way *way)
{
	uint32_t oldest = way->runs.used ? way->runs.base : UINT32_MAX;

	while (way->step_first + 1 < way->step_count && way->steps[way->step_first + 1].n <= oldest)
		way->step_first++;
	if (way->step_first < 64 || way->step_first < way->step_count / 2)
		return;
	memmove(way->steps, way->steps + way->step_first,
	    (way->step_count - way->step_first) * sizeof(*way->steps));
	way->step_count -= way->step_first;
	way->step_first = 0;
}

/* Reordering extent (RFC 4737 section 4.2.2): how many positions ago the first datagram with a higher n was
 * sent. */
static void extent_add(struct analysis_way *way, uint32_t n)
{
	size_t low = way->step_first, high = way->step_count;
	uint32_t extent;

	way->sent_position++;
	if (!way->step_count || way->steps[way->step_count - 1].n < n) {
		way->steps = memory_grow(way->steps, way->step_count, sizeof(*way->steps));
		way->steps[way->step_count++] = (struct extent_step){way->sent_position, n};
		extent_prune(way);
		return;
	}
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (way->steps[middle].n > n)
			high = middle;
		else
			low = middle + 1;
	}
	if (low == way->step_count)
		return; /* the same n was sent twice */
	extent = way->sent_position - way->steps[low].position;
	way->extent_sum += extent;
	way->extent_max = extent > way->extent_max ? extent : way->extent_max;
}

/* Notes the first data after the end of each recent blackout. */
#define RECOVERING_MAX 8 /* blackouts; of older ones no recovery is looked for any more */

static void note_recovery(struct analysis_session *session, enum way way, ns_t at)
{
	size_t count = session->blackout_count;
	size_t from = count > RECOVERING_MAX ? count - RECOVERING_MAX : 0;

	for (size_t i = from; i < session->blackout_count; i++) {
		struct analysis_blackout *blackout = &session->blackouts[i];

		if (blackout->ended && at >= blackout->ended && !blackout->data[way])
			blackout->data[way] = at;
	}
}

void analysis_sent(struct analysis *analysis, struct packet_record *record, ns_t at)
{
	struct analysis_session *session = &analysis->sessions[record->session];
	struct analysis_way *way = &session->ways[record->way];
	struct account *account = &session->accounts[record->way];

	account->queued--;
	account->sent++;
	if (record->n < session->sent_n[record->way])
		account->reordered++;
	else
		session->sent_n[record->way] = record->n;
	extent_add(way, record->n);
	runs_settled(&way->runs, record->n, false);
	record->fate = FATE_SENT;
	record->left = at;
	session->last = at > session->last ? at : session->last;
	if (record->data) {
		way->carried_bytes += record->data;
		note_recovery(session, (enum way)record->way, at);
	}
	sparse_add(&way->measured, at - record->at);
	way->slowest = at - record->at > way->slowest ? at - record->at : way->slowest;
}

void analysis_add_delay(struct analysis *analysis, const struct packet_record *record, bool on_purpose)
{
	struct analysis_way *way = &analysis->sessions[record->session].ways[record->way];

	way->delayed |= on_purpose;
	if (way->delayed)
		sparse_add(&way->counted, record->left - record->at);
}

void analysis_copied(struct analysis *analysis, const struct packet_record *record, ns_t at)
{
	if (analysis->brief)
		return;
	analysis->copies = memory_grow(analysis->copies, analysis->copy_count, sizeof(*analysis->copies));
	analysis->copies[analysis->copy_count++] = (struct analysis_copy){
	    .at = at, .record = (uint32_t)(record - analysis->records), .origin = ORIGIN_DUPLICATE};
}

/* ---- Reading ---- */

void analysis_reader_done(struct analysis *analysis, const struct reader *reader)
{
	reader_count_others(reader, &analysis->others);
	reader_notes(reader, &analysis->notes);
	if (analysis->cut_datagrams)
		text_add(&analysis->notes,
		    "of %" PRIu64 " datagrams the capture holds only the first bytes (snaplen)\n",
		    analysis->cut_datagrams);
	if (analysis->strange || analysis->others.size) {
		text_add(&analysis->notes, "not part of any session, and passed over: ");
		if (analysis->strange)
			text_add(&analysis->notes, "%" PRIu64 " UDP%s", analysis->strange,
			    analysis->others.size ? ", " : "");
		text_add(&analysis->notes, "%s\n", analysis->others.size ? analysis->others.at : "");
	}
	analysis->result.notes = analysis->notes.size ? analysis->notes.at : "";
	analysis->cut = reader_was_cut(reader);
}

void analysis_free(struct analysis *analysis)
{
	if (!analysis)
		return;
	for (size_t i = 0; i < analysis->session_count; i++) {
		struct analysis_session *session = &analysis->sessions[i];

		handshakes_free(&session->handshakes);
		free(session->blackouts);
		free(session->moves);
		rate_free(&session->rate);
		for (int w = 0; w < WAYS; w++) {
			struct analysis_way *way = &session->ways[w];

			sparse_free(&way->asked);
			sparse_free(&way->measured);
			sparse_free(&way->late);
			sparse_free(&way->counted);
			runs_free(&way->runs);
			free(session->open[w].all);
			free(way->causes);
			free(way->steps);
		}
	}
	for (size_t i = 0; i < analysis->words.count; i++)
		free(analysis->words.all[i]);
	for (size_t i = 0; i < analysis->event_count; i++)
		free(analysis->events[i].text);
	free(analysis->words.all);
	index_free(&analysis->words.index);
	index_free(&analysis->by_number);
	index_free(&analysis->by_n);
	free(analysis->copies);
	text_free(&analysis->scratch);
	free(analysis->events);
	free(analysis->sessions);
	free(analysis->records);
	free(analysis->ini);
	text_free(&analysis->notes);
	text_free(&analysis->others);
	run_summary_fini(&analysis->result);
	free(analysis);
}
