#include "rules/rule.h"

#include <stdlib.h>
#include <string.h>

/* Enough for the messages of a handshake many times over; of more, the oldest are forgotten. */
#define ATTEMPTS_MAX 256u

bool rule_concerns(const struct rule *rule, const struct session *session, const struct config *config)
{
	bool device = rule->devices.count == 0;

	for (size_t i = 0; i < rule->devices.count && !device; i++)
		device = session->section == &config->devices[rule->devices.all[i]];
	return device && (rule->sessions.count == 0 || spans_hold(&rule->sessions, session->number));
}

/* The entry that a new one is written to; NULL when memory is out. */
static struct attempt *attempts_place(struct attempts *attempts)
{
	uint32_t room = attempts->room ? 2 * attempts->room : 8;
	struct attempt *all;

	if (attempts->count < attempts->room)
		return &attempts->all[attempts->count++];
	if (attempts->room == ATTEMPTS_MAX)
		return &attempts->all[attempts->oldest++ % ATTEMPTS_MAX];
	all = realloc(attempts->all, room * sizeof(*all));
	if (!all)
		return NULL;
	attempts->all = all;
	attempts->room = room;
	return &attempts->all[attempts->count++];
}

uint32_t attempts_count(struct attempts *attempts, const struct dtls_message *message)
{
	struct attempt *place;
	uint32_t latest = 0;

	for (uint32_t i = 0; i < attempts->count; i++) {
		const struct attempt *one = &attempts->all[i];

		if (!dtls_message_same(&one->message, message))
			continue;
		if (one->message.number == message->number && !message->is_stateless)
			return one->attempt; /* a duplicate of that record */
		if (one->attempt > latest)
			latest = one->attempt;
	}
	place = attempts_place(attempts);
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

static bool type_listed(const struct kinds *kinds, unsigned type)
{
	return type < 256 && (kinds->types[type / 32] >> (type % 32) & 1);
}

/* From the first on; most datagrams have no other, and that one was seen already. */
struct record_walk {
	struct dtls_record now;
	struct dtls_walk walk;
	bool walks;
};

static bool records_first(struct record_walk *records, const struct sight *sight)
{
	records->walks = sight->peek->records > 1;
	if (!records->walks) {
		records->now = sight->peek->first;
		return sight->peek->records == 1;
	}
	dtls_walk(&records->walk, &sight->session->dtls, sight->way, sight->bytes, sight->size);
	return dtls_next(&records->walk, &records->now);
}

static bool records_next(struct record_walk *records)
{
	return records->walks && dtls_next(&records->walk, &records->now);
}

bool kinds_match(const struct kinds *kinds, const struct sight *sight)
{
	struct record_walk records;

	if (kinds->kinds & sight->peek->kinds)
		return true;
	if (!kinds->any_types)
		return false;
	for (bool more = records_first(&records, sight); more; more = records_next(&records))
		if (type_listed(kinds, records.now.type))
			return true;
	return false;
}

static bool number_matches(const struct rule *rule, uint16_t epoch, uint64_t number)
{
	if (number == DTLS_NUMBER_HIDDEN)
		return false;
	for (size_t i = 0; i < rule->records.count; i++)
		if (rule->records.all[i].epoch == epoch && span_holds(&rule->records.all[i].numbers, number))
			return true;
	return false;
}

static bool records_match(const struct rule *rule, const struct sight *sight)
{
	bool epoch = false, number = rule->records.count == 0;
	struct record_walk records;

	for (bool more = records_first(&records, sight); more; more = records_next(&records)) {
		epoch |= span_holds(&rule->epoch, records.now.epoch);
		number |= number_matches(rule, records.now.epoch, records.now.number);
		if (epoch && number)
			return true;
	}
	return false;
}

/* `since`: awake from the datagram behind the other's firing on. */
static bool is_awake(const struct rule_state *state, const struct sight *sight)
{
	uint64_t seen = state->rule->scope == SCOPE_ALL ? sight->seen_all : sight->seen;

	return state->restart && seen > state->restart->seen;
}

/* `after` and `until`. */
static bool in_span(const struct rule_state *state, const struct sight *sight, ns_t began)
{
	const struct rule *rule = state->rule;
	ns_t age = sight->now - (state->restart ? state->restart->at : began);

	if (age < 0) /* its socket was read late: it came a hair before what set the clock of this rule */
		age = 0;
	return age >= rule->after && (rule->until == 0 || age < rule->until);
}

/* Does one handshake message meet the conditions that a record can meet, all of them? */
static bool message_meets(const struct rule *rule, const struct dtls_message *message, uint32_t attempt)
{
	const struct kinds *kinds = &rule->dtls;
	bool any_kind = !kinds->kinds && !kinds->any_types;

	if (!any_kind && !(kinds->kinds & message->kinds) && !type_listed(kinds, DTLS_TYPE_HANDSHAKE))
		return false;
	if ((rule->looks & LOOKS_SEQUENCE) &&
	    (message->sequence == DTLS_SEQUENCE_HIDDEN || !span_holds(&rule->message_seq, message->sequence)))
		return false;
	if (rule->records.count && !number_matches(rule, message->epoch, message->number))
		return false;
	return span_holds(&rule->epoch, message->epoch) &&
	       (!(rule->looks & LOOKS_ATTEMPT) || (attempt && span_holds(&rule->attempt, attempt)));
}

/* Attempts are counted in the session, from the latest restart on; all are, whichever matches. */
static bool messages_match(struct rule_state *own, const struct sight *sight)
{
	const struct dtls_peek *peek = sight->peek;
	bool matches = false, restarted = own->restart && (own->rule->looks & LOOKS_ATTEMPT);

	for (uint32_t i = 0; i < peek->message_count; i++) {
		const struct dtls_message *message = &peek->messages[i];
		uint32_t attempt = sight->attempts[i];

		if (restarted) {
			attempt = attempts_count(&own->restart->attempts[sight->way], message);
			*sight->out_of_memory |= !attempt;
		}
		matches |= message_meets(own->rule, message, attempt);
	}
	return matches;
}

static bool dtls_matches(const struct rule *rule, const struct sight *sight)
{
	if ((rule->dtls.kinds || rule->dtls.any_types) && !kinds_match(&rule->dtls, sight))
		return false;
	return !kinds_match(&rule->dtls_not, sight);
}

static bool coap_matches(const struct rule *rule, const struct sight *sight)
{
	bool any_number = !(rule->looks & LOOKS_COAP_BLOCK);
	struct coap coap;

	if (sight->peek->first.type != DTLS_NONE)
		return false;
	coap_look(&coap, sight->bytes, sight->size);
	return coap_match(&rule->coap, any_number ? NULL : &rule->coap_block, &coap);
}

static bool carried_matches(const struct rule_state *own, const struct sight *sight)
{
	uint64_t before = own->restart ? own->restart->carried[sight->way] : 0;

	return span_holds(&own->rule->carried, sight->carried - before);
}

static bool conditions_hold(
    struct rule_state *state, struct rule_state *own, const struct sight *sight, ns_t began)
{
	const struct rule *rule = state->rule;

	if ((rule->looks & LOOKS_SINCE) && !is_awake(state, sight))
		return false;
	/* Before all else that may fail: an attempt counts whatever the other conditions say. */
	if ((rule->looks & (LOOKS_ATTEMPT | LOOKS_SEQUENCE)) && !messages_match(own, sight))
		return false;
	if ((rule->looks & LOOKS_AGE) && !in_span(state, sight, began))
		return false;
	if ((rule->looks & LOOKS_SIZE) && !spans_hold(&rule->sizes, sight->size))
		return false;
	if ((rule->looks & LOOKS_DTLS) && !dtls_matches(rule, sight))
		return false;
	if ((rule->looks & LOOKS_RECORDS) && !records_match(rule, sight))
		return false;
	if ((rule->looks & LOOKS_BYTES) && !bytes_match(&rule->bytes, sight->bytes, sight->size))
		return false;
	if ((rule->looks & (LOOKS_COAP | LOOKS_COAP_BLOCK)) && !coap_matches(rule, sight))
		return false;
	return !(rule->looks & LOOKS_CARRIED) || carried_matches(own, sight);
}

bool rule_matches(struct rule_state *state, struct rule_state *own, const struct sight *sight, ns_t began)
{
	const struct rule *rule = state->rule;

	if (!(rule->looks & 1u << sight->way) || rule->disabled)
		return false;
	if ((rule->looks & ~(unsigned)(LOOKS_UP | LOOKS_DOWN)) && !conditions_hold(state, own, sight, began))
		return false;
	state->matched[rule->way == RULE_EITHER ? 0 : sight->way]++;
	return true;
}

bool rule_fires(const struct rule_state *state, const struct sight *sight, struct draw *draw)
{
	const struct rule *rule = state->rule;

	if (rule->nth.count &&
	    !spans_hold(&rule->nth, state->matched[rule->way == RULE_EITHER ? 0 : sight->way]))
		return false;
	if (state->fired >= rule->limit)
		return false;
	*draw = chance_draw(sight->session->user.key, sight->way, sight->n, rule->luck);
	return rule->probability >= 1 || chance_hit(*draw, RULE_DRAW_CHANCE, rule->probability);
}
