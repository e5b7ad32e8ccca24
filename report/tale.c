#include "report/tale.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/memory.h"
#include "report/tale_inside.h"

/* Content types that carry data, those above too: 254, and unified records of DTLS 1.3. */
#define TYPE_APPLICATION_DATA 23
#define TYPE_CID 25
#define TYPE_CID_RESUMED 253

void tale_copy_word(char *into, size_t room, struct word word)
{
	snprintf(into, room, "%.*s", (int)(word.size < room ? word.size : room - 1), word.at ? word.at : "");
}

uint32_t tale_words_add(struct tale_words *words, const char *text, size_t size)
{
	uint64_t key = chance_hash(1, text, size);
	uint32_t at = index_find(&words->index, key);

	if (at != INDEX_NONE)
		return at;
	words->all = memory_grow(words->all, words->count, sizeof(*words->all));
	words->all[words->count] = memory_text(text, size);
	index_add(&words->index, key, (uint32_t)words->count);
	return (uint32_t)words->count++;
}

struct tale_session *tale_session(struct tale *tale, uint32_t number, ns_t at)
{
	uint32_t i = index_find(&tale->by_number, number);
	struct tale_session *session;

	if (i != INDEX_NONE)
		return &tale->sessions[i];
	tale->sessions = memory_grow(tale->sessions, tale->session_count, sizeof(*tale->sessions));
	index_add(&tale->by_number, number, (uint32_t)tale->session_count);
	session = &tale->sessions[tale->session_count++];
	*session = (struct tale_session){
	    .number = number, .began = at, .last = at, .header = TALE_HEADER_IPV4};
	dtls_init(&session->dtls);
	return session;
}

static uint64_t key_of_n(uint32_t session, enum way way, uint32_t n)
{
	return (uint64_t)session << 33 | (uint64_t)way << 32 | n;
}

static uint32_t place_of(const struct tale *tale, const struct tale_session *session)
{
	return (uint32_t)(session - tale->sessions);
}

struct mark *tale_mark(const struct tale *tale, const struct tale_session *session, enum way way, uint32_t n)
{
	uint32_t i = index_find(&tale->by_n, key_of_n(place_of(tale, session), way, n));

	return i == INDEX_NONE ? NULL : &tale->marks[i];
}

/* ---- Arrivals ---- */

static uint32_t data_in(const struct tale_session *session, enum way way, const uint8_t *bytes, size_t size)
{
	struct dtls_walk walk;
	struct dtls_record record;
	size_t sum = 0;

	dtls_walk(&walk, &session->dtls, way, bytes, size);
	while (dtls_next(&walk, &record))
		if (record.type == TYPE_APPLICATION_DATA || record.type == TYPE_CID ||
		    record.type >= TYPE_CID_RESUMED)
			sum += record.body_size;
	return (uint32_t)sum;
}

/* The most telling of its kinds, for whoever reads about it. */
static uint8_t message_of(const struct dtls_peek *peek)
{
	for (int kind = DTLS_KIND_CLIENT_HELLO; kind <= DTLS_KIND_ALERT; kind++)
		if (peek->kinds >> kind & 1)
			return (uint8_t)(kind + 1);
	return 0;
}

/* The bytes of a datagram; zeros stand for what the capture has cut: record headers say how long they are. */
static const uint8_t *whole(struct tale *tale, const struct decoded *decoded)
{
	struct text *text = &tale->scratch;

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

void tale_look(
    struct tale *tale, struct tale_session *session, struct mark *mark, const struct decoded *decoded)
{
	enum way way = (enum way)mark->way;
	struct tale_way *own = &session->ways[way];
	const uint8_t *bytes = whole(tale, decoded);
	struct dtls_peek peek;

	dtls_look(&session->dtls, way, bytes, decoded->size, &peek);
	handshakes_arrived(&session->handshakes, &session->dtls, way, &peek, bytes, decoded->size, mark->at);
	if (decoded->kept < decoded->size) {
		tale->cut_datagrams++;
		handshakes_cut(&session->handshakes);
	}
	own->cid_records += peek.kinds >> DTLS_KIND_CID & 1;
	own->alerts += peek.kinds >> DTLS_KIND_ALERT & 1;
	mark->data = peek.first.type == DTLS_NONE ? 0 : data_in(session, way, bytes, decoded->size);
	mark->message = message_of(&peek);
	mark->number = peek.first.type == DTLS_NONE ? DTLS_NUMBER_HIDDEN : peek.first.number;
}

void tale_left(struct tale_session *session, enum way way, const struct decoded *decoded)
{
	session->ways[way].wire_bytes += decoded->size + session->header;
}

void tale_changed(
    struct tale *tale, struct tale_session *session, struct mark *mark, const struct decoded *decoded)
{
	if (mark->data)
		mark->data = data_in(session, (enum way)mark->way, whole(tale, decoded), decoded->size);
}

void tale_delivered(
    struct tale *tale, struct tale_session *session, enum way way, const struct decoded *decoded, ns_t at)
{
	handshakes_delivered(
	    &session->handshakes, &session->dtls, way, whole(tale, decoded), decoded->size, at);
}

static void hear(struct tale_way *way, ns_t at)
{
	if (way->last && at - way->last > way->silence) {
		way->silence = at - way->last;
		way->silence_from = way->last;
	}
	if (!way->first)
		way->first = at;
	way->last = at > way->last ? at : way->last;
}

static struct mark *mark_new(struct tale *tale)
{
	struct mark *mark;

	if (tale->free_mark) {
		mark = &tale->marks[tale->free_mark - 1];
		tale->free_mark = mark->words;
		return mark;
	}
	tale->marks = memory_grow(tale->marks, tale->mark_count, sizeof(*tale->marks));
	return &tale->marks[tale->mark_count++];
}

void tale_done(struct tale *tale, struct mark *mark)
{
	if (!tale->brief || mark->fate == FATE_WAITS || mark->copies > mark->copies_done)
		return;
	index_remove(&tale->by_n, key_of_n(mark->session, (enum way)mark->way, mark->n));
	mark->words = tale->free_mark;
	tale->free_mark = (uint32_t)(mark - tale->marks) + 1;
}

struct mark *tale_arrived(struct tale *tale, struct tale_session *session, enum way way, uint32_t n,
    const struct decoded *decoded, ns_t at)
{
	struct account *account = &session->accounts[way];
	struct mark *mark;

	mark = mark_new(tale);
	index_add(&tale->by_n, key_of_n(place_of(tale, session), way, n), (uint32_t)(mark - tale->marks));
	runs_arrived(&session->ways[way].runs, n);
	rate_add(&session->rate, way, (uint32_t)decoded->size, at);
	*mark = (struct mark){.at = at,
	    .delay_us = -1,
	    .session = place_of(tale, session),
	    .n = n,
	    .size = (uint32_t)decoded->size,
	    .way = (uint8_t)way,
	    .fate = FATE_WAITS};
	account->received++;
	account->bytes += decoded->size;
	account->queued++;
	session->last = at > session->last ? at : session->last;
	hear(&session->ways[way], at);
	return mark;
}

/* ---- Fates ---- */

/* The last place takes all for which there is none of their own. */
static struct cause *cause_get(struct tale_way *way, enum reason reason, const char *by, size_t size)
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

void tale_dropped(
    struct tale *tale, struct mark *mark, enum reason reason, const char *by, size_t by_size, ns_t at)
{
	struct tale_session *session = &tale->sessions[mark->session];
	struct account *account = &session->accounts[mark->way];
	size_t size = by_size < sizeof(((struct cause *)0)->by) ? by_size
	                                                        : sizeof(((struct cause *)0)->by) - 1;

	cause_get(&session->ways[mark->way], reason, by, size)->count++;
	account->queued--;
	account->dropped[reason]++;
	session->ways[mark->way].lost++;
	runs_settled(&session->ways[mark->way].runs, mark->n, true);
	mark->fate = FATE_DROPPED;
	mark->reason = (uint8_t)reason;
	mark->left = at;
}

/* What is older than the oldest open one can be asked for no more: all but the last step below it goes. */
static void extent_prune(struct tale_way *way)
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

/* RFC 4737 section 4.2.2: how many datagrams back the first one stands that has a higher n. */
static void extent_add(struct tale_way *way, uint32_t n)
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
		return; /* the same n again */
	extent = way->sent_position - way->steps[low].position;
	way->extent_sum += extent;
	way->extent_max = extent > way->extent_max ? extent : way->extent_max;
}

static void recover(struct tale_session *session, enum way way, ns_t at)
{
	size_t from = session->blackout_count > 8 ? session->blackout_count - 8 : 0;

	for (size_t i = from; i < session->blackout_count; i++) {
		struct tale_blackout *blackout = &session->blackouts[i];

		if (blackout->ended && at >= blackout->ended && !blackout->data[way])
			blackout->data[way] = at;
	}
}

void tale_sent(struct tale *tale, struct mark *mark, ns_t at)
{
	struct tale_session *session = &tale->sessions[mark->session];
	struct tale_way *way = &session->ways[mark->way];
	struct account *account = &session->accounts[mark->way];

	account->queued--;
	account->sent++;
	if (mark->n < session->sent_n[mark->way])
		account->reordered++;
	else
		session->sent_n[mark->way] = mark->n;
	extent_add(way, mark->n);
	runs_settled(&way->runs, mark->n, false);
	mark->fate = FATE_SENT;
	mark->left = at;
	session->last = at > session->last ? at : session->last;
	if (mark->data) {
		way->carried_bytes += mark->data;
		recover(session, (enum way)mark->way, at);
	}
	sparse_add(&way->measured, at - mark->at);
	way->slowest = at - mark->at > way->slowest ? at - mark->at : way->slowest;
}

void tale_measured(struct tale *tale, const struct mark *mark, bool on_purpose)
{
	struct tale_way *way = &tale->sessions[mark->session].ways[mark->way];

	way->delayed |= on_purpose;
	if (way->delayed)
		sparse_add(&way->counted, mark->left - mark->at);
}

void tale_copied(struct tale *tale, const struct mark *mark, ns_t at)
{
	if (tale->brief)
		return;
	tale->copies = memory_grow(tale->copies, tale->copy_count, sizeof(*tale->copies));
	tale->copies[tale->copy_count++] = (struct tale_copy){
	    .at = at, .mark = (uint32_t)(mark - tale->marks), .origin = ORIGIN_DUPLICATE};
}

/* ---- Reading ---- */

void tale_reader_done(struct tale *tale, const struct reader *reader)
{
	reader_others(reader, &tale->others);
	reader_notes(reader, &tale->notes);
	if (tale->cut_datagrams)
		text_add(&tale->notes,
		    "of %" PRIu64 " datagrams the capture holds only the first bytes (snaplen)\n",
		    tale->cut_datagrams);
	if (tale->strange || tale->others.size) {
		text_add(&tale->notes, "not part of any session, and passed over: ");
		if (tale->strange)
			text_add(
			    &tale->notes, "%" PRIu64 " UDP%s", tale->strange, tale->others.size ? ", " : "");
		text_add(&tale->notes, "%s\n", tale->others.size ? tale->others.at : "");
	}
	tale->sheet.notes = tale->notes.size ? tale->notes.at : "";
	tale->cut = reader_was_cut(reader);
}

void tale_free(struct tale *tale)
{
	if (!tale)
		return;
	for (size_t i = 0; i < tale->session_count; i++) {
		struct tale_session *session = &tale->sessions[i];

		handshakes_free(&session->handshakes);
		free(session->blackouts);
		rate_free(&session->rate);
		for (int w = 0; w < WAYS; w++) {
			struct tale_way *way = &session->ways[w];

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
	for (size_t i = 0; i < tale->words.count; i++)
		free(tale->words.all[i]);
	for (size_t i = 0; i < tale->event_count; i++)
		free(tale->events[i].text);
	free(tale->words.all);
	index_free(&tale->words.index);
	index_free(&tale->by_number);
	index_free(&tale->by_n);
	free(tale->copies);
	text_free(&tale->scratch);
	free(tale->events);
	free(tale->sessions);
	free(tale->marks);
	free(tale->ini);
	text_free(&tale->notes);
	text_free(&tale->others);
	sheet_fini(&tale->sheet);
	free(tale);
}
