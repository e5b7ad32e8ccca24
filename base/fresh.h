/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fresh: a file that gets its name only once it is complete, so that whoever opens that name finds the old
 * file or the new one, never half of one, even after kill -9.
 *
 *   fresh_open ── write to `fd` ── fresh_publish (gives it its name, replacing an older file)
 *                               └─ fresh_discard
 *
 * Anything but a regular file (a FIFO, a device) is opened directly, without blocking; so is a file in a
 * folder where none can be created.
 */
#ifndef BASE_FRESH_H
#define BASE_FRESH_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"

struct fresh {
	int fd;                   /* -1: not open */
	char *target, *temporary; /* NULL: opened directly, or the file has no name yet */
	bool direct;
};

/* A mode: keep the permissions of the file being replaced; a new file gets 0666 less the umask. */
#define FRESH_DEFAULT 0

/* `mode`: the permissions, whatever the umask; without those to execute. Returns 0, or -1 and sets *error and
 * errno (ENXIO: a FIFO without a reader). */
int fresh_open(struct fresh *fresh, const char *path, mode_t mode, struct error *error);
/* The descriptor stays open and belongs to the caller. */
int fresh_publish(struct fresh *fresh, struct error *error);
void fresh_discard(struct fresh *fresh);

/* Returns the folder for temporary files: $TMPDIR, or /tmp. */
const char *temporary_folder(void);

/* An output file of a command, written through stdio; "-" is standard output. */
struct output_file {
	FILE *out;
	struct fresh fresh;
	struct text kept; /* output to something other than a regular file, until the end */
};

int output_file_open(struct output_file *file, const char *path, struct error *error);
/* Publishes the file. Returns -1 and sets *error if any write failed. */
int output_file_close(struct output_file *file, const char *path, struct error *error);

#endif
