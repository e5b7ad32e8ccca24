/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hidden: tells a file that the sandbox hides from one that may not be opened for other reasons. For both,
 * open(2) sets EACCES.
 *
 * Landlock restricts opening but not access(2): a file that access(2) grants and open(2) refuses is hidden.
 */
#ifndef BASE_HIDDEN_H
#define BASE_HIDDEN_H

#include <stdbool.h>

#define HIDDEN_REASON "it is outside the sandbox: restart, or --no-sandbox"

/* From here on files may be hidden. Called once, before the first thread. */
void hidden_begin(void);
/* Returns whether the sandbox hides the file. `for_writing`: the file may be one that does not exist yet.
 * errno stays as it was. */
bool hidden_is(const char *path, bool for_writing);
/* Returns strerror(error), or HIDDEN_REASON if that is why `path` could not be opened. */
const char *hidden_strerror(int error, const char *path, bool for_writing);

#endif
