/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inputs: the captures that a command reads.
 *
 * A command reads its captures more than once, so an input that can be read only once (standard input, a
 * pipe) or is compressed (gzip, zstd) is first copied into an unnamed temporary file in $TMPDIR, or else in
 * /tmp.
 */
#ifndef CAPTURE_INPUTS_H
#define CAPTURE_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

struct inputs;

/* Opens the temporary files that the next inputs_open will need, as far as the names tell, and a few more:
 * for a process that cannot create files any more when it opens its inputs. */
void inputs_reserve(const char *const *paths, size_t count);
/* `paths`: "-" is standard input. Returns NULL and fills `error` if one of them cannot be read. */
struct inputs *inputs_open(const char *const *paths, size_t count, struct error *error);
void inputs_close(struct inputs *inputs);

size_t inputs_count(const struct inputs *inputs);
const char *inputs_name(const struct inputs *inputs, size_t index); /* for messages */
/* INPUTS_CUT, INPUTS_DAMAGED: a compressed file ended early or is damaged; what could be unpacked is
 * available. */
enum inputs_state { INPUTS_WHOLE, INPUTS_CUT, INPUTS_DAMAGED };
enum inputs_state inputs_state(const struct inputs *inputs, size_t index);
/* Returns a new stream over the bytes of the file, from the first one on; the caller closes it. */
FILE *inputs_stream(struct inputs *inputs, size_t index);

#endif
