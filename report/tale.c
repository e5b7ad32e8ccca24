#include "report/tale.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "capture/fields.h"
#include "capture/pcapng.h"
#include "report/tale_inside.h"

#define HEX_MAX 80 /* bytes of a copy that are kept */
/* Content types that carry data, those above too: 254, and unified records of DTLS 1.3. */
#define TYPE_APPLICATION_DATA 23
#define TYPE_CID 25
#define TYPE_CID_RESUMED 253

/* ---- What grows ---- */

void *tale_grow(void *array, size_t count, size_t *room, size_t each)
{
	if (count < *room)
		return array;
	*room = *room ? 2 * *room : 16;
	array = realloc(array, *room * each);
	assert(array);
	return array;
}

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
	words->all = tale_grow(words->all, words->count, &words->room, sizeof(*words->all));
	words->all[words->count] = strndup(text, size);
	assert(words->all[words->count]);
	index_add(&words->index, key, (uint32_t)words->count);
	return (uint32_t)words->count++;
}

struct tale_session *tale_session(struct tale *tale, uint32_t number, ns_t at)
{
	uint32_t i = index_find(&tale->by_number, number);
	struct tale_session *session;

	if (i != INDEX_NONE)
		return &tale->sessions[i];
	tale->sessions = tale_grow(
	    tale->sessions, tale->session_count, &tale->session_room, sizeof(*tale->sessions));
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

static uint32_t data_in(const struct tale_session *session, enum way way, const struct decoded *decoded)
{
	struct dtls_walk walk;
	struct dtls_record record;
	size_t sum = 0;

	dtls_walk(&walk, &session->dtls, way, decoded->payload, decoded->kept);
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

void tale_look(struct tale_session *session, struct mark *mark, const struct decoded *decoded)
{
	enum way way = (enum way)mark->way;
	struct tale_way *own = &session->ways[way];
	struct dtls_peek peek;

	dtls_look(&session->dtls, way, decoded->payload, decoded->kept, &peek);
	handshakes_look(&session->handshakes, &session->dtls, way, &peek, mark->at);
	own->cid_records += peek.kinds >> DTLS_KIND_CID & 1;
	own->alerts += peek.kinds >> DTLS_KIND_ALERT & 1;
	mark->data = peek.first.type == DTLS_NONE ? 0 : data_in(session, way, decoded);
	mark->message = message_of(&peek);
	mark->number = peek.first.type == DTLS_NONE ? DTLS_NUMBER_HIDDEN : peek.first.number;
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

struct mark *tale_arrived(struct tale *tale, struct tale_session *session, enum way way, uint32_t n,
    const struct decoded *decoded, ns_t at)
{
	struct account *account = &session->accounts[way];
	struct mark *mark;

	tale->marks = tale_grow(tale->marks, tale->mark_count, &tale->mark_room, sizeof(*tale->marks));
	index_add(&tale->by_n, key_of_n(place_of(tale, session), way, n), (uint32_t)tale->mark_count);
	mark = &tale->marks[tale->mark_count++];
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
	way->causes = tale_grow(way->causes, i, &way->cause_room, sizeof(*way->causes));
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
	mark->fate = FATE_DROPPED;
	mark->reason = (uint8_t)reason;
	mark->left = at;
}

/* RFC 4737 section 4.2.2: how many datagrams back the first one stands that has a higher n. */
static void extent_add(struct tale_way *way, uint32_t n)
{
	size_t low = 0, high = way->step_count;
	uint32_t extent;

	way->sent_position++;
	if (!way->step_count || way->steps[way->step_count - 1].n < n) {
		way->steps = tale_grow(way->steps, way->step_count, &way->step_room, sizeof(*way->steps));
		way->steps[way->step_count++] = (struct extent_step){way->sent_position, n};
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
	mark->fate = FATE_SENT;
	mark->left = at;
	way->wire_bytes += mark->size + session->header;
	session->last = at > session->last ? at : session->last;
	if (mark->data) {
		way->carried_bytes += mark->data;
		recover(session, (enum way)mark->way, at);
	}
	way->slowest = at - mark->at > way->slowest ? at - mark->at : way->slowest;
}

void tale_delayed(struct tale *tale, struct mark *mark, bool on_purpose)
{
	struct tale_way *way = &tale->sessions[mark->session].ways[mark->way];

	way->delayed |= on_purpose;
	mark->counted = way->delayed;
}

/* ---- Our own: comments ---- */

/* What the mark has no number for: "by=… hold=… did=… dev=… dtls=TYPE/EPOCH/". */
static uint32_t rest_of(struct tale *tale, const struct fields *fields)
{
	const struct {
		const char *key;
		struct word word;
	} rows[] = {
	    {"by", fields->by}, {"hold", fields->hold}, {"did", fields->did}, {"dev", fields->device}};
	struct word dtls = fields->dtls;
	struct text *text = &tale->scratch;

	text_clear(text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].word.at)
			text_add(text, "%s%s=%.*s", text->size ? " " : "", rows[i].key,
			    (int)rows[i].word.size, rows[i].word.at);
	while (dtls.size && dtls.at[dtls.size - 1] != '/')
		dtls.size--;
	if (!dtls.size)
		dtls = fields->dtls;
	if (dtls.at)
		text_add(text, "%sdtls=%.*s", text->size ? " " : "", (int)dtls.size, dtls.at);
	return tale_words_add(&tale->words, text->at ? text->at : "", text->size);
}

/* "set:57:12,truncate:100": what its bytes became, as rules can do it again. The bytes of a deed that the
 * capture did not keep are not known: "corrupt:57". */
static uint32_t deeds_of(struct tale *tale, const struct fields *fields, const struct decoded *decoded)
{
	struct text *text = &tale->scratch;
	struct word left = fields->did, deed;
	uint8_t *bytes;

	if (!fields->did.at)
		return 0;
	text_clear(text);
	bytes = malloc(decoded->kept + 1);
	assert(bytes);
	memcpy(bytes, decoded->payload, decoded->kept);
	while ((deed = word_first(left)).size) {
		unsigned byte = 0, value = 0;
		char one[40];

		tale_copy_word(one, sizeof(one), deed);
		text_add(text, "%s", text->size ? "," : "");
		if (sscanf(one, "corrupt:%u.%u", &byte, &value) == 2 && byte < decoded->kept && value < 8) {
			bytes[byte] ^= (uint8_t)(1u << value);
			text_add(text, "set:%u:%u", byte, bytes[byte]);
		} else if (sscanf(one, "set:%u:%u", &byte, &value) == 2 && byte < decoded->kept) {
			bytes[byte] = (uint8_t)value;
			text_add(text, "set:%u:%u", byte, bytes[byte]);
		} else if (sscanf(one, "corrupt:%u.", &byte) == 1) {
			text_add(text, "corrupt:%u", byte);
		} else {
			text_add(text, "%s", one);
		}
		if (deed.size == left.size)
			break;
		left = (struct word){left.at + deed.size + 1, left.size - deed.size - 1};
	}
	free(bytes);
	return tale_words_add(&tale->words, text->at, text->size) + 1;
}

static uint32_t hash_of(const struct decoded *decoded)
{
	return (uint32_t)chance_hash(decoded->size, decoded->payload, decoded->kept);
}

static void link_named(struct tale_session *session, struct word by)
{
	struct word one;

	while ((one = word_first(by)).size) {
		if (one.size > 5 && memcmp(one.at, "link:", 5) == 0)
			tale_copy_word(
			    session->link, sizeof(session->link), (struct word){one.at + 5, one.size - 5});
		if (one.size == by.size)
			return;
		by = (struct word){by.at + one.size + 1, by.size - one.size - 1};
	}
}

static bool contains(struct word word, const char *text)
{
	return word.at && memmem(word.at, word.size, text, strlen(text));
}

static void refused(struct tale *tale, const struct fields *fields, const struct decoded *decoded)
{
	struct account *account = &tale->refused[fields->way];

	account->received++;
	account->bytes += decoded->size;
	account->dropped[fields->reason]++;
}

static void ends_learn(
    struct tale_session *session, const struct fields *fields, const struct decoded *decoded)
{
	bool device_side = (fields->kind == FIELDS_ARRIVED) == (fields->way == WAY_UP);
	bool from_proxy = fields->kind != FIELDS_ARRIVED;

	if (device_side) {
		session->device = from_proxy ? decoded->to : decoded->from;
		session->header = session->device.family == FAMILY_IPV6 ? TALE_HEADER_IPV6 : TALE_HEADER_IPV4;
	} else if (fields->kind != FIELDS_ARRIVED || !session->cloud_port) {
		session->cloud_port = from_proxy ? decoded->from.port : decoded->to.port;
	}
}

static void arrived(struct tale *tale, struct tale_session *session, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	struct mark *mark;

	if (tale_mark(tale, session, fields->way, fields->n)) {
		tale->strange++;
		return;
	}
	mark = tale_arrived(tale, session, fields->way, fields->n, decoded, at);
	/* What dies of these is seen by no rule: no hello is learned from it. */
	if (fields->reason != REASON_OVERLOAD && fields->reason != REASON_NAT_EXPIRED)
		tale_look(session, mark, decoded);
	mark->words = rest_of(tale, fields);
	mark->deeds = deeds_of(tale, fields, decoded);
	mark->hash = mark->deeds ? hash_of(decoded) : 0;
	mark->copies = (uint16_t)(fields->copies < UINT16_MAX ? fields->copies : UINT16_MAX);
	session->accounts[fields->way].copies += mark->copies;
	session->accounts[fields->way].queued += mark->copies;
	session->ways[fields->way].copies_due += mark->copies;
	session->accounts[fields->way].corrupted += contains(fields->did, "corrupt:");
	if (fields->delay != NS_UNKNOWN)
		mark->delay_us = fields->delay / NS_US;
	link_named(session, fields->by);
	if (fields->device.at)
		tale_copy_word(session->section, sizeof(session->section), fields->device);
	if (fields->reason) {
		struct word by = word_first(fields->by);

		tale_dropped(tale, mark, fields->reason, by.at ? by.at : "", by.size, at);
	}
}

/* Bytes that no rule could make again from the datagram's own, as hex where an ini line has room for them. */
static uint32_t hex_of(struct tale *tale, const struct decoded *decoded)
{
	char hex[2 * HEX_MAX + 1];

	if (decoded->kept < decoded->size || decoded->size > HEX_MAX || !decoded->size)
		return 0;
	for (size_t i = 0; i < decoded->size; i++)
		snprintf(hex + 2 * i, 3, "%02x", decoded->payload[i]);
	return tale_words_add(&tale->words, hex, 2 * decoded->size) + 1;
}

void tale_copied(struct tale *tale, const struct mark *mark, ns_t at)
{
	tale->copies = tale_grow(tale->copies, tale->copy_count, &tale->copy_room, sizeof(*tale->copies));
	tale->copies[tale->copy_count++] = (struct tale_copy){
	    .at = at, .mark = (uint32_t)(mark - tale->marks), .origin = ORIGIN_DUPLICATE};
}

static void copy_keep(struct tale *tale, const struct mark *mark, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	bool own_bytes = fields->origin == ORIGIN_INJECT || fields->origin == ORIGIN_DECOY;

	tale_copied(tale, mark, at);
	tale->copies[tale->copy_count - 1].origin = (uint8_t)fields->origin;
	tale->copies[tale->copy_count - 1].hex = own_bytes ? hex_of(tale, decoded) : 0;
	tale->copies[tale->copy_count - 1].untouched = mark->deeds && mark->hash == hash_of(decoded);
}

static void copy_left(struct tale *tale, struct tale_session *session, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	struct account *account = &session->accounts[fields->way];
	struct tale_way *way = &session->ways[fields->way], *other = &session->ways[way_back(fields->way)];
	struct mark *mark = tale_mark(tale, session, fields->way, fields->n);
	bool later = fields->origin == ORIGIN_LINK && (!mark || fields->copy > mark->copies);

	/* One that was made later, of a joint datagram, stands in no arrival's `copies`; one that a datagram
	 * of the other way asked for (`replay KIND`) stands in that one's. */
	if (!later && !way->copies_due && other->copies_due) {
		other->copies_due--;
		session->accounts[way_back(fields->way)].copies--;
		session->accounts[way_back(fields->way)].queued--;
		later = true;
	}
	if (later || !way->copies_due) {
		account->copies++;
		account->queued++;
	} else {
		way->copies_due--;
	}
	account->queued--;
	if (fields->kind == FIELDS_UNSENT) {
		account->dropped[fields->reason]++;
		return;
	}
	account->sent++;
	way->copies_sent[fields->origin]++;
	way->wire_bytes += (mark ? mark->size : 0) + session->header;
	session->last = at > session->last ? at : session->last;
	if (mark && mark->copies_sent < UINT16_MAX)
		mark->copies_sent++;
	if (mark)
		copy_keep(tale, mark, fields, decoded, at);
}

static void one_left(
    struct tale *tale, struct tale_session *session, const struct fields *fields, uint32_t n, ns_t at)
{
	struct mark *mark = tale_mark(tale, session, fields->way, n);

	if (!mark || mark->fate != FATE_WAITS) {
		tale->strange++;
		return;
	}
	if (fields->kind == FIELDS_UNSENT) {
		tale_dropped(tale, mark, fields->reason, "", 0, at);
		return;
	}
	tale_sent(tale, mark, at);
	if (fields->delay == NS_UNKNOWN || fields->late == NS_UNKNOWN)
		return;
	tale_delayed(tale, mark, fields->delay > 0);
	mark->delay_us = fields->delay / NS_US;
	mark->late_us = (int32_t)(fields->late / NS_US < INT32_MAX ? fields->late / NS_US : INT32_MAX);
	mark->timed = true;
}

static void left(struct tale *tale, struct tale_session *session, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	struct word packed = fields->packed;
	uint32_t n;

	if (fields->copy) {
		copy_left(tale, session, fields, decoded, at);
	} else if (packed.at) {
		session->accounts[fields->way].corrupted += contains(fields->did, "corrupt");
		tale->joints++;
		while (fields_packed(&packed, &n))
			one_left(tale, session, fields, n, at);
	} else {
		one_left(tale, session, fields, fields->n, at);
	}
}

static bool take_commented(
    struct tale *tale, const struct reader_packet *packet, const struct decoded *decoded)
{
	struct tale_session *session;
	struct fields fields;

	if (!fields_read(packet->comment, &fields))
		return false;
	if (!fields.session) {
		refused(tale, &fields, decoded);
		return true;
	}
	session = tale_session(tale, fields.session, packet->at);
	ends_learn(session, &fields, decoded);
	if (fields.kind == FIELDS_ARRIVED)
		arrived(tale, session, &fields, decoded, packet->at);
	else
		left(tale, session, &fields, decoded, packet->at);
	return true;
}

/* ---- Reading ---- */

static void take_packet(struct tale *tale, const struct reader_packet *packet)
{
	struct decoded decoded;

	if (!tale->packets++)
		tale->first = packet->at;
	tale->last = packet->at > tale->last ? packet->at : tale->last;
	if (decode_packet(packet->link_type, packet->bytes, packet->size, &decoded) != DECODE_UDP)
		tale->strange++;
	else if (strcmp(packet->interface, "events") == 0)
		tale_event(tale, &decoded, packet->at);
	else if (!take_commented(tale, packet, &decoded))
		tale->strange++;
}

static int read_ours(struct tale *tale, struct reader *reader, struct error *error)
{
	struct reader_packet packet;

	tale->kind = TALE_OURS;
	while (reader_next(reader, &packet, error))
		take_packet(tale, &packet);
	if (error->text[0])
		return -1;
	tale_header(tale, reader);
	if (reader_closing(reader))
		tale_closing(tale, reader_closing(reader));
	tale->cut = reader_was_cut(reader);
	return 0;
}

/* Ours with comments: the first packet's header has been read by then. */
static int read_file(struct tale *tale, const char *path, const struct tale_wish *wish, struct error *error)
{
	struct reader *reader = reader_open(path, error);
	struct reader_packet packet;
	bool ours;
	int status;

	if (!reader)
		return -1;
	(void)reader_next(reader, &packet, error);
	ours = reader_is_ours(reader);
	reader_close(reader);
	if (!ours)
		return tale_read_bare(tale, path, wish, error);
	reader = reader_open(path, error);
	if (!reader)
		return -1;
	status = read_ours(tale, reader, error);
	reader_close(reader);
	return status;
}

struct tale *tale_read(const char *path, const struct tale_wish *wish, struct error *error)
{
	struct tale *tale = calloc(1, sizeof(*tale));

	assert(tale);
	tale->sheet.exit = -1;
	if (read_file(tale, path, wish, error)) {
		tale_free(tale);
		return NULL;
	}
	tale_end(tale);
	return tale;
}

void tale_free(struct tale *tale)
{
	if (!tale)
		return;
	for (size_t i = 0; i < tale->session_count; i++) {
		struct tale_session *session = &tale->sessions[i];

		handshakes_free(&session->handshakes);
		free(session->blackouts);
		for (int way = 0; way < WAYS; way++) {
			free(session->ways[way].causes);
			free(session->ways[way].steps);
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
	free(tale->told);
	sheet_fini(&tale->sheet);
	free(tale);
}
