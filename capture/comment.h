/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * comment: writes the `key=value` fields of a packet's comment (capture/fields.h reads them).
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

/* What happened to a datagram after its arrival was recorded. */
struct departure {
	uint32_t session, n;
	uint8_t way, origin, reason; /* reason: REASON_NONE if it was sent */
	bool corrupted;              /* by a bit flip after its arrival was recorded */
	uint16_t copy;
	ns_t delay, late;         /* time from arrival to due time, and from due time to departure */
	const struct part *parts; /* of a joint datagram */
	uint32_t part_count;
};

/* Describes a datagram that was sent at `at`, or dropped then for `reason`. Points to the datagram's
 * parts. */
void departure_fill(struct departure *departure, const struct datagram *datagram, uint32_t session,
    enum reason reason, ns_t at);

void comment_arrived(struct text *out, const struct verdict *verdict, const struct names *names);
void comment_departed(struct text *out, const struct departure *departure);

#endif
