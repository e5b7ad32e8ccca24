/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/window.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define HELD_MAX 262144u     /* bytes of a packet, as libpcap's largest snaplen */
#define NOTED_DISORDER NS_MS /* network cards with several queues are always a little out of order */

struct held {
	struct saved_packet packet;
	uint64_t order; /* among those of the same stamp the one that came first is first */
	bool follows_step;
	uint8_t *bytes;
	size_t cap;
};

struct window {
	struct savefile *file;
	bool is_at_end;
	struct held *heap; /* the earliest first */
	size_t size;
	struct held out; /* handed out; its memory is reused */
	uint64_t count;
	ns_t newest;
	ns_t shift;                  /* added to stamps, after steps of the clock */
	bool is_behind_step;         /* a step was met, and some packets from before it have not left */
	struct saved_packet awaited; /* the first packet behind it */
	uint64_t steps, step_packet; /* number of the first packet behind the first step */
	ns_t step;                   /* size of that step */
	uint64_t disordered;
	ns_t disorder; /* the greatest */
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

/* The interfaces and comments of a file that is not ours mean nothing. */
static void add(struct window *window, const struct saved_packet *packet, bool follows_step)
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

static void take_earliest(struct window *window)
{
	swap(&window->out, &window->heap[0]);
	swap(&window->heap[0], &window->heap[--window->size]);
	sift_down(window->heap, window->size);
}

/* May be negative: then the clock has stepped back. */
static ns_t shifted(const struct window *window, ns_t at)
{
	return window->shift < 0 ? at + window->shift : ns_add(at, window->shift);
}

/* Does the clock step between this packet and the newest before it? */
static bool is_step(const struct window *window, ns_t at)
{
	return window->count > 1 && (at < 0 || at < window->newest - WINDOW_DISORDER_MAX ||
	                                at > ns_add(window->newest, WINDOW_GAP_MAX));
}

/* The packet follows the newest one at once: the time between them is not known. */
static void take_step(struct window *window, struct saved_packet *packet)
{
	if (!window->steps++) {
		window->step = shifted(window, packet->at) - window->newest;
		window->step_packet = window->count;
	}
	window->shift = window->newest - packet->at;
	packet->at = window->newest;
}

static void take_disorder(struct window *window, ns_t at)
{
	ns_t late = window->newest - at;

	window->disordered += late >= NOTED_DISORDER;
	window->disorder = late > window->disorder ? late : window->disorder;
}

/* Fills the window, but not across a step while something from before it is there. */
static void fill(struct window *window)
{
	while (!window->is_at_end && window->size < WINDOW_PACKETS && !window->is_behind_step) {
		struct saved_packet *packet = &window->awaited;

		if (!savefile_next(window->file, packet)) {
			window->is_at_end = true;
			return;
		}
		window->count++;
		if (is_step(window, shifted(window, packet->at))) {
			take_step(window, packet);
			window->is_behind_step = true;
			break;
		}
		packet->at = shifted(window, packet->at);
		if (window->count > 1 && packet->at < window->newest)
			take_disorder(window, packet->at);
		else
			window->newest = packet->at;
		add(window, packet, false);
	}
	if (window->is_behind_step && !window->size) {
		window->is_behind_step = false;
		add(window, &window->awaited, true);
		fill(window);
	}
}

struct window *window_new(struct savefile *file, const struct saved_packet *first)
{
	struct window *window = memory_new(1, sizeof(*window));

	window->file = file;
	window->heap = memory_new(WINDOW_PACKETS, sizeof(*window->heap));
	window->count = 1;
	window->newest = first->at;
	add(window, first, false);
	fill(window);
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
	take_earliest(window);
	*packet = (struct reader_packet){window->out.packet, window->out.follows_step};
	fill(window);
}

/* "1.2 s", "4 h", "53 years". */
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
			text_add(text, ", and %" PRIu64 " times more", window->steps - 1);
		text_add(text, "; how much time passed there is not known, and is taken as none\n");
	}
	if (window->disordered) {
		text_add(
		    text, "`%s`: %" PRIu64 " packets were out of order by up to ", name, window->disordered);
		add_span(text, window->disorder);
		text_add(text, " and have been sorted by time\n");
	}
}
