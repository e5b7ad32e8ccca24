/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rule: does a rule match a datagram, and does it fire? Counting is done here; acting is not.
 *
 * The order of questions: all conditions but chance and limit, then the count (`matched`), then nth, limit
 * and the drawn probability. (A draw leaves no trace: which of the last two comes first makes no difference.)
 */
#ifndef RULES_RULE_H
#define RULES_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chance.h"
#include "rules/dtls.h"
#include "rules/session.h"

/* The draws of a rule for one datagram: 0 is its chance; each action has a thousand of its own behind it. */
#define RULE_DRAW_CHANCE 0u
#define RULE_DRAWS_EACH 1024u

static inline unsigned rule_draw(size_t action, unsigned number)
{
	return 1u + (unsigned)action * RULE_DRAWS_EACH + number;
}

/* What there is to see of a datagram, as it arrived. */
struct match_input {
	struct session *session;
	enum way way;
	const uint8_t *bytes;
	size_t size;
	uint32_t n;
	ns_t now;
	uint64_t seen;     /* this datagram's place among all of the session, … */
	uint64_t seen_all; /* … and among all of the core */
	uint64_t carried;
	uint32_t
	    attempts[DTLS_MESSAGES_MAX]; /* of each message in `peek`, if any rule asks; 0: memory was out */
	const struct dtls_peek *peek;
	bool *out_of_memory; /* set if it is */
};

/* Does this rule look at sessions of this section and number at all? */
bool rule_concerns(const struct rule *rule, const struct session *session, const struct config *config);
bool kinds_match(const struct kinds *kinds, const struct match_input *input);
/* Counts the datagram where it matches, and tells so. `state` counts (of all sessions with scope = all),
 * `own` is the session's. `began`: when the rule's time began without `since`. */
bool rule_matches(
    struct rule_state *state, struct rule_state *own, const struct match_input *input, ns_t began);
/* For one that matched and was counted: nth, chance and limit hold. Gives the draw for its actions. */
bool rule_fires(const struct rule_state *state, const struct match_input *input, struct draw *draw);

/* Which try of this message this is: the first is 1, and a record that came before, by its number, is the
 * same try. 0 when memory is out. */
uint32_t attempts_count(struct attempts *attempts, const struct dtls_message *message);
void attempts_clear(struct attempts *attempts);

#endif
