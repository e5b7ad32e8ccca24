/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/comment.h"

#include <stdio.h>

/* Adds a word followed by a number. */
static void add_number(struct text *out, const char *word, uint64_t number)
{
	text_add_word(out, word);
	text_add_number(out, number);
}

/* Adds a time in milliseconds with three decimals, rounded to the nearest microsecond. */
static void add_time(struct text *out, const char *word, ns_t time)
{
	uint64_t us = ((uint64_t)(time < 0 ? -time : time) + 500) / 1000;
	char decimals[4] = {
	    (char)('0' + us % 1000 / 100), (char)('0' + us % 100 / 10), (char)('0' + us % 10)};

	text_add_word(out, word);
	text_add_word(out, time < 0 && us ? "-" : "");
	text_add_number(out, us / 1000);
	text_add_word(out, ".");
	text_add_word(out, decimals);
	text_add_word(out, "ms");
}

static const char *type_name(unsigned type, char *text, size_t cap)
{
	static const char *const names[] = {
	    "change_cipher_spec", "alert", "handshake", "application_data", "heartbeat", "cid", "ack"};

	if (type >= 20 && type <= 26)
		return names[type - 20];
	if (type == 254)
		return "session_move";
	if (type == DTLS_UNIFIED)
		return "unified";
	snprintf(text, cap, "type:%u", type);
	return text;
}

static void add_dtls(struct text *out, const struct verdict *verdict)
{
	char text[16];

	if (verdict->type == DTLS_NONE) {
		text_add_word(out, " dtls=none");
		return;
	}
	text_add_word(out, " dtls=");
	text_add_word(out, type_name(verdict->type, text, sizeof(text)));
	add_number(out, "/", verdict->epoch);
	if (verdict->number == DTLS_NUMBER_HIDDEN)
		text_add_word(out, "/-");
	else
		add_number(out, "/", verdict->number);
}

static void add_hold(struct text *out, const struct verdict *verdict, const struct names *names)
{
	static const char *const words[] = {[HOLD_LOOKUP] = "lookup",
	    [HOLD_BLACKOUT] = "blackout",
	    [HOLD_PACK] = "pack",
	    [HOLD_SLEEP] = "sleep"};

	switch ((enum hold)verdict->hold) {
	case HOLD_NONE: break;
	case HOLD_REORDER: text_add(out, " hold=reorder:%up", verdict->hold_count); break;
	case HOLD_RULE: text_add(out, " hold=%s", names_get(names, verdict->hold_name)); break;
	case HOLD_LOOKUP:
	case HOLD_BLACKOUT:
	case HOLD_PACK:
	case HOLD_SLEEP: text_add(out, " hold=%s", words[verdict->hold]); break;
	}
}

static void add_mutations(struct text *out, const struct verdict *verdict)
{
	for (unsigned i = 0; i < verdict->mutation_count; i++) {
		const struct mutation *mutation = &verdict->mutations[i];

		text_add(out, i ? "," : " did=");
		switch ((enum mutation_kind)mutation->kind) {
		case MUTATION_CORRUPT: text_add(out, "corrupt:%u.%u", mutation->byte, mutation->value); break;
		case MUTATION_SET: text_add(out, "set:%u:%u", mutation->byte, mutation->value); break;
		case MUTATION_TRUNCATE: text_add(out, "truncate:%u", mutation->byte); break;
		}
	}
	if (verdict->mutations_left_out)
		text_add(out, ",and:%u", verdict->mutations_left_out);
}

static void add_datagram(struct text *out, uint32_t session, enum way way, uint32_t n)
{
	add_number(out, "s=", session);
	text_add_word(out, " dir=");
	text_add_word(out, verdict_ways[way]);
	add_number(out, " n=", n);
}

static void add_reason(struct text *out, enum reason reason)
{
	text_add_word(out, " reason=");
	text_add_word(out, verdict_reasons[reason]);
}

void comment_arrived(struct text *out, const struct verdict *verdict, const struct names *names)
{
	add_datagram(out, verdict->session, (enum way)verdict->way, verdict->n);
	text_add_word(out, verdict->reason ? " verdict=drop" : " verdict=send");
	for (unsigned i = 0; i < verdict->by_count; i++) {
		text_add_word(out, i ? "," : " by=");
		text_add_word(out, names_get(names, verdict->by[i]));
	}
	if (verdict->by_left_out)
		text_add(out, ",and:%u", verdict->by_left_out);
	if (verdict->reason)
		add_reason(out, (enum reason)verdict->reason);
	else if (verdict->delay != NS_UNKNOWN)
		add_time(out, " delay=", verdict->delay);
	if (!verdict->reason)
		add_hold(out, verdict, names);
	add_mutations(out, verdict);
	if (verdict->copies)
		add_number(out, " copies=", verdict->copies);
	add_dtls(out, verdict);
	if (verdict->device) {
		text_add_word(out, " ");
		text_add_word(out, names_get(names, verdict->device));
	}
}

void departure_fill(struct departure *departure, const struct datagram *datagram, uint32_t session,
    enum reason reason, ns_t at)
{
	*departure = (struct departure){.session = session,
	    .n = datagram->n,
	    .way = datagram->way,
	    .origin = datagram->origin,
	    .reason = (uint8_t)reason,
	    .copy = datagram->copy,
	    .corrupted = datagram->flags & DATAGRAM_CORRUPTED,
	    .delay = datagram->due - datagram->arrived,
	    .late = at - datagram->due};
	if (datagram->flags & DATAGRAM_JOINED) {
		departure->parts = datagram->parts->all;
		departure->part_count = datagram->parts->count;
	}
}

void comment_departed(struct text *out, const struct departure *departure)
{
	add_datagram(out, departure->session, (enum way)departure->way, departure->n);
	text_add_word(out, departure->reason ? " unsent" : " sent");
	if (departure->copy)
		text_add(out, " copy=%u of=%s", departure->copy, verdict_origins[departure->origin]);
	for (uint32_t i = 0; i < departure->part_count; i++)
		add_number(out, i ? "," : " packed=", departure->parts[i].n);
	if (departure->corrupted)
		text_add(out, " did=corrupt");
	if (departure->reason) {
		add_reason(out, (enum reason)departure->reason);
		return;
	}
	add_time(out, " delay=", departure->delay);
	add_time(out, " late=", departure->late);
}
