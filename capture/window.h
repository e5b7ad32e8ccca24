/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * window: sorts the packets of one file that deadzone did not write, by timestamp.
 *
 * A heap holds copies of the next WINDOW_PACKETS packets; the earliest one is returned. If a timestamp is
 * more than WINDOW_DISORDER_MAX before, or more than WINDOW_GAP_MAX after, the newest one, the clock was
 * stepped: the packets before the step are returned first, and the first packet after it gets the newest
 * timestamp before it.
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

/* `first` is the packet that was already read from the file. The file must outlive the window. */
struct window *window_new(struct savefile *file, const struct saved_packet *first);
void window_free(struct window *window);

/* Returns the timestamp of the earliest packet, NS_NEVER at the end. */
ns_t window_due(const struct window *window);
/* Removes the earliest packet; there must be one. Its data is valid until the next call. */
void window_take(struct window *window, struct reader_packet *packet);
/* Appends a line about steps of the clock, and one about disorder, if there were any. */
void window_notes(const struct window *window, const char *name, struct text *text);

#endif
