/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Only conditions that the rule has are tested (rule->looks), in a fixed order. Those on records walk the
 * datagram only if its peek (dtls_parse) holds more than one record. `attempts` counts how often each
 * handshake message came.
 */
#include "rules/rule.h"

#include <stdlib.h>
#include <string.h>

/* Several handshakes' worth of messages; beyond that, the oldest are overwritten. */
#define ATTEMPTS_MAX 256u

bool rule_concerns(const struct rule *rule, const struct session *session, const struct config *config)
{
	bool has_device = rule->devices.count == 0;

	for (size_t i = 0; i < rule->devices.count && !has_device; i++)
		has_device = session->section == &config->devices[rule->devices.all[i]];
	return has_device && (rule->sessions.count == 0 || spans_hold(&rule->sessions, session->number));
}

/* Returns the entry to be (over)written by a new attempt; NULL if out of memory. */
static struct attempt *new_attempt(struct attempts *attempts)
{
	uint32_t cap = attempts->cap ? 2 * attempts->cap : 8;
	struct attempt *all;

	if (attempts->count < attempts->cap)
		return &attempts->all[attempts->count++];
	if (attempts->cap == ATTEMPTS_MAX)
		return &attempts->all[attempts->oldest++ % ATTEMPTS_MAX];
	all = realloc(attempts->all, cap * sizeof(*all));
	if (!all)
		return NULL;
	attempts->all = all;
	attempts->cap = cap;
	return &attempts->all[attempts->count++];
}

uint32_t attempts_count(struct attempts *attempts, const struct dtls_message *message)
{
	struct attempt *place;
	uint32_t latest = 0;

	for (uint32_t i = 0; i < attempts->count; i++) {
		const struct attempt *earlier = &attempts->all[i];

		if (!dtls_message_same(&earlier->message, message))
			continue;
		if (earlier->message.number == message->number && !message->is_stateless)
			return earlier->attempt; /* a duplicate of that record */
		if (earlier->attempt > latest)
			latest = earlier->attempt;
	}
	place = new_attempt(attempts);
	if (!place)
		return 0;
	*place = (struct attempt){.message = *message, .attempt = latest + 1};
	return latest + 1;
}

void attempts_clear(struct attempts *attempts)
{
	free(attempts->all);
	*attempts = (struct attempts){0};
}

static bool has_type(const struct kinds *kinds, unsigned type)
{
	return type < 256 && (kinds->types[type / 32] >> (type % 32) & 1);
}

/* Iterates over a datagram's records. Most have only one, which the peek already holds. */
struct record_walk {
	struct dtls_record now;
	struct dtls_walk walk;
	bool is_walking;
};

static bool records_first(struct record_walk *records, const struct match_input *input)
{
	records->is_walking = input->peek->records > 1;
	if (!records->is_walking) {
		records->now = input->peek->first;
		return input->peek->records == 1;
	}
	dtls_walk(&records->walk, &input->session->dtls, input->way, input->bytes, input->size);
	return dtls_next(&records->walk, &records->now);
}

static bool records_next(struct record_walk *records)
{
	return records->is_walking && dtls_next(&records->walk, &records->now);
}

bool kinds_match(const struct kinds *kinds, const struct match_input *input)
{
	struct record_walk records;

	if (kinds->kinds & input->peek->kinds)
		return true;
	if (!kinds->any_types)
		return false;
	for (bool more = records_first(&records, input); more; more = records_next(&records))
		if (has_type(kinds, records.now.type))
			return true;
	return false;
}

static bool record_listed(const struct rule *rule, uint16_t epoch, uint64_t number)
{
	if (number == DTLS_NUMBER_HIDDEN)
		return false;
	for (size_t i = 0; i < rule->records.count; i++)
		if (rule->records.all[i].epoch == epoch && span_holds(&rule->records.all[i].numbers, number))
			return true;
	return false;
}

static bool records_match(const struct rule *rule, const struct match_input *input)
{
	bool epoch = false, number = rule->records.count == 0;
	struct record_walk records;

	for (bool more = records_first(&records, input); more; more = records_next(&records)) {
		epoch |= span_holds(&rule->epoch, records.now.epoch);
		number |= record_listed(rule, records.now.epoch, records.now.number);
		if (epoch && number)
			return true;
	}
	return false;
}

/* `since`: returns whether the other rule fired on an earlier datagram. */
static bool has_begun(const struct rule_state *state, const struct match_input *input)
{
	uint64_t seen = state->rule->scope == SCOPE_ALL      ? input->seen_all
	                : state->rule->scope == SCOPE_DEVICE ? input->seen_device
	                                                     : input->seen;

	return state->restart && seen > state->restart->seen;
}

/* Tests `after` and `until`. */
static bool is_in_period(const struct rule_state *state, const struct match_input *input, ns_t began)
{
	const struct rule *rule = state->rule;
	ns_t age = input->now - (state->restart ? state->restart->at : began);

	if (age <
	    0) /* its socket was read late: it arrived just before the event that started this rule's time */
		age = 0;
	return age >= rule->after && (rule->until == 0 || age < rule->until);
}

/* Returns whether a single handshake message meets all conditions that apply to messages. */
static bool message_matches(const struct rule *rule, const struct dtls_message *message, uint32_t attempt)
{
	const struct kinds *kinds = &rule->dtls;
	bool any_kind = !kinds->kinds && !kinds->any_types;

	if (!any_kind && !(kinds->kinds & message->kinds) && !has_type(kinds, DTLS_TYPE_HANDSHAKE))
		return false;
	if ((rule->looks & LOOKS_SEQUENCE) &&
	    (message->sequence == DTLS_SEQUENCE_HIDDEN || !span_holds(&rule->message_seq, message->sequence)))
		return false;
	if (rule->records.count && !record_listed(rule, message->epoch, message->number))
		return false;
	return span_holds(&rule->epoch, message->epoch) &&
	       (!(rule->looks & LOOKS_ATTEMPT) || (attempt && span_holds(&rule->attempt, attempt)));
}

/* Attempts are counted per session, from the latest restart on. Every message is counted, even after a match.
 */
static bool messages_match(struct rule_state *own, const struct match_input *input)
{
	const struct dtls_peek *peek = input->peek;
	bool matches = false, restarted = own->restart && (own->rule->looks & LOOKS_ATTEMPT);

	for (uint32_t i = 0; i < peek->message_count; i++) {
		const struct dtls_message *message = &peek->messages[i];
		uint32_t attempt = own->rule->looks & LOOKS_ATTEMPT ? input->attempts[i] : 0;

		if (restarted) {
			attempt = attempts_count(&own->restart->attempts[input->way], message);
			*input->out_of_memory |= !attempt;
		}
		matches |= message_matches(own->rule, message, attempt);
	}
	return matches;
}

static bool dtls_matches(const struct rule *rule, const struct match_input *input)
{
	if ((rule->dtls.kinds || rule->dtls.any_types) && !kinds_match(&rule->dtls, input))
		return false;
	return !kinds_match(&rule->dtls_not, input);
}

static bool coap_matches(const struct rule *rule, const struct match_input *input)
{
	bool any_number = !(rule->looks & LOOKS_COAP_BLOCK);
	struct coap coap;

	if (input->peek->first.type != DTLS_NONE)
		return false;
	coap_parse(&coap, input->bytes, input->size);
	return coap_match(&rule->coap, any_number ? NULL : &rule->coap_block, &coap);
}

/* Bytes carried are those of the device (scope = device) or of the session. */
static bool carried_matches(
    const struct rule_state *state, const struct rule_state *own, const struct match_input *input)
{
	bool is_device = state->rule->scope == SCOPE_DEVICE;
	const struct restart *restart = is_device ? state->restart : own->restart;
	uint64_t before = restart ? restart->carried[input->way] : 0;

	return span_holds(&own->rule->carried, (is_device ? input->carried_device : input->carried) - before);
}

static bool conditions_hold(
    struct rule_state *state, struct rule_state *own, const struct match_input *input, ns_t began)
{
	const struct rule *rule = state->rule;

	if ((rule->looks & LOOKS_SINCE) && !has_begun(state, input))
		return false;
	/* This comes first among the conditions, because an attempt counts whatever the others say. */
	if ((rule->looks & (LOOKS_ATTEMPT | LOOKS_SEQUENCE)) && !messages_match(own, input))
		return false;
	if ((rule->looks & LOOKS_AGE) && !is_in_period(state, input, began))
		return false;
	if ((rule->looks & LOOKS_SIZE) && !spans_hold(&rule->sizes, input->size))
		return false;
	if ((rule->looks & LOOKS_DTLS) && !dtls_matches(rule, input))
		return false;
	if ((rule->looks & LOOKS_RECORDS) && !records_match(rule, input))
		return false;
	if ((rule->looks & LOOKS_BYTES) && !bytes_match(&rule->bytes, input->bytes, input->size))
		return false;
	if ((rule->looks & (LOOKS_COAP | LOOKS_COAP_BLOCK)) && !coap_matches(rule, input))
		return false;
	return !(rule->looks & LOOKS_CARRIED) || carried_matches(state, own, input);
}

/* For a rule with scope = first: returns whether this is the session and handshake in which it first matched,
 * and notes the first one. */
static bool is_first_handshake(struct rule_state *state, const struct session *session)
{
	if (!state->first_session) {
		state->first_session = session->number;
		state->first_handshake = session->handshakes;
	}
	return state->first_session == session->number && state->first_handshake == session->handshakes;
}

bool rule_matches(
    struct rule_state *state, struct rule_state *own, const struct match_input *input, ns_t began)
{
	const struct rule *rule = state->rule;

	if ((rule->looks & ~(unsigned)(LOOKS_UP | LOOKS_DOWN)) && !conditions_hold(state, own, input, began))
		return false;
	if (rule->first && !is_first_handshake(state, input->session))
		return false;
	state->matched[rule->way == RULE_EITHER ? 0 : input->way]++;
	return true;
}

bool rule_fires(const struct rule_state *state, const struct match_input *input, struct draw *draw)
{
	const struct rule *rule = state->rule;

	if (rule->nth.count &&
	    !spans_hold(&rule->nth, state->matched[rule->way == RULE_EITHER ? 0 : input->way]))
		return false;
	if (state->fired >= rule->limit)
		return false;
	*draw = chance_draw_of(input->chance_base, rule->draw_key);
	return rule->probability >= 1 || chance_hit(*draw, RULE_DRAW_CHANCE, rule->probability);
}
