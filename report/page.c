/*
 * page: the tale as one self-contained page. The frame (report/page.html, with its chart library) is built
 * into the program; the data goes where it says so.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "report/tale.h"

extern const char page_frame[], page_frame_end[]; /* report/frame.S */

static const char mark_of_data[] = "@data@";

/* One column of the marks: an array of numbers. */
#define COLUMN(name, format, value)                                                                          \
	do {                                                                                                 \
		fprintf(out, "%s\"" name "\":[", column++ ? "," : "");                                       \
		for (size_t i = 0; i < tale->mark_count; i++) {                                              \
			const struct mark *m = &tale->marks[i];                                              \
			fprintf(out, "%s" format, i ? "," : "", value);                                      \
		}                                                                                            \
		fputc(']', out);                                                                             \
	} while (0)

static int64_t since_us(const struct tale *tale, ns_t at)
{
	return (at - tale->sheet.started) / NS_US;
}

static unsigned fate_code(const struct mark *mark)
{
	return mark->fate == FATE_DROPPED ? 2u + mark->reason : mark->fate;
}

/* Numbers beyond 2^53 are no JavaScript numbers; those of records end at 2^48. */
static void put_numbers(const struct tale *tale, FILE *out)
{
	fputs(",\"number\":[", out);
	for (size_t i = 0; i < tale->mark_count; i++) {
		if (tale->marks[i].number == DTLS_NUMBER_HIDDEN)
			fputs(i ? ",null" : "null", out);
		else
			fprintf(out, "%s%" PRIu64, i ? "," : "", tale->marks[i].number);
	}
	fputc(']', out);
}

static void put_marks(const struct tale *tale, FILE *out)
{
	int column = 0;

	fputs(",\"marks\":{", out);
	COLUMN("at", "%" PRId64, since_us(tale, m->at));
	COLUMN("left", "%" PRId64, m->fate == FATE_SENT ? since_us(tale, m->left) : -1);
	COLUMN("session", "%u", m->session);
	COLUMN("way", "%u", m->way);
	COLUMN("n", "%u", m->n);
	COLUMN("size", "%u", m->size);
	COLUMN("fate", "%u", fate_code(m));
	COLUMN("delay", "%" PRId64, m->delay_us);
	COLUMN("late", "%d", m->late_us);
	COLUMN("words", "%u", m->words);
	COLUMN("copies", "%u", m->copies);
	put_numbers(tale, out);
	fputc('}', out);
}

static json_t *json_events(const struct tale *tale)
{
	json_t *list = json_array();

	for (size_t i = 0; i < tale->event_count; i++) {
		const struct tale_event *event = &tale->events[i];
		json_t *text = json_string(event->text);

		json_array_append_new(
		    list, json_pack("[f, i, o]", (double)(event->at - tale->sheet.started) / 1e9,
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

/* Everything but the marks, which are written by themselves: an object for each would take too much. */
static json_t *json_page(const struct tale *tale, const char *title)
{
	static const char *const kinds[] = {"a capture with verdicts",
	    "a capture of both sides without verdicts: what never left was lost",
	    "a capture of one place, without verdicts"};
	const char *slash = strrchr(title, '/');
	json_t *root = tale_json(tale), *name = json_string(slash ? slash + 1 : title),
	       *ini = tale->ini ? json_string(tale->ini) : NULL;

	json_object_set_new(root, "title", name ? name : json_string("capture"));
	json_object_set_new(root, "kind", json_string(kinds[tale->kind]));
	json_object_set_new(root, "seconds", json_real((double)(tale->last - tale->sheet.started) / 1e9));
	json_object_set_new(root, "cut", json_boolean(tale->cut));
	json_object_set_new(root, "ini", ini ? ini : json_null());
	json_object_set_new(root, "events", json_events(tale));
	json_object_set_new(root, "reasons", json_texts(verdict_reasons, REASON_COUNT));
	json_object_set_new(
	    root, "words", json_texts((const char *const *)tale->words.all, tale->words.count));
	return root;
}

/* Inside a script element neither "</" nor "<!--" must stand: each "<" is escaped; it stands in strings only.
 */
static void put_data(const struct tale *tale, const char *title, FILE *out)
{
	json_t *root = json_page(tale, title);
	char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(12));
	size_t size = text ? strlen(text) : 0;

	json_decref(root);
	if (!size)
		memory_out();
	for (size_t i = 0; i + 1 < size; i++) /* without the brace that ends it */
		if (text[i] == '<')
			fputs("\\u003c", out);
		else
			putc(text[i], out);
	free(text);
	put_marks(tale, out);
	fputc('}', out);
}

int tale_page(const struct tale *tale, const char *title, const char *path, struct error *error)
{
	size_t size = (size_t)(page_frame_end - page_frame);
	const char *place = memmem(page_frame, size, mark_of_data, sizeof(mark_of_data) - 1);
	const char *rest = place + sizeof(mark_of_data) - 1;
	struct output_file file;

	if (output_file_open(&file, path, error))
		return -1;
	fwrite(page_frame, 1, (size_t)(place - page_frame), file.out);
	put_data(tale, title, file.out);
	fwrite(rest, 1, (size_t)(page_frame_end - rest), file.out);
	return output_file_close(&file, path, error);
}
