/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fresh: a file that takes its name only once it is fit to be read, so that whoever opens that name finds the
 * old file or the new one, never half of one, also after kill -9.
 *
 *   fresh_open ── write to `fd` ── fresh_publish (it takes its name, replacing an older file)
 *                               └─ fresh_discard
 *
 * What is no regular file (a FIFO, a device) is opened as it is, without blocking; so is a file in a folder
 * that takes no new ones.
 */
#ifndef BASE_FRESH_H
#define BASE_FRESH_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

struct fresh {
	int fd;                   /* -1: none */
	char *target, *temporary; /* NULL: opened as it is; the file has no name yet */
	bool direct;
};

/* `mode` as of open(2); 0666 keeps the permissions of a file that is replaced. On failure errno tells why
 * (ENXIO: a FIFO that nobody reads). */
int fresh_open(struct fresh *fresh, const char *path, mode_t mode, struct error *error);
/* The descriptor stays open and is the caller's. */
int fresh_publish(struct fresh *fresh, struct error *error);
void fresh_discard(struct fresh *fresh);

/* A whole output of a command, through stdio: "-" is standard output. */
struct output_file {
	FILE *out;
	struct fresh fresh;
	char *bytes; /* of what is no regular file, until the end: */
	size_t size;
};

int output_file_open(struct output_file *file, const char *path, struct error *error);
/* Publishes what was written; -1 and why if any of it failed. */
int output_file_close(struct output_file *file, const char *path, struct error *error);

#endif
