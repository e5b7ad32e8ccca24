/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page: writes the analysis as one self-contained HTML page. The frame (proxy/web/page.html and its chart
 * library) is built into the program; the data replaces the text @data@ in it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "report/analysis.h"

extern const char page_frame[], page_frame_end[]; /* proxy/web/frame.S */

static const char data_placeholder[] = "@data@";

#define SESSIONS_MAX 1000 /* if there are more, the worst ones are shown */
#define EVENTS_MAX 20000
#define NOT_SHOWN UINT32_MAX

struct page {
	const struct analysis *analysis;
	FILE *out;
	uint32_t *shown; /* indexes of the sessions in the page, in its order */
	size_t shown_count;
	uint32_t *place; /* of each session: its position in `shown`, or NOT_SHOWN */
};

/* ---- Which sessions ---- */

struct badness {
	uint32_t session;
	bool abandoned; /* its last handshake is not done */
	double lost;    /* share of dropped datagrams, 0 to 1 */
	uint64_t dropped;
};

static int worst_first(const void *a, const void *b)
{
	const struct badness *x = a, *y = b;

	if (x->abandoned != y->abandoned)
		return x->abandoned ? -1 : 1;
	if (x->lost > y->lost || x->lost < y->lost)
		return x->lost > y->lost ? -1 : 1;
	if (x->dropped != y->dropped)
		return x->dropped > y->dropped ? -1 : 1;
	return x->session < y->session ? -1 : x->session > y->session;
}

static struct badness measure_badness(const struct analysis *analysis, size_t index)
{
	const struct analysis_session *session = &analysis->sessions[index];
	const struct handshakes *handshakes = &session->handshakes;
	uint64_t received = 0, dropped = 0;

	for (int way = 0; way < WAYS; way++) {
		received += session->accounts[way].received;
		dropped += account_dropped(&session->accounts[way]);
	}
	return (struct badness){.session = (uint32_t)index,
	    .abandoned = handshakes->count && !handshakes->all[handshakes->count - 1].done,
	    .lost = received ? (double)dropped / (double)received : 0,
	    .dropped = dropped};
}

static void choose_sessions(struct page *page)
{
	size_t count = page->analysis->session_count;
	struct badness *all = memory_new(count + 1, sizeof(*all));

	for (size_t i = 0; i < count; i++)
		all[i] = measure_badness(page->analysis, i);
	if (count > SESSIONS_MAX)
		qsort(all, count, sizeof(*all), worst_first);
	page->shown_count = count < SESSIONS_MAX ? count : SESSIONS_MAX;
	page->shown = memory_new(page->shown_count + 1, sizeof(*page->shown));
	page->place = memory_new(count + 1, sizeof(*page->place));
	for (size_t i = 0; i < count; i++)
		page->place[i] = NOT_SHOWN;
	for (size_t i = 0; i < page->shown_count; i++) {
		page->shown[i] = all[i].session;
		page->place[all[i].session] = (uint32_t)i;
	}
	free(all);
}

/* ---- Records ---- */

static bool is_shown(const struct page *page, const struct packet_record *record)
{
	return page->place[record->session] != NOT_SHOWN;
}

/* Writes one member of all records, as an array of numbers. */
#define COLUMN(name, format, value)                                                                          \
	do {                                                                                                 \
		const char *comma = "";                                                                      \
                                                                                                             \
		fprintf(out, "%s\"" name "\":[", column++ ? "," : "");                                       \
		for (size_t i = 0; i < analysis->record_count; i++) {                                        \
			const struct packet_record *m = &analysis->records[i];                               \
                                                                                                             \
			if (!is_shown(page, m))                                                              \
				continue;                                                                    \
			fprintf(out, "%s" format, comma, value);                                             \
			comma = ",";                                                                         \
		}                                                                                            \
		fputc(']', out);                                                                             \
	} while (0)

static int64_t since_us(const struct analysis *analysis, ns_t at)
{
	return (at - analysis->result.started) / NS_US;
}

/* 0: waits, 1: sent, 2 and up: dropped, plus enum reason. */
static unsigned fate_code(const struct packet_record *record)
{
	return record->fate == FATE_DROPPED ? 2u + record->reason : record->fate;
}

/* DTLS record numbers are below 2^48, so JavaScript represents them exactly. */
static int64_t record_number(const struct packet_record *record)
{
	return record->number == DTLS_NUMBER_HIDDEN ? -1 : (int64_t)record->number;
}

static void put_records(const struct page *page)
{
	const struct analysis *analysis = page->analysis;
	FILE *out = page->out;
	int column = 0;

	fputs(",\"marks\":{", out);
	COLUMN("at", "%" PRId64, since_us(analysis, m->at));
	COLUMN("left", "%" PRId64, m->fate == FATE_SENT ? since_us(analysis, m->left) : -1);
	COLUMN("session", "%u", page->place[m->session]);
	COLUMN("way", "%u", m->way);
	COLUMN("n", "%u", m->n);
	COLUMN("size", "%u", m->size);
	COLUMN("fate", "%u", fate_code(m));
	COLUMN("delay", "%" PRId64, m->delay_us);
	COLUMN("late", "%d", m->late_us);
	COLUMN("words", "%u", m->words);
	COLUMN("copies", "%u", m->copies);
	COLUMN("number", "%" PRId64, record_number(m));
	fputc('}', out);
}

/* ---- The rest ---- */

static bool event_is_shown(const struct page *page, const struct analysis_event *event)
{
	uint32_t session = event->session ? index_find(&page->analysis->by_number, event->session)
	                                  : INDEX_NONE;

	return session == INDEX_NONE || page->place[session] != NOT_SHOWN;
}

static json_t *json_events(const struct page *page)
{
	const struct analysis *analysis = page->analysis;
	json_t *list = json_array();

	for (size_t i = 0; i < analysis->event_count && json_array_size(list) < EVENTS_MAX; i++) {
		const struct analysis_event *event = &analysis->events[i];
		json_t *text;

		if (!event_is_shown(page, event))
			continue;
		text = json_string(event->text);
		json_array_append_new(
		    list, json_pack("[f, i, o]", (double)(event->at - analysis->result.started) / 1e9,
		              (int)event->session, text ? text : json_string("(not UTF-8)")));
	}
	return list;
}

static json_t *json_texts(const char *const *texts, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *text = json_string(texts[i]);

		json_array_append_new(list, text ? text : json_string(""));
	}
	return list;
}

/* Returns the data that the page has in addition to the report's JSON. */
static json_t *json_more(const struct page *page, const char *title)
{
	static const char *const kinds[] = {"a capture with verdicts",
	    "a capture of both sides without verdicts: what never left was lost",
	    "a capture of one place, without verdicts"};
	const struct analysis *analysis = page->analysis;
	const char *slash = strrchr(title, '/');
	json_t *root = json_object(), *name = json_string(slash ? slash + 1 : title),
	       *ini = analysis->ini ? json_string(analysis->ini) : NULL;

	json_object_set_new(root, "title", name ? name : json_string("capture"));
	json_object_set_new(root, "kind", json_string(kinds[analysis->kind]));
	json_object_set_new(
	    root, "seconds", json_real((double)(analysis->last - analysis->result.started) / 1e9));
	json_object_set_new(root, "cut", json_boolean(analysis->cut));
	json_object_set_new(root, "ini", ini ? ini : json_null());
	json_object_set_new(
	    root, "not_shown", json_integer((json_int_t)(analysis->session_count - page->shown_count)));
	json_object_set_new(root, "datagrams", json_integer((json_int_t)analysis->record_count));
	json_object_set_new(root, "events", json_events(page));
	json_object_set_new(root, "reasons", json_texts(verdict_reasons, REASON_COUNT));
	json_object_set_new(
	    root, "words", json_texts((const char *const *)analysis->words.all, analysis->words.count));
	return root;
}

/* Writes JSON text with each "<" escaped, because a script element must not contain "</" or "<!--". In JSON
 * "<" occurs within strings only. */
static void put_text(const char *text, size_t size, FILE *out)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] == '<')
			fputs("\\u003c", out);
		else
			putc(text[i], out);
}

/* Writes `json` and releases it. `cut`: bytes to leave out at either end. */
static void put_json(json_t *json, size_t cut, FILE *out)
{
	struct text text = {0};

	dump_json(json, DUMP_COMPACT, &text);
	json_decref(json);
	put_text(text.at + cut, text.size - 2 * cut, out);
	text_free(&text);
}

static void put_data(const struct page *page, const char *title)
{
	struct run_summary_json whole;

	run_summary_json_begin(&page->analysis->result, DUMP_COMPACT, &whole);
	put_text(whole.text.at, whole.place, page->out);
	for (size_t i = 0; i < page->shown_count; i++) {
		fputs(i ? ",\n" : "\n", page->out);
		put_json(analysis_json_session(page->analysis, page->shown[i]), 0, page->out);
	}
	/* Leave out the closing brace: more members follow. */
	put_text(whole.text.at + whole.place, whole.text.size - whole.place - 1, page->out);
	text_free(&whole.text);
	fputc(',', page->out);
	put_json(json_more(page, title), 1, page->out);
	put_records(page);
	fputc('}', page->out);
}

int analysis_page(const struct analysis *analysis, const char *title, const char *path, struct error *error)
{
	size_t size = (size_t)(page_frame_end - page_frame);
	const char *place = memmem(page_frame, size, data_placeholder, sizeof(data_placeholder) - 1);
	const char *rest = place + sizeof(data_placeholder) - 1;
	struct page page = {.analysis = analysis};
	struct output_file file;

	if (output_file_open(&file, path, error))
		return -1;
	page.out = file.out;
	choose_sessions(&page);
	fwrite(page_frame, 1, (size_t)(place - page_frame), file.out);
	put_data(&page, title);
	fwrite(rest, 1, (size_t)(page_frame_end - rest), file.out);
	free(page.shown);
	free(page.place);
	return output_file_close(&file, path, error);
}
