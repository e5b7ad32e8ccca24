/*
 * keylog: TLS key log files (the SSLKEYLOGFILE format of NSS), followed while they grow.
 *
 * A file need not be there yet; one that shrinks is read from its start again. Only whole lines are taken.
 */
#ifndef CAPTURE_KEYLOG_H
#define CAPTURE_KEYLOG_H

#include <stddef.h>

#include "base/text.h"

#define KEYLOG_MOST ((size_t)16 << 20) /* bytes of lines that are kept; beyond, no more are taken */

struct keylog;

struct keylog *keylog_new(const char *const *paths, size_t count);
void keylog_free(struct keylog *keylog);
/* Takes in the lines that are new. */
void keylog_follow(struct keylog *keylog);
/* All lines so far. */
const struct text *keylog_lines(const struct keylog *keylog);

#endif
