/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file: the file that a capture is written to: names, rotation, and writing whole blocks or nothing.
 *
 * strftime patterns in the name are expanded when a file is opened. `keep` is a ring, as with tcpdump -W: a
 * repeated name replaces its own old file and counts once, and only the newest of the files opened by this
 * run stay. If the name is the same as the last one (no pattern, or one that has not changed since), -2, -3 …
 * is added before its extension. A file gets its name once its head is written (base/fresh.h), and the
 * previous file stays open until then. A block that cannot be written whole is removed, so that a file always
 * ends with a whole block.
 *
 * A stream (standard output, a FIFO) is written without blocking: the caller waits here as long as its reader
 * reads nothing, but after file_stop_waiting only for FILE_STUCK.
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

/* `name` "-" is standard output. `keep`: number of files to keep, 0: all. `mode`: permissions of new files;
 * 0: what the umask leaves. */
struct file *file_new(const char *name, unsigned keep, mode_t mode);
void file_free(struct file *file);

enum file_outcome {
	FILE_OPENED,
	FILE_REFUSED, /* the file cannot be opened */
	FILE_FULL,    /* it was opened, but its head cannot be written */
	FILE_UNREAD,  /* a FIFO without a reader */
};

/* Opens the next file and writes its head; `at` is the wall-clock time for its name. On failure the
 * previous file stays open. */
enum file_outcome file_open(
    struct file *file, ns_t at, const void *head, size_t head_size, struct error *error);
bool file_is_open(const struct file *file);
/* Returns true if the open file was removed, so that what is written is lost. The next file_open uses the
 * same name again. */
bool file_is_gone(const struct file *file);
/* Writes all or nothing (but perhaps a part to a stream that is stuck or has lost its reader). Returns 0,
 * or -1 and sets *error. A FIFO that has lost its reader is closed. */
int file_write(struct file *file, const void *bytes, size_t size, struct error *error);
/* Like file_write, but writes as many blocks as fit: `ends` are the offsets of their ends, and *whole is
 * set to the number of blocks written. Returns 0 only if everything was written, including what follows
 * the last end. */
int file_write_blocks(struct file *file, const void *bytes, size_t size, const uint32_t *ends,
    size_t end_count, size_t *whole, struct error *error);
void file_close(struct file *file);
/* Stops waiting for a stream that is stuck. May be called from any thread. */
void file_stop_waiting(struct file *file);

const char *file_name(const struct file *file); /* of the file that is open or was opened last */
uint64_t file_size(const struct file *file);
bool file_is_stream(const struct file *file); /* standard output, a FIFO or a device: it cannot be rotated */
/* These two may be called from any thread. */
bool file_is_standard_output(const struct file *file);
bool file_has_pattern(const struct file *file);

#endif
