#include "report/tale.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "capture/fields.h"
#include "capture/pcapng.h"
#include "report/tale_inside.h"

#define HEADER_IPV4 28 /* IP and UDP */
#define HEADER_IPV6 48
#define LIVE_MARK "live " /* an event: something was changed while it ran */
#define HEX_MAX 80 /* bytes of a copy that are kept */
/* Content types that carry data, those above too: 254, and unified records of DTLS 1.3. */
#define TYPE_APPLICATION_DATA 23
#define TYPE_CID 25
#define TYPE_CID_RESUMED 253

/* ---- What grows ---- */

static void *grow(void *array, size_t count, size_t *room, size_t each)
{
	if (count < *room)
		return array;
	*room = *room ? 2 * *room : 16;
	array = realloc(array, *room * each);
	assert(array);
	return array;
}

static void copy_word(char *into, size_t room, struct word word)
{
	snprintf(into, room, "%.*s", (int)(word.size < room ? word.size : room - 1), word.at ? word.at : "");
}

uint32_t tale_words_add(struct tale_words *words, const char *text, size_t size)
{
	uint64_t key = chance_hash(1, text, size);
	uint32_t at = index_find(&words->index, key);

	if (at != INDEX_NONE)
		return at;
	words->all = grow(words->all, words->count, &words->room, sizeof(*words->all));
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
	tale->sessions = grow(
	    tale->sessions, tale->session_count, &tale->session_room, sizeof(*tale->sessions));
	index_add(&tale->by_number, number, (uint32_t)tale->session_count);
	session = &tale->sessions[tale->session_count++];
	*session = (struct tale_session){.number = number, .began = at, .last = at, .header = HEADER_IPV4};
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

static void buckets_grow(struct buckets **buckets, ns_t value)
{
	if (!*buckets)
		*buckets = calloc(1, sizeof(**buckets));
	assert(*buckets);
	buckets_add(*buckets, value);
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

	tale->marks = grow(tale->marks, tale->mark_count, &tale->mark_room, sizeof(*tale->marks));
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

static struct cause *cause_get(struct tale_way *way, enum reason reason, const char *by, size_t size)
{
	size_t i = 0;

	for (; i < way->cause_count; i++)
		if (way->causes[i].reason == reason && strlen(way->causes[i].by) == size &&
		    memcmp(way->causes[i].by, by, size) == 0)
			return &way->causes[i];
	if (i == CAUSES_MAX)
		return NULL;
	way->causes[i].reason = reason;
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
	struct cause *cause = cause_get(&session->ways[mark->way], reason, by, size);

	if (cause)
		cause->count++;
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
		way->steps = grow(way->steps, way->step_count, &way->step_room, sizeof(*way->steps));
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
	buckets_grow(&way->measured, at - mark->at);
}

void tale_delayed(struct tale *tale, const struct mark *mark, bool on_purpose)
{
	struct tale_way *way = &tale->sessions[mark->session].ways[mark->way];

	if (on_purpose || way->delays)
		buckets_grow(&way->delays, mark->left - mark->at);
}

/* ---- Our own: comments ---- */

/* What the mark has no number for: "by=… hold=… did=… copies=… dtls=TYPE/EPOCH/ dev=…". */
static uint32_t rest_of(struct tale *tale, const struct fields *fields)
{
	const struct {
		const char *key;
		struct word word;
	} rows[] = {
	    {"by", fields->by}, {"hold", fields->hold}, {"did", fields->did}, {"dev", fields->device}};
	struct word dtls = fields->dtls;
	char text[1024];
	size_t size = 0;
	uint32_t words;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].word.at && rows[i].word.size < 200)
			size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s=%.*s",
			    size ? " " : "", rows[i].key, (int)rows[i].word.size, rows[i].word.at);
	while (dtls.size && dtls.at[dtls.size - 1] != '/')
		dtls.size--;
	if (!dtls.size)
		dtls = fields->dtls;
	if (dtls.at && dtls.size < 64)
		size += (size_t)snprintf(text + size, sizeof(text) - size, "%sdtls=%.*s", size ? " " : "",
		    (int)dtls.size, dtls.at);
	words = tale_words_add(&tale->words, text, size);
	return words;
}

static void link_named(struct tale_session *session, struct word by)
{
	struct word one;

	while ((one = word_first(by)).size) {
		if (one.size > 5 && memcmp(one.at, "link:", 5) == 0)
			copy_word(
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
		session->header = session->device.family == FAMILY_IPV6 ? HEADER_IPV6 : HEADER_IPV4;
	} else if (fields->kind == FIELDS_SENT) {
		session->cloud_port = decoded->from.port;
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
	mark->copies = (uint16_t)(fields->copies < UINT16_MAX ? fields->copies : UINT16_MAX);
	session->accounts[fields->way].copies += mark->copies;
	session->accounts[fields->way].queued += mark->copies;
	session->ways[fields->way].copies_due += mark->copies;
	session->accounts[fields->way].corrupted += contains(fields->did, "corrupt:");
	if (fields->delay != NS_UNKNOWN)
		mark->delay_us = fields->delay / NS_US;
	link_named(session, fields->by);
	if (fields->device.at)
		copy_word(session->section, sizeof(session->section), fields->device);
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
	tale->copies = grow(tale->copies, tale->copy_count, &tale->copy_room, sizeof(*tale->copies));
	tale->copies[tale->copy_count++] =
	    (struct tale_copy){.at = at, .mark = (uint32_t)(mark - tale->marks), .origin = ORIGIN_DUPLICATE};
}

static void copy_keep(struct tale *tale, const struct mark *mark, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	bool own_bytes = fields->origin == ORIGIN_INJECT || fields->origin == ORIGIN_DECOY;

	tale_copied(tale, mark, at);
	tale->copies[tale->copy_count - 1].origin = (uint8_t)fields->origin;
	tale->copies[tale->copy_count - 1].hex = own_bytes ? hex_of(tale, decoded) : 0;
}

static void copy_left(struct tale *tale, struct tale_session *session, const struct fields *fields,
    const struct decoded *decoded, ns_t at)
{
	struct account *account = &session->accounts[fields->way];
	struct tale_way *way = &session->ways[fields->way];
	struct mark *mark = tale_mark(tale, session, fields->way, fields->n);
	bool later = fields->origin == ORIGIN_LINK && (!mark || fields->copy > mark->copies);

	/* One that was made later, of a joint datagram, stands in no arrival's `copies`. */
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
	struct tale_way *way = &session->ways[fields->way];

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
	buckets_grow(&way->asked, fields->delay);
	buckets_grow(&way->late, fields->late);
	buckets_grow(&tale->late, fields->late);
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

/* ---- Our own: events ---- */

static struct tale_blackout *blackout_add(struct tale_session *session, ns_t at)
{
	session->blackouts = grow(session->blackouts, session->blackout_count, &session->blackout_room,
	    sizeof(*session->blackouts));
	session->blackouts[session->blackout_count] = (struct tale_blackout){.began = at};
	return &session->blackouts[session->blackout_count++];
}

/* "40s up hold by=rule:x" */
static void blackout_begins(struct tale_session *session, const char *text, size_t size, ns_t at)
{
	struct tale_blackout *blackout = blackout_add(session, at);
	bool up = memmem(text, size, " up", 3), down = memmem(text, size, " down", 5);

	blackout->ways[WAY_UP] = up || !down;
	blackout->ways[WAY_DOWN] = down || !up;
	blackout->hold = memmem(text, size, " hold", 5);
	copy_word(blackout->by, sizeof(blackout->by), line_field(text, size, "by"));
}

/* "" for both, or "up", or "down": those of that way that are open end. */
static void blackout_ends(struct tale_session *session, const char *text, size_t size, ns_t at)
{
	bool up = !memmem(text, size, "down", 4), down = !memmem(text, size, "up", 2);

	for (size_t i = 0; i < session->blackout_count; i++) {
		struct tale_blackout *blackout = &session->blackouts[i];

		if (!blackout->ended && (!blackout->ways[WAY_UP] || up) &&
		    (!blackout->ways[WAY_DOWN] || down))
			blackout->ended = at;
	}
}

static bool starts(const char **text, size_t *size, const char *head)
{
	size_t length = strlen(head);

	if (*size < length || memcmp(*text, head, length) != 0)
		return false;
	*text += length;
	*size -= length;
	return true;
}

static void event_of_session(struct tale *tale, uint32_t number, const char *text, size_t size, ns_t at)
{
	struct tale_session *session = tale_session(tale, number, at);
	struct word value;
	char address[ADDRESS_TEXT_ROOM];
	struct error error;

	if (starts(&text, &size, "session-begins ")) {
		session->began = at;
		copy_word(address, sizeof(address), line_field(text, size, "device"));
		(void)address_read(address, &session->device, &error);
		session->header = session->device.family == FAMILY_IPV6 ? HEADER_IPV6 : HEADER_IPV4;
		copy_word(session->section, sizeof(session->section), line_field(text, size, "dev"));
		copy_word(session->link, sizeof(session->link), line_field(text, size, "link"));
		copy_word(session->identity, sizeof(session->identity), line_field(text, size, "identity"));
	} else if (starts(&text, &size, "session-ends ")) {
		session->ended = memmem(text, size, "idle", 4) ? "idle" : "max-sessions";
	} else if (starts(&text, &size, "blackout-begins ")) {
		blackout_begins(session, text, size, at);
	} else if (starts(&text, &size, "blackout-ends")) {
		blackout_ends(session, text, size, at);
	} else if (starts(&text, &size, "nat-rebound ")) {
		session->rebinds++;
	} else if (starts(&text, &size, "device-moved ")) {
		copy_word(address, sizeof(address), line_field(text, size, "device"));
		(void)address_read(address, &session->device, &error);
	} else if (starts(&text, &size, "link ")) {
		value = (struct word){text, strcspn(text, " ") < size ? strcspn(text, " ") : size};
		copy_word(session->link, sizeof(session->link), value);
	}
}

static void take_event(struct tale *tale, const struct decoded *decoded, ns_t at)
{
	static const char mark[] = "deadzone deadzone: ";
	const char *line = (const char *)decoded->payload;
	const char *text = memmem(line, decoded->kept, mark, sizeof(mark) - 1);
	struct tale_event *event;
	uint32_t session = 0;

	if (!text) {
		tale->strange++;
		return;
	}
	tale->events = grow(tale->events, tale->event_count, &tale->event_room, sizeof(*tale->events));
	event = &tale->events[tale->event_count++];
	event->text = strndup(
	    text + sizeof(mark) - 1, decoded->kept - (size_t)(text - line) - (sizeof(mark) - 1));
	assert(event->text);
	event->at = at;
	if (strncmp(event->text, "s=", 2) == 0) {
		char *rest;

		session = (uint32_t)strtoul(event->text + 2, &rest, 10);
		memmove(event->text, rest + (*rest == ' '), strlen(rest + (*rest == ' ')) + 1);
	}
	event->session = session;
	if (strncmp(event->text, LIVE_MARK, sizeof(LIVE_MARK) - 1) == 0)
		tale->live = true;
	if (session)
		event_of_session(tale, session, event->text, strlen(event->text), at);
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
		take_event(tale, &decoded, packet->at);
	else if (!take_commented(tale, packet, &decoded))
		tale->strange++;
}

/* "rule=NAME matched=N fired=N", "failed rule=NAME s=N got=N want=TEXT", "lateness_us p50=…", … */
static void closing_line(struct tale *tale, const char *line, size_t size)
{
	struct sheet *sheet = &tale->sheet;
	struct word word = line_field(line, size, "rule"), value;
	char text[80];
	uint64_t number;

	if (starts(&line, &size, "failed ")) {
		struct sheet_failure *failure;

		sheet->failures = realloc(
		    sheet->failures, (sheet->failure_count + 1) * sizeof(*sheet->failures));
		assert(sheet->failures);
		failure = &sheet->failures[sheet->failure_count++];
		*failure = (struct sheet_failure){.is_rule = word.at != NULL};
		copy_word(failure->subject, sizeof(failure->subject),
		    word.at ? word : line_field(line, size, "check"));
		value = line_field(line, size, "want");
		/* The last one: it may hold blanks ("1- each"). */
		copy_word(failure->want, sizeof(failure->want),
		    (struct word){value.at, value.at ? (size_t)(line + size - value.at) : 0});
		copy_word(text, sizeof(text), line_field(line, size, "s"));
		failure->session = (uint32_t)strtoul(text, NULL, 10);
		copy_word(failure->got, sizeof(failure->got), line_field(line, size, "got"));
		failure->number = strtoll(failure->got, NULL, 10);
		if (failure->got[strspn(failure->got, "0123456789")] == '\0')
			failure->got[0] = '\0';
		return;
	}
	if (word.at) {
		struct sheet_rule *rule;

		copy_word(text, sizeof(text), word);
		rule = sheet_rule_add(sheet, text);
		copy_word(text, sizeof(text), line_field(line, size, "matched"));
		rule->matched = strtoull(text, NULL, 10);
		copy_word(text, sizeof(text), line_field(line, size, "fired"));
		rule->fired = strtoull(text, NULL, 10);
		return;
	}
	for (size_t i = 0; i < 4 && size > 12 && memcmp(line, "lateness_us ", 12) == 0; i++) {
		copy_word(text, sizeof(text), line_field(line, size, sheet_late_words[i]));
		sheet->late[i] = strtoll(text, NULL, 10) * NS_US;
		sheet->late_known = true;
	}
	const struct {
		const char *key;
		uint64_t *into;
	} rows[] = {{"capture_lost", &sheet->capture_lost}, {"kernel_drops", &sheet->kernel_drops},
	    {"icmp_errors", &sheet->icmp_errors}, {"started", (uint64_t *)&sheet->started}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (!(value = line_field(line, size, rows[i].key)).at)
			continue;
		copy_word(text, sizeof(text), value);
		*rows[i].into = strtoull(text, NULL, 10);
	}
	if ((value = line_field(line, size, "exit")).at) {
		copy_word(text, sizeof(text), value);
		number = strtoull(text, NULL, 10);
		sheet->exit = text[0] == '-' || number > 255 ? -1 : (int)number;
	}
}

static void take_closing(struct tale *tale, const struct reader_closing *closing)
{
	const char *line = closing->comment;

	tale->sheet.closed = true;
	tale->sheet.started = closing->began;
	tale->sheet.ended = closing->ended;
	while (*line) {
		size_t size = strcspn(line, "\n");

		closing_line(tale, line, size);
		line += size + (line[size] == '\n');
	}
}

/* What the header says: program, seed, ini text. */
static void take_header(struct tale *tale, const struct reader *reader)
{
	const char *application = reader_application(reader), *comment = reader_section_comment(reader);
	const char *ini = strchr(comment, '\n');

	if (strncmp(application, "deadzone ", 9) == 0)
		snprintf(tale->sheet.version, sizeof(tale->sheet.version), "%s", application + 9);
	tale->sheet.seed_known = reader_seed(reader, &tale->sheet.seed);
	free(tale->ini);
	tale->ini = ini ? strdup(ini + 1) : NULL;
}

/* ---- The end: what follows from all of it ---- */

static int by_session_and_n(const void *a, const void *b)
{
	const struct mark *x = *(const struct mark *const *)a, *y = *(const struct mark *const *)b;

	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	if (x->way != y->way)
		return x->way < y->way ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static void count_runs(struct tale *tale)
{
	struct mark **order = malloc((tale->mark_count + 1) * sizeof(*order));
	uint64_t run = 0;

	assert(order);
	for (size_t i = 0; i < tale->mark_count; i++)
		order[i] = &tale->marks[i];
	qsort(order, tale->mark_count, sizeof(*order), by_session_and_n);
	for (size_t i = 0; i < tale->mark_count; i++) {
		const struct mark *mark = order[i], *before = i ? order[i - 1] : NULL;
		struct tale_way *way = &tale->sessions[mark->session].ways[mark->way];
		bool together = before && before->session == mark->session && before->way == mark->way;

		if (mark->fate != FATE_DROPPED) {
			run = 0;
			continue;
		}
		run = together && run ? run + 1 : 1;
		way->loss_runs += run == 1;
		way->loss_longest = run > way->loss_longest ? run : way->loss_longest;
	}
	free(order);
}

static int by_number(const void *a, const void *b)
{
	const struct sheet_session *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static void fill_session(const struct tale *tale, struct tale_session *session, struct sheet_session *sheet)
{
	char address[ADDRESS_TEXT_ROOM];

	*sheet = (struct sheet_session){.number = session->number,
	    .device = session->device,
	    .handshakes = (uint32_t)session->handshakes.count,
	    .rebinds = session->rebinds,
	    .port = session->cloud_port,
	    .began = session->began - tale->sheet.started,
	    .seconds = session->last - session->began,
	    .ended = session->ended       ? session->ended
	             : tale->sheet.closed ? "stop"
	                                  : NULL};
	snprintf(sheet->section, sizeof(sheet->section), "%s", session->section);
	snprintf(sheet->link, sizeof(sheet->link), "%s", session->link);
	snprintf(sheet->identity, sizeof(sheet->identity), "%s",
	    session->identity[0] ? session->identity
	                         : address_host_text(&session->device, address, sizeof(address)));
	for (int way = 0; way < WAYS; way++) {
		sheet->ways[way].account = session->accounts[way];
		sheet_way_delays(&sheet->ways[way], session->ways[way].delays);
	}
}

static void fill_sheet(struct tale *tale)
{
	struct sheet *sheet = &tale->sheet;
	struct buckets *all = NULL;

	if (!sheet->started)
		sheet->started = tale->first;
	if (!sheet->ended)
		sheet->ended = tale->last;
	for (size_t i = 0; tale->live && i < tale->event_count; i++)
		if (strncmp(tale->events[i].text, LIVE_MARK, sizeof(LIVE_MARK) - 1) == 0)
			sheet_change_add(
			    sheet, tale->events[i].at - sheet->started, tale->events[i].text + sizeof(LIVE_MARK) - 1);
	sheet->sessions_ever = sheet->session_count = tale->session_count;
	sheet->sessions = calloc(tale->session_count + 1, sizeof(*sheet->sessions));
	assert(sheet->sessions);
	for (size_t i = 0; i < tale->session_count; i++)
		fill_session(tale, &tale->sessions[i], &sheet->sessions[i]);
	for (int way = 0; way < WAYS; way++) {
		struct sheet_way *total = &sheet->totals[way];

		total->account = tale->refused[way];
		for (size_t i = 0; i < tale->session_count; i++) {
			account_join(&total->account, &tale->sessions[i].accounts[way]);
			if (!tale->sessions[i].ways[way].delays)
				continue;
			if (!all)
				all = calloc(1, sizeof(*all));
			assert(all);
			buckets_join(all, tale->sessions[i].ways[way].delays);
		}
		sheet_way_delays(total, all);
		free(all);
		all = NULL;
	}
	if (!sheet->closed && tale->late)
		sheet_late(sheet, tale->late);
	sheet->capture_written = tale->kind == TALE_OURS ? tale->packets : 0;
	qsort(sheet->sessions, sheet->session_count, sizeof(*sheet->sessions), by_number);
}

static int by_session_number(const void *a, const void *b)
{
	const struct tale_session *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Sessions in the order of their numbers; marks and sheet follow. */
static void put_in_order(struct tale *tale)
{
	uint32_t *place = malloc((tale->session_count + 1) * sizeof(*place));
	uint32_t *numbers = malloc((tale->session_count + 1) * sizeof(*numbers));
	struct index places = {0};

	assert(place && numbers);
	for (size_t i = 0; i < tale->session_count; i++)
		numbers[i] = tale->sessions[i].number;
	qsort(tale->sessions, tale->session_count, sizeof(*tale->sessions), by_session_number);
	for (size_t i = 0; i < tale->session_count; i++)
		index_add(&places, tale->sessions[i].number, (uint32_t)i);
	for (size_t i = 0; i < tale->session_count; i++)
		place[i] = index_find(&places, numbers[i]);
	for (size_t i = 0; i < tale->mark_count; i++)
		tale->marks[i].session = place[tale->marks[i].session];
	index_free(&tale->by_number);
	tale->by_number = places;
	index_free(&tale->by_n); /* its keys are places */
	free(place);
	free(numbers);
}

static int read_ours(struct tale *tale, struct reader *reader, struct error *error)
{
	struct reader_packet packet;

	tale->kind = TALE_OURS;
	while (reader_next(reader, &packet, error))
		take_packet(tale, &packet);
	if (error->text[0])
		return -1;
	take_header(tale, reader);
	if (reader_closing(reader))
		take_closing(tale, reader_closing(reader));
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
	count_runs(tale);
	put_in_order(tale);
	fill_sheet(tale);
	for (size_t i = 0; i < tale->session_count; i++)
		tale->sessions[i].sheet = &tale->sheet.sessions[i];
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
			free(session->ways[way].asked);
			free(session->ways[way].measured);
			free(session->ways[way].late);
			free(session->ways[way].delays);
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
	free(tale->events);
	free(tale->sessions);
	free(tale->marks);
	free(tale->late);
	free(tale->ini);
	free(tale->told);
	sheet_fini(&tale->sheet);
	free(tale);
}
