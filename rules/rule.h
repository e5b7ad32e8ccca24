/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rule: decides whether a rule matches a datagram and whether it fires, and counts matches. The actions are
 * carried out in act.c.
 *
 * Order of evaluation: all conditions except nth, limit and probability; then the match is counted; then nth,
 * limit and probability. (Draws have no side effects, so the order of the last two does not matter.)
 */
#ifndef RULES_RULE_H
#define RULES_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chance.h"
#include "rules/dtls.h"
#include "rules/session.h"

/* Numbers of a rule's draws for one datagram: RULE_DRAW_CHANCE for its probability, then RULE_DRAWS_EACH per
 * action. */
#define RULE_DRAW_CHANCE 0u
#define RULE_DRAWS_EACH 1024u

static inline unsigned rule_draw(size_t action, unsigned number)
{
	return 1u + (unsigned)action * RULE_DRAWS_EACH + number;
}

/* The properties of an arriving datagram that conditions test. */
struct match_input {
	struct session *session;
	enum way way;
	const uint8_t *bytes;
	size_t size;
	uint32_t n;
	ns_t now;
	uint64_t seen;     /* number of this datagram in the session, both ways, … */
	uint64_t seen_all; /* … and in the core */
	uint64_t carried;
	uint64_t seen_device, carried_device; /* of all sessions of the device */
	ns_t age;                             /* the session's, at least 0 */
	uint64_t chance_base;                 /* of its draws */
	const uint32_t
	    *attempts; /* of each message in `peek`, for rules that look at them; 0: memory was out */
	const struct dtls_peek *peek;
	bool *out_of_memory; /* set to true if out of memory */
};

/* Returns whether the rule's `device` and `session` admit this session. */
bool rule_concerns(const struct rule *rule, const struct session *session, const struct config *config);
/* Returns whether any record of the datagram is one of `kinds`. */
bool kinds_match(const struct kinds *kinds, const struct match_input *input);
/* Returns whether the rule may match: false for most that do not. */
static inline bool rule_may_match(const struct rule *rule, const struct match_input *input)
{
	const struct rule_gate *gate = &rule->gate;

	return rule->looks >> input->way & 1 && input->size >= gate->size_low &&
	       input->size <= gate->size_high && input->age >= gate->age &&
	       (!gate->kinds || (gate->kinds & input->peek->kinds)) && !rule->disabled;
}
/* Returns whether a datagram that the rule looks at matches, and if so counts it in `state` (the shared one
 * if scope = all); `own` is the session's state. `began` is the start of the rule's time unless it has
 * `since`. */
bool rule_matches(
    struct rule_state *state, struct rule_state *own, const struct match_input *input, ns_t began);
/* Returns whether a rule that matched fires: tests nth, limit and probability. Sets *draw, for its actions.
 */
bool rule_fires(const struct rule_state *state, const struct match_input *input, struct draw *draw);

/* Returns which attempt to send `message` this is, counted from 1; a duplicate of an earlier record (same
 * number) is the same attempt. Returns 0 if out of memory. */
uint32_t attempts_count(struct attempts *attempts, const struct dtls_message *message);
void attempts_clear(struct attempts *attempts);

#endif
