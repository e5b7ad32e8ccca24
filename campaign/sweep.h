/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sweep: the places of a sweep, and the rules that are its faults.
 *
 * A place is named DIRECTION-KIND[-NTH] for a handshake message or a datagram with such a record
 * ("down-finished", "up-client_hello-2"), or DIRECTION-N for a datagram ("up-17"). A reference stores each of
 * its places as one line: the name, the conditions of a rule that meet it alone, how many datagrams it
 * travels in (a fragmented message: several), and a number that places in one datagram share:
 *
 *   up-client_hello-2|dtls = client_hello;message_seq = 1;direction = up;scope = first|1|3
 */
#ifndef CAMPAIGN_SWEEP_H
#define CAMPAIGN_SWEEP_H

#include "base/text.h"
#include "campaign/result.h"
#include "campaign/settings.h"
#include "report/analysis.h"

#define SWEEP_RULE "deadzone-fault" /* name of the rule that is a fault */

/* Datagrams of a reference's first session that are no handshake messages. */
struct sweep_seen {
	uint64_t datagrams[WAYS];
	uint64_t with_kind[WAYS]; /* datagrams with a record of the kind of `dtls KIND` */
	uint64_t encrypted[WAYS]; /* DTLS 1.3: datagrams with a record of epoch 2 */
};

/* Adds the places of a reference to its result. */
void sweep_places(const struct analysis *analysis, const struct sweep_seen *seen,
    const struct sweep_section *sweep, struct result *result);

struct sweep_place {
	char *name, *conditions;
	unsigned datagrams;
};

/* The references of a sweep in one cell, taken together. */
struct sweep_plan {
	struct sweep_place *all;
	size_t count;
	size_t unshared;   /* places that not all references have: left out */
	size_t over_limit; /* places that `limit` left out */
	bool is_resumed;   /* of at least one reference */
};

/* Finds the places that all references share, at most `limit` of them, spread evenly. Places that share a
 * datagram in all references become one, named after the first. */
void sweep_plan(
    const struct result *const *references, size_t count, uint64_t limit, struct sweep_plan *plan);
void sweep_plan_free(struct sweep_plan *plan);

/* Adds the rule of one fault at one place, as ini text. */
void sweep_rule(const struct sweep_place *place, const struct fault *fault, struct text *out);
/* Fills the place from a name alone, as far as the name says: for a case that is run by itself. Returns -1 if
 * it is no name of a place. The caller frees it with sweep_place_fini. */
int sweep_place_of(const char *name, struct sweep_place *place);
void sweep_place_fini(struct sweep_place *place);

#endif
