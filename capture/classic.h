/* SPDX-License-Identifier: BSD-2-Clause */
/* classic: makes pcap files with nanosecond timestamps, with libpcap: packets without comments, and no
 * events. */
#ifndef CAPTURE_CLASSIC_H
#define CAPTURE_CLASSIC_H

#include "base/text.h"
#include "capture/blocks.h"

struct classic;

struct classic *classic_new(void);
void classic_free(struct classic *classic);
void classic_head(const struct classic *classic, struct text *out);
void classic_record(struct classic *classic, struct text *out, const struct record *record);

#endif
