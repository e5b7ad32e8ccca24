/* SPDX-License-Identifier: BSD-2-Clause */
/* measures: what the capture of a case says beyond the proxy's summary. */
#ifndef PROXY_CAMPAIGN_MEASURES_H
#define PROXY_CAMPAIGN_MEASURES_H

#include "campaign/result.h"
#include "campaign/settings.h"

/* Adds `network_seconds`, from the first datagram to the last before `test_ended` (wall clock), and
 * `retransmissions`: handshake records sent again, and confirmable CoAP messages in the clear that were sent
 * again. For a reference of a sweep it adds the places, too. A capture that cannot be read adds nothing. */
void measures_read(
    const char *capture, ns_t test_ended, const struct sweep_section *places_of, struct result *result);

#endif
