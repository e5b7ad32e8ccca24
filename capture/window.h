/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * window: the packets of one file that is not ours, sorted by stamp.
 *
 * A heap holds copies of the next WINDOW_PACKETS packets; the earliest one leaves. What steps back by more
 * than WINDOW_DISORDER_MAX, or forward by more than WINDOW_GAP_MAX, is a step of the clock that stamped the
 * packets: the packets before it leave first, and the first one behind it gets the stamp of the newest before
 * it.
 */
#ifndef CAPTURE_WINDOW_H
#define CAPTURE_WINDOW_H

#include "base/text.h"
#include "capture/reader.h"
#include "capture/savefile.h"

#define WINDOW_PACKETS 1024
#define WINDOW_DISORDER_MAX (10 * NS_S)
#define WINDOW_GAP_MAX (366 * 24 * 3600 * NS_S)

struct window;

/* `first` is the packet that was read from the file already. The file must outlive the window. */
struct window *window_new(struct savefile *file, const struct saved_packet *first);
void window_free(struct window *window);

/* Returns the stamp of the earliest packet, NS_NEVER at the end. */
ns_t window_due(const struct window *window);
/* Takes the earliest packet; there must be one. It lives until the next call. */
void window_take(struct window *window, struct reader_packet *packet);
/* Adds a line for each of: a step of the clock, disorder. */
void window_notes(const struct window *window, const char *name, struct text *text);

#endif
