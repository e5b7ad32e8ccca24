/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * comment: a packet's `key=value` fields, as they stand in its comment and are read back from it.
 *
 *   s=3 dir=up n=75 verdict=drop by=rule:dead-zone reason=blackout dtls=application_data/1/26 dev=electron
 *   s=3 dir=up n=76 sent delay=652.114ms late=0.041ms
 */
#ifndef CAPTURE_COMMENT_H
#define CAPTURE_COMMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/datagram.h"
#include "base/names.h"
#include "base/text.h"
#include "base/verdict.h"

/* What became of a datagram after its arrival was recorded. */
struct departure {
	uint32_t session, n;
	uint8_t way, origin, reason; /* REASON_NONE: sent */
	bool corrupted;              /* after its arrival was recorded, which says the rest */
	uint16_t copy;
	ns_t delay, late;         /* due after arrival; and what came on top */
	const struct part *parts; /* of a joint one */
	uint32_t part_count;
};

/* What there is to say of a datagram that left at `at`, or died then (`reason`). */
void departure_fill(struct departure *departure, const struct datagram *datagram, uint32_t session,
    enum reason reason, ns_t at);

void comment_arrived(struct text *out, const struct verdict *verdict, const struct names *names);
void comment_departed(struct text *out, const struct departure *departure);

#endif
