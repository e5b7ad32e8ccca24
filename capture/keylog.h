/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keylog: TLS key log files (the SSLKEYLOGFILE format of NSS), followed while they grow, and which of their
 * lines a capture file still needs.
 *
 * A file need not be there yet; one that shrinks is read from its start again. Only whole lines are taken. Up
 * to KEYLOG_WHOLE bytes all lines go into a capture; of more than that only those of sessions whose
 * ClientHello was seen (the client's random stands in both).
 *
 *   keylog_begin_file ── keylog_follow, keylog_see … ── keylog_next, write, keylog_written; until there is
 * none
 */
#ifndef CAPTURE_KEYLOG_H
#define CAPTURE_KEYLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define KEYLOG_WHOLE ((size_t)1 << 20) /* bytes; also of lines that one block holds */
#define KEYLOG_MAX ((size_t)64 << 20)  /* bytes of lines that are kept; beyond, no more are taken */

struct keylog;

struct keylog *keylog_new(const char *const *paths, size_t count);
void keylog_free(struct keylog *keylog);
/* Takes in the lines that are new. */
void keylog_follow(struct keylog *keylog);
/* A datagram that came: a ClientHello makes its session's lines needed. */
void keylog_see(struct keylog *keylog, const uint8_t *bytes, size_t size);

/* The capture goes on in a file that holds no lines yet. */
void keylog_begin_file(struct keylog *keylog);
/* Fills `lines` with what the file lacks, at most KEYLOG_WHOLE bytes; false if there is nothing. Once they
 * are written keylog_written says so, else they come again. */
bool keylog_next(struct keylog *keylog, struct text *lines);
void keylog_written(struct keylog *keylog);

/* Since the last call more than KEYLOG_MAX bytes came, or memory was out: keys are missing. */
bool keylog_is_short(struct keylog *keylog);

#endif
