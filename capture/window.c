/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call fills the heap to WINDOW_PACKETS and returns the earliest packet. At a step of the clock the heap
 * is emptied first, and `shift` makes later timestamps go on where the earlier ones ended.
 */
#include "capture/window.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define HELD_MAX 262144u     /* bytes of a packet; libpcap's largest snaplen */
#define NOTED_DISORDER NS_MS /* network cards with several queues always reorder a little */

struct held {
	struct saved_packet packet;
	uint64_t order; /* ordinal in the file, which orders packets with the same timestamp */
	bool follows_step;
	uint8_t *bytes;
	size_t cap;
};

struct window {
	struct savefile *file;
	bool is_at_end;
	struct held *heap; /* the earliest packet first */
	size_t size;
	struct held out;             /* the packet that was returned last; its memory is reused */
	uint64_t count;              /* packets read */
	ns_t newest;                 /* greatest timestamp so far */
	ns_t shift;                  /* added to timestamps, to remove steps of the clock */
	bool is_behind_step;         /* a step was found, and some packets before it were not returned yet */
	struct saved_packet awaited; /* the first packet after the step */
	uint64_t steps, step_packet; /* step_packet: number of the first packet after the first step */
	ns_t step;                   /* size of the first step */
	uint64_t disordered;
	ns_t disorder; /* the greatest disorder */
};

static bool is_earlier(const struct held *a, const struct held *b)
{
	return a->packet.at != b->packet.at ? a->packet.at < b->packet.at : a->order < b->order;
}

static void swap(struct held *a, struct held *b)
{
	struct held held = *a;

	*a = *b;
	*b = held;
}

static void sift_up(struct held *heap, size_t at)
{
	for (; at && is_earlier(&heap[at], &heap[(at - 1) / 2]); at = (at - 1) / 2)
		swap(&heap[at], &heap[(at - 1) / 2]);
}

static void sift_down(struct held *heap, size_t size)
{
	size_t at = 0, min;

	for (;; at = min) {
		min = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < size; child++)
			if (is_earlier(&heap[child], &heap[min]))
				min = child;
		if (min == at)
			return;
		swap(&heap[at], &heap[min]);
	}
}

/* Adds a copy of a packet to the heap. Its interface and comment are ignored: deadzone did not write them. */
static void add_packet(struct window *window, const struct saved_packet *packet, bool follows_step)
{
	struct held *held = &window->heap[window->size];
	size_t size = packet->size < HELD_MAX ? packet->size : HELD_MAX;

	if (size > held->cap) {
		held->bytes = memory_resize(held->bytes, size, 1);
		held->cap = size;
	}
	if (size)
		memcpy(held->bytes, packet->bytes, size);
	held->packet = *packet;
	held->packet.bytes = held->bytes;
	held->packet.size = size;
	held->packet.interface = held->packet.comment = "";
	held->order = window->count;
	held->follows_step = follows_step;
	sift_up(window->heap, window->size++);
}

static void remove_earliest(struct window *window)
{
	swap(&window->out, &window->heap[0]);
	swap(&window->heap[0], &window->heap[--window->size]);
	sift_down(window->heap, window->size);
}

/* Returns the timestamp without the steps of the clock so far; negative if the clock steps back far. */
static ns_t shift_stamp(const struct window *window, ns_t at)
{
	return window->shift < 0 ? at + window->shift : ns_add(at, window->shift);
}

/* Returns true if the clock steps between this packet and the newest before it. */
static bool is_step(const struct window *window, ns_t at)
{
	return window->count > 1 && (at < 0 || at < window->newest - WINDOW_DISORDER_MAX ||
	                                at > ns_add(window->newest, WINDOW_GAP_MAX));
}

/* Removes a step of the clock: the packet gets the timestamp of the newest one, because the time between
 * them is not known. */
static void remove_step(struct window *window, struct saved_packet *packet)
{
	if (!window->steps++) {
		window->step = shift_stamp(window, packet->at) - window->newest;
		window->step_packet = window->count;
	}
	window->shift = window->newest - packet->at;
	packet->at = window->newest;
}

static void count_disorder(struct window *window, ns_t at)
{
	ns_t late = window->newest - at;

	window->disordered += late >= NOTED_DISORDER;
	window->disorder = late > window->disorder ? late : window->disorder;
}

/* Fills the window, but not beyond a step until all packets before the step were returned. */
static void fill_window(struct window *window)
{
	while (!window->is_at_end && window->size < WINDOW_PACKETS && !window->is_behind_step) {
		struct saved_packet *packet = &window->awaited;

		if (!savefile_next(window->file, packet)) {
			window->is_at_end = true;
			return;
		}
		window->count++;
		if (is_step(window, shift_stamp(window, packet->at))) {
			remove_step(window, packet);
			window->is_behind_step = true;
			break;
		}
		packet->at = shift_stamp(window, packet->at);
		if (window->count > 1 && packet->at < window->newest)
			count_disorder(window, packet->at);
		else
			window->newest = packet->at;
		add_packet(window, packet, false);
	}
	if (window->is_behind_step && !window->size) {
		window->is_behind_step = false;
		add_packet(window, &window->awaited, true);
		fill_window(window);
	}
}

struct window *window_new(struct savefile *file, const struct saved_packet *first)
{
	struct window *window = memory_new(1, sizeof(*window));

	window->file = file;
	window->heap = memory_new(WINDOW_PACKETS, sizeof(*window->heap));
	window->count = 1;
	window->newest = first->at;
	add_packet(window, first, false);
	fill_window(window);
	return window;
}

void window_free(struct window *window)
{
	if (!window)
		return;
	for (size_t i = 0; i < WINDOW_PACKETS; i++)
		free(window->heap[i].bytes);
	free(window->heap);
	free(window->out.bytes);
	free(window);
}

ns_t window_due(const struct window *window)
{
	return window->size ? window->heap[0].packet.at : NS_NEVER;
}

void window_take(struct window *window, struct reader_packet *packet)
{
	remove_earliest(window);
	*packet = (struct reader_packet){window->out.packet, window->out.follows_step};
	fill_window(window);
}

/* Appends a time such as "1.2 s", "4.0 h" or "53 years". */
static void add_span(struct text *text, ns_t span)
{
	double s = (double)(span < 0 ? -span : span) / 1e9;

	if (s < 120)
		text_add(text, "%.1f s", s);
	else if (s < 2 * 3600)
		text_add(text, "%.0f min", s / 60);
	else if (s < 48 * 3600)
		text_add(text, "%.1f h", s / 3600);
	else if (s < 2 * 366 * 86400.0)
		text_add(text, "%.0f days", s / 86400);
	else
		text_add(text, "%.0f years", s / 86400 / 365.25);
}

void window_notes(const struct window *window, const char *name, struct text *text)
{
	if (window->steps) {
		text_add(text, "`%s`: the clock steps %s by ", name, window->step < 0 ? "back" : "forward");
		add_span(text, window->step);
		text_add(text, " at packet %" PRIu64, window->step_packet);
		if (window->steps > 1)
			text_add(text, ", and %" PRIu64 " more times", window->steps - 1);
		text_add(text, "; how much time passed there is not known, and is taken as none\n");
	}
	if (window->disordered) {
		text_add(
		    text, "`%s`: %" PRIu64 " packets were out of order by up to ", name, window->disordered);
		add_span(text, window->disorder);
		text_add(text, " and have been sorted by time\n");
	}
}
