/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keylog: follows TLS key log files (the SSLKEYLOGFILE format of NSS) while they grow, and tracks which of
 * their lines a capture file still lacks.
 *
 * A file need not exist yet; one that shrinks is read from its start again. Only whole lines are used. Up to
 * KEYLOG_WHOLE bytes all lines go into a capture; beyond that, only those of sessions whose ClientHello was
 * seen (the client random is in both).
 *
 * Order of calls for each capture file; the last three until nothing is left:
 *
 *   keylog_begin_file ── keylog_follow, keylog_scan_datagram … ── keylog_next, write, keylog_written (repeat)
 */
#ifndef CAPTURE_KEYLOG_H
#define CAPTURE_KEYLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define KEYLOG_WHOLE ((size_t)1 << 20) /* bytes; also the limit of the lines in one block */
#define KEYLOG_MAX ((size_t)64 << 20)  /* bytes of lines in memory; further lines are ignored */

struct keylog;

struct keylog *keylog_new(const char *const *paths, size_t count);
void keylog_free(struct keylog *keylog);
/* Reads the new lines of all files. Returns true and sets *error if one is there but cannot be read, once. */
bool keylog_follow(struct keylog *keylog, struct error *error);
/* Looks for a ClientHello in a datagram that arrived; the lines of its session are then needed. */
void keylog_scan_datagram(struct keylog *keylog, const uint8_t *bytes, size_t size);

/* Starts a new capture file, which holds no lines yet. */
void keylog_begin_file(struct keylog *keylog);
/* Fills `lines` with lines that the file lacks, at most KEYLOG_WHOLE bytes. Returns false if there are
 * none. The same lines are returned again until keylog_written is called. */
bool keylog_next(struct keylog *keylog, struct text *lines);
void keylog_written(struct keylog *keylog);

/* Returns true if keys are missing since the last call: there were more than KEYLOG_MAX bytes, or memory
 * ran out. */
bool keylog_lost_keys(struct keylog *keylog);

#endif
