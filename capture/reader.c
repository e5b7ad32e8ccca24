/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each file is a source. A source that deadzone wrote returns its packets in the order of the file; any other
 * source sorts them in a window (capture/window.h). The reader takes the earliest packet of all sources; but
 * it reads the parts of a run one after another.
 */
#include "capture/reader.h"

#include <inttypes.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "capture/window.h"

/* The place of a file in a run that was rotated, from its closing statistics. */
struct part {
	uint64_t number; /* counted from 1; 0: unknown */
	bool is_rotated; /* another part follows */
};

struct source {
	struct inputs *inputs;
	size_t index;
	struct savefile *file;
	bool is_ours, is_at_end;
	/* If `is_ours`: its next packet. */
	struct saved_packet next;
	struct window *window; /* otherwise; NULL if the file holds no packets */
	ns_t first, last;      /* timestamps of the first and the last packet */
	struct part part;
};

struct reader {
	struct source *sources;
	size_t count;
	struct source **queue; /* heap of the sources that have packets left, by their next packet */
	size_t queued;
	struct source *current;   /* the first of the queue, while its packet is in use; NULL at the start */
	bool is_ours, is_in_turn; /* is_in_turn: the sources are parts of a run, read one after another */
	struct fragments *fragments;
	ns_t latest;    /* timestamp of the last packet returned */
	uint64_t moved; /* packets that were too late to be sorted, and got the timestamp of the one before */
	uint64_t decoded[DECODE_RESULTS]; /* number of packets with each result */
	int unknown_link;                 /* link type of the last DECODE_LINK_UNKNOWN */
};

/* ---- Sources ---- */

/* Returns the timestamp of the next packet, NS_NEVER at the end. */
static ns_t source_due(const struct source *source)
{
	if (!source->is_ours)
		return source->window ? window_due(source->window) : NS_NEVER;
	return source->is_at_end ? NS_NEVER : source->next.at;
}

static int source_open(struct source *source, struct inputs *inputs, size_t index, struct error *error)
{
	*source = (struct source){.inputs = inputs, .index = index};
	source->file = savefile_open(inputs_stream(inputs, index), inputs_name(inputs, index), error);
	if (!source->file)
		return -1;
	source->is_at_end = !savefile_next(source->file, &source->next);
	source->is_ours = savefile_is_ours(source->file);
	source->first = source->is_at_end ? NS_NEVER : source->next.at;
	if (!source->is_ours && !source->is_at_end)
		source->window = window_new(source->file, &source->next);
	return 0;
}

static void source_close(struct source *source)
{
	window_free(source->window);
	if (source->file)
		savefile_close(source->file);
}

/* ---- Parts of a run ---- */

/* Reads "part=3" and "rotated=1" from the closing comment of a file. Complete only once the file was read
 * to its end. */
static struct part read_part(const struct savefile *file)
{
	const struct savefile_closing *closing = savefile_closing(file);
	const char *line = closing ? closing->comment : "";
	struct part part = {0};

	for (; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncmp(line, "part=", 5) == 0)
			part.number = strtoull(line + 5, NULL, 10);
		part.is_rotated |= strncmp(line, "rotated=", 8) == 0;
	}
	return part;
}

/* Reads a file to its end, for its last timestamp and its part number. */
static void source_scan(struct source *source)
{
	struct error error;
	struct savefile *file = savefile_open(inputs_stream(source->inputs, source->index), "", &error);
	struct saved_packet packet;

	source->last = source->first;
	while (file && savefile_next(file, &packet))
		source->last = packet.at > source->last ? packet.at : source->last;
	if (!file)
		return;
	source->part = read_part(file);
	savefile_close(file);
}

static int compare_sources(const void *a, const void *b)
{
	const struct source *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->part.number < y->part.number ? -1 : x->part.number > y->part.number;
}

static int refuse_other_runs(const struct reader *reader, struct error *error)
{
	const struct source *before = NULL;
	uint64_t seed = 0, other;

	for (size_t i = 0; i < reader->count; i++) {
		const struct source *source = &reader->sources[i];

		if (!savefile_seed(source->file, &other))
			continue;
		if (before && seed != other)
			return error_set(error,
			    "`%s` and `%s` are of different runs (seeds %" PRIu64 " and %" PRIu64
			    "): give the parts of one run",
			    inputs_name(before->inputs, before->index),
			    inputs_name(source->inputs, source->index), seed, other);
		seed = other;
		before = source;
	}
	return 0;
}

/* Refuses two copies of one part: its packets would count twice. */
static int refuse_same_part(const struct reader *reader, struct error *error)
{
	for (size_t i = 1; i < reader->count; i++) {
		const struct source *a = &reader->sources[i - 1], *b = &reader->sources[i];

		if (a->part.number && a->part.number == b->part.number && a->first == b->first &&
		    a->last == b->last)
			return error_set(error, "`%s` and `%s` are both part %" PRIu64 " of the run",
			    inputs_name(a->inputs, a->index), inputs_name(b->inputs, b->index),
			    a->part.number);
	}
	return 0;
}

/* Sorts the files of deadzone. They are read one after another if they are parts of a run: each ends
 * before the next begins, except for what several workers wrote around a rotation. Otherwise (one
 * interface exported to each) they are merged. */
static void sort_sources(struct reader *reader)
{
	for (size_t i = 0; i < reader->count; i++)
		source_scan(&reader->sources[i]);
	qsort(reader->sources, reader->count, sizeof(*reader->sources), compare_sources);
	reader->is_in_turn = true;
	for (size_t i = 1; i < reader->count; i++)
		if (ns_add(reader->sources[i].first, NS_S) < reader->sources[i - 1].last)
			reader->is_in_turn = false;
}

static int refuse_mixture(const struct reader *reader, struct error *error)
{
	const struct source *ours = NULL, *other = NULL;

	for (size_t i = 0; i < reader->count; i++)
		if (reader->sources[i].is_ours)
			ours = &reader->sources[i];
		else if (reader->sources[i].first != NS_NEVER)
			other = &reader->sources[i];
	if (!ours || !other)
		return 0;
	return error_set(error, "`%s` is a capture of deadzone, and `%s` is not: give them one at a time",
	    inputs_name(ours->inputs, ours->index), inputs_name(other->inputs, other->index));
}

/* ---- The queue of sources ---- */

/* Parts of a run stay in order, whatever their timestamps. */
static bool goes_first(const struct reader *reader, const struct source *a, const struct source *b)
{
	if (reader->is_in_turn || source_due(a) == source_due(b))
		return a < b;
	return source_due(a) < source_due(b);
}

static void sift_queue(struct reader *reader, size_t at)
{
	for (size_t first;; at = first) {
		struct source *source = reader->queue[at];

		first = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < reader->queued; child++)
			if (goes_first(reader, reader->queue[child], reader->queue[first]))
				first = child;
		if (first == at)
			return;
		reader->queue[at] = reader->queue[first];
		reader->queue[first] = source;
	}
}

static void fill_queue(struct reader *reader)
{
	reader->queue = memory_new(reader->count, sizeof(*reader->queue));
	for (size_t i = 0; i < reader->count; i++)
		if (source_due(&reader->sources[i]) != NS_NEVER)
			reader->queue[reader->queued++] = &reader->sources[i];
	for (size_t i = reader->queued / 2; i-- > 0;)
		sift_queue(reader, i);
}

/* Restores the heap after the first source's packet was used; removes the source if it has no more. */
static void update_queue(struct reader *reader)
{
	if (source_due(reader->queue[0]) == NS_NEVER)
		reader->queue[0] = reader->queue[--reader->queued];
	if (reader->queued)
		sift_queue(reader, 0);
}

/* ---- Interface ---- */

struct reader *reader_open(struct inputs *inputs, struct error *error)
{
	struct reader *reader = memory_new(1, sizeof(*reader));
	int status = 0;

	reader->sources = memory_new(inputs_count(inputs) + 1, sizeof(*reader->sources));
	reader->fragments = fragments_new();
	for (; !status && reader->count < inputs_count(inputs); reader->count++)
		status = source_open(&reader->sources[reader->count], inputs, reader->count, error);
	for (size_t i = 0; i < reader->count; i++)
		reader->is_ours |= reader->sources[i].is_ours;
	if (!status)
		status = refuse_mixture(reader, error);
	if (!status && reader->is_ours)
		status = refuse_other_runs(reader, error);
	if (!status && reader->is_ours && reader->count > 1) {
		sort_sources(reader);
		status = refuse_same_part(reader, error);
	}
	if (!status) {
		fill_queue(reader);
		return reader;
	}
	reader_close(reader);
	return NULL;
}

void reader_close(struct reader *reader)
{
	if (!reader)
		return;
	for (size_t i = 0; i < reader->count; i++)
		source_close(&reader->sources[i]);
	free(reader->sources);
	free(reader->queue);
	fragments_free(reader->fragments);
	free(reader);
}

bool reader_next(struct reader *reader, struct reader_packet *packet)
{
	struct source *source = reader->current;

	/* Not earlier: the previous packet's data is in the memory of the file. */
	if (source && source->is_ours)
		source->is_at_end = !savefile_next(source->file, &source->next);
	if (source)
		update_queue(reader);
	source = reader->current = reader->queued ? reader->queue[0] : NULL;
	if (!source)
		return false;
	if (source->is_ours)
		*packet = (struct reader_packet){.saved = source->next};
	else
		window_take(source->window, packet);
	if (!source->is_ours && packet->saved.at < reader->latest) {
		packet->saved.at = reader->latest;
		reader->moved++;
	}
	reader->latest = packet->saved.at;
	return true;
}

enum decode_result reader_decode(
    struct reader *reader, const struct reader_packet *packet, struct decoded *decoded)
{
	const struct saved_packet *saved = &packet->saved;
	enum decode_result result = decode_packet(
	    saved->link_type, saved->bytes, saved->size, reader->fragments, decoded);

	/* A reassembled datagram counts once, not as fragments. */
	if (result != DECODE_FRAGMENT)
		reader->decoded[DECODE_FRAGMENT] -= decoded->fragments - 1;
	if (result == DECODE_LINK_UNKNOWN)
		reader->unknown_link = saved->link_type;
	reader->decoded[result]++;
	return result;
}

bool reader_is_ours(const struct reader *reader)
{
	return reader->is_ours;
}

bool reader_seed(const struct reader *reader, uint64_t *seed)
{
	for (size_t i = 0; i < reader->count; i++)
		if (savefile_seed(reader->sources[i].file, seed))
			return true;
	*seed = 0;
	return false;
}

const char *reader_application(const struct reader *reader)
{
	return savefile_application(reader->sources[0].file);
}

const char *reader_section_comment(const struct reader *reader)
{
	for (size_t i = reader->count; i-- > 0;)
		if (*savefile_section_comment(reader->sources[i].file))
			return savefile_section_comment(reader->sources[i].file);
	return "";
}

const struct savefile_closing *reader_closing(const struct reader *reader)
{
	for (size_t i = reader->count; i-- > 0;) {
		const struct source *source = &reader->sources[i];

		if (source->first != NS_NEVER) /* the last source that holds packets */
			return read_part(source->file).is_rotated ? NULL : savefile_closing(source->file);
	}
	return NULL;
}

bool reader_was_cut(const struct reader *reader)
{
	bool was_cut = false;

	for (size_t i = 0; i < reader->count; i++)
		was_cut |= savefile_was_cut(reader->sources[i].file) ||
		           inputs_state(reader->sources[i].inputs, reader->sources[i].index) == INPUTS_CUT;
	return was_cut;
}

void reader_count_others(const struct reader *reader, struct text *text)
{
	static const char *const names[DECODE_RESULTS] = {[DECODE_TCP] = "TCP",
	    [DECODE_ICMP] = "ICMP",
	    [DECODE_ARP] = "ARP",
	    [DECODE_FRAGMENT] = "fragments of datagrams that are not whole",
	    [DECODE_OTHER] = "other packets"};
	const uint64_t *counts = reader->decoded;
	const char *name = pcap_datalink_val_to_name(reader->unknown_link);

	for (int i = 0; i < DECODE_RESULTS; i++)
		if (names[i] && counts[i])
			text_add(text, "%s%" PRIu64 " %s", text->size ? ", " : "", counts[i], names[i]);
	if (counts[DECODE_LINK_UNKNOWN])
		text_add(text, "%s%" PRIu64 " of a link layer that deadzone does not read (%s%sDLT %d)",
		    text->size ? ", " : "", counts[DECODE_LINK_UNKNOWN], name ? name : "", name ? ", " : "",
		    reader->unknown_link);
}

/* ---- Notes ---- */

/* Appends the parts of the run that are missing, such as "parts 1 to 3". */
static void note_missing(const struct reader *reader, struct text *text)
{
	struct part part = {0};
	uint64_t next = 1;

	for (size_t i = 0; i < reader->count; i++) {
		part = read_part(reader->sources[i].file);
		if (part.number > next + 1)
			text_add(text, "parts %" PRIu64 " to %" PRIu64 " of the run are missing\n", next,
			    part.number - 1);
		else if (part.number > next)
			text_add(text, "part %" PRIu64 " of the run is missing\n", next);
		next = part.number ? part.number + 1 : next + 1;
	}
	if (part.is_rotated)
		text_add(text, "the run goes on in another file, part %" PRIu64 "\n", part.number + 1);
}

static void note_file(const struct source *source, struct text *text)
{
	const char *name = inputs_name(source->inputs, source->index);

	if (inputs_state(source->inputs, source->index) == INPUTS_DAMAGED)
		text_add(text, "`%s`: its compressed data is damaged: what could be unpacked may be wrong\n",
		    name);
	if (source->window)
		window_notes(source->window, name, text);
}

void reader_notes(const struct reader *reader, struct text *text)
{
	const char *application = reader_application(reader);

	for (size_t i = 0; i < reader->count; i++)
		note_file(&reader->sources[i], text);
	if (reader->moved)
		text_add(text,
		    "%" PRIu64
		    " packets came too late to be sorted; each is taken at the time of the one before\n",
		    reader->moved);
	if (!reader->is_ours)
		return;
	if (strncmp(application, "deadzone ", 9) != 0) {
		/* Wireshark's tools append their build: "Mergecap (Wireshark) 4.0.17 (Git …)". */
		const char *build = strstr(application, " (Git");

		text_add(text, "a capture of deadzone, rewritten by %.*s",
		    build ? (int)(build - application) : SAVEFILE_NAME_SIZE,
		    *application ? application : "another program");
		if (!*reader_section_comment(reader))
			text_add(text, ": seed and configuration are no longer in it");
		text_add(text, "\n");
	}
	note_missing(reader, text);
}
