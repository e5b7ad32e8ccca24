/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file: where a capture goes: names, rotation, and writing whole blocks or nothing.
 *
 * A name's strftime patterns are expanded when the file is opened. `keep` is a ring, as with tcpdump -W: a
 * name that comes again replaces its own old file and counts once, and of the files opened by this run only
 * the newest stay. A name that follows itself (no pattern, or one that has not changed since) gets -2, -3 …
 * before its extension. A file takes its name when its head stands in it (base/fresh.h), and the one before
 * stays open until then. What cannot be written whole is taken back, so that a file always ends with a whole
 * block.
 *
 * A stream (standard output, a FIFO) is written without blocking: while its reader takes nothing the caller
 * waits here, but once it was told to stop (file_hurry) only for FILE_STUCK.
 */
#ifndef CAPTURE_FILE_H
#define CAPTURE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/ns.h"

#define FILE_STUCK (250 * NS_MS)

struct file;

/* `name` of "-" is standard output. `keep`: how many files stay, 0: all. `mode`: as of open(2). */
struct file *file_new(const char *name, unsigned keep, mode_t mode);
void file_free(struct file *file);

enum file_outcome {
	FILE_OPENED,
	FILE_REFUSED, /* it cannot be opened */
	FILE_FULL,    /* it was opened, and its head cannot be written */
	FILE_UNREAD,  /* a FIFO that nobody reads yet */
};

/* Opens the next file (the first, or after another) and writes its head; `at` is the wall clock for its name.
 * On failure the one that was open before stays so. */
enum file_outcome file_open(
    struct file *file, ns_t at, const void *head, size_t head_size, struct error *error);
bool file_is_open(const struct file *file);
/* Its name was taken away: what is written goes nowhere. The next file_open takes the same name again. */
bool file_is_gone(const struct file *file);
/* Writes all or nothing (of a stream that is stuck or has lost its reader: perhaps a part); -1 and the
 * reason. A FIFO that has lost its reader is closed. */
int file_write(struct file *file, const void *bytes, size_t size, struct error *error);
/* The same with as much as there is room for: of the blocks that end at these offsets `*whole` stand in the
 * file then. 0 only if everything does, also what is behind the last end. */
int file_write_blocks(struct file *file, const void *bytes, size_t size, const uint32_t *ends,
    size_t end_count, size_t *whole, struct error *error);
void file_close(struct file *file);
/* From any thread: a stream that is stuck is not waited for any more. */
void file_hurry(struct file *file);

const char *file_name(const struct file *file); /* of the one open or opened last */
uint64_t file_size(const struct file *file);
bool file_is_stream(const struct file *file); /* standard output, or a FIFO: nothing to rotate */
/* These two from any thread. */
bool file_is_standard_output(const struct file *file);
bool file_has_pattern(const struct file *file);

#endif
