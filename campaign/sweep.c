/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three steps: the places of each reference are read from the analysis of its capture; what all references
 * share becomes the plan (a place that some lack is not swept); each place and kind of fault becomes a rule.
 */
#include "campaign/sweep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define FIELDS 4 /* of a stored place */

static const char *const way_words[WAYS] = {"up", "down"};

/* ---- Places of a reference ---- */

static void add_place(
    struct result *result, const char *name, const char *conditions, unsigned datagrams, size_t datagram)
{
	struct text line = {0};

	text_add(&line, "%s|%s|%u|%zu", name, conditions, datagrams, datagram);
	result_place(result, line.at);
	text_free(&line);
}

/* Returns whether this is a later fragment of a message that comes before it. */
static bool is_later_fragment(const struct handshake *handshake, size_t index)
{
	const struct handshake_message *message = &handshake->messages[index];

	for (size_t i = 0; message->message.type && i < index; i++) {
		const struct handshake_message *other = &handshake->messages[i];

		if (other->way == message->way && other->message.type == message->message.type &&
		    other->message.epoch == message->message.epoch &&
		    other->message.sequence == message->message.sequence)
			return true;
	}
	return false;
}

/* Returns in how many datagrams the message travels. */
static unsigned count_fragments(const struct handshake *handshake, const struct handshake_message *message)
{
	unsigned count = 0;

	for (size_t i = 0; message->message.type && i < handshake->message_count; i++) {
		const struct handshake_message *other = &handshake->messages[i];

		count += other->way == message->way && other->message.type == message->message.type &&
		         other->message.epoch == message->message.epoch &&
		         other->message.sequence == message->message.sequence;
	}
	return count ? count : 1;
}

/* Returns how many messages of the same kind and direction come before this one. */
static unsigned count_before(const struct handshake *handshake, size_t index, const char *kind)
{
	unsigned count = 0;

	for (size_t i = 0; i < index; i++)
		count += handshake->messages[i].way == handshake->messages[index].way &&
		         !is_later_fragment(handshake, i) &&
		         strcmp(handshake_kind_name(handshake->messages[i].message.kinds), kind) == 0;
	return count;
}

static void add_message(struct result *result, const struct handshake *handshake, size_t index)
{
	const struct handshake_message *message = &handshake->messages[index];
	const char *kind = handshake_kind_name(message->message.kinds);
	unsigned before = count_before(handshake, index, kind);
	struct text name = {0}, conditions = {0};
	size_t datagram = 0;

	/* The first message that arrived with it, in one datagram, gives its number. */
	while (datagram < index && (handshake->messages[datagram].first != message->first ||
	                               handshake->messages[datagram].way != message->way))
		datagram++;
	text_add(&name, "%s-%s", way_words[message->way], kind);
	if (before)
		text_add(&name, "-%u", before + 1);
	text_add(&conditions, "direction = %s;dtls = %s;scope = first", way_words[message->way], kind);
	if (message->message.type && message->message.sequence != DTLS_SEQUENCE_HIDDEN)
		text_add(&conditions, ";message_seq = %u", message->message.sequence);
	else if (before)
		text_add(&conditions, ";nth = %u", before + 1);
	add_place(result, name.at, conditions.at, count_fragments(handshake, message), datagram);
	text_free(&name);
	text_free(&conditions);
}

/* Adds `count` places of a direction that are known by their number. */
static void add_numbered(struct result *result, enum way way, const char *kind, const char *conditions,
    uint64_t count, size_t *datagram)
{
	for (uint64_t n = 1; n <= count; n++) {
		struct text name = {0}, all = {0};

		text_add(&name, "%s-", way_words[way]);
		if (!kind)
			text_add(&name, "%" PRIu64, n);
		else if (n == 1)
			text_add_word(&name, kind);
		else
			text_add(&name, "%s-%" PRIu64, kind, n);
		text_add(&all, "direction = %s;nth = %" PRIu64 ";%s", way_words[way], n, conditions);
		add_place(result, name.at, all.at, 1, (*datagram)++);
		text_free(&name);
		text_free(&all);
	}
}

/* Returns the first handshake of the capture, or NULL. */
static const struct handshake *first_handshake(const struct analysis *analysis)
{
	const struct handshake *first = NULL;

	for (size_t i = 0; i < analysis->session_count; i++) {
		const struct handshakes *handshakes = &analysis->sessions[i].handshakes;

		if (handshakes->count && (!first || handshakes->all[0].began < first->began))
			first = &handshakes->all[0];
	}
	return first;
}

void sweep_places(const struct analysis *analysis, const struct sweep_seen *seen,
    const struct sweep_section *sweep, struct result *result)
{
	const struct handshake *handshake = first_handshake(analysis);
	size_t datagram = HANDSHAKE_MESSAGES_MAX;

	result->is_resumed = handshake && handshake->kind == HANDSHAKE_RESUMED;
	for (int way = 0; way < WAYS && sweep->at != SWEEP_HANDSHAKE; way++) {
		struct text conditions = {0};

		if (sweep->at == SWEEP_DTLS)
			text_add(&conditions, "dtls = %s;scope = first", sweep->kind);
		else
			text_add_word(&conditions, "session = 1");
		if (sweep->ways[way])
			add_numbered(result, (enum way)way, sweep->at == SWEEP_DTLS ? sweep->kind : NULL,
			    conditions.at,
			    sweep->at == SWEEP_DTLS ? seen->with_kind[way] : seen->datagrams[way], &datagram);
		text_free(&conditions);
	}
	if (sweep->at != SWEEP_HANDSHAKE || !handshake)
		return;
	for (size_t i = 0; i < handshake->message_count; i++)
		if (sweep->ways[handshake->messages[i].way] && !is_later_fragment(handshake, i) &&
		    !(handshake->is_1_3 && !handshake->messages[i].message.type))
			add_message(result, handshake, i);
	/* DTLS 1.3 hides what its encrypted handshake records are: they count up. */
	for (int way = 0; way < WAYS && handshake->is_1_3; way++)
		if (sweep->ways[way])
			add_numbered(result, (enum way)way, "unified",
			    "dtls = unified;epoch = 2;scope = first", seen->encrypted[way], &datagram);
}

/* ---- Places that all references have ---- */

/* Splits a stored place, whose parts point into `line`. Returns false if it is malformed. */
static bool split_place(char *line, char *fields[FIELDS])
{
	for (int i = 0; i < FIELDS; i++)
		if (!(fields[i] = strsep(&line, "|")))
			return false;
	return !line;
}

/* Returns whether the text is safe as part of an id and in a rule. */
static bool is_safe_name(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(name);
}

/* Finds the place in a reference; returns its datagram's number, or -1. */
static long datagram_of(const struct result *reference, const char *name)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < reference->place_count; i++) {
		const char *place = reference->places[i], *last = strrchr(place, '|');

		if (strncmp(place, name, size) == 0 && place[size] == '|' && last)
			return strtol(last + 1, NULL, 10);
	}
	return -1;
}

/* Returns whether two places travel in the same datagram in every reference. */
static bool share_datagram(const struct result *const *references, size_t count, const char *a, const char *b)
{
	for (size_t i = 0; i < count; i++)
		if (datagram_of(references[i], a) != datagram_of(references[i], b))
			return false;
	return true;
}

static bool is_shared(const struct result *const *references, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (datagram_of(references[i], name) < 0)
			return false;
	return true;
}

/* Keeps at most `limit` places, spread evenly. */
static void thin_out(struct sweep_plan *plan, uint64_t limit)
{
	size_t kept = 0;

	if (plan->count <= limit)
		return;
	plan->over_limit = plan->count - (size_t)limit;
	for (size_t i = 0; i < plan->count; i++)
		if (i * limit / plan->count != (i + 1) * limit / plan->count)
			plan->all[kept++] = plan->all[i];
		else
			sweep_place_fini(&plan->all[i]);
	plan->count = kept;
}

void sweep_plan(const struct result *const *references, size_t count, uint64_t limit, struct sweep_plan *plan)
{
	*plan = (struct sweep_plan){0};
	for (size_t r = 0; r < count; r++) {
		plan->is_resumed |= references[r]->is_resumed;
		for (size_t i = 0; r && i < references[r]->place_count; i++) {
			char *name = memory_text(
			    references[r]->places[i], strcspn(references[r]->places[i], "|"));

			plan->unshared += !is_shared(references, count, name) &&
			                  datagram_of(references[0], name) < 0;
			free(name);
		}
	}
	for (size_t i = 0; count && i < references[0]->place_count; i++) {
		char *line = memory_text(references[0]->places[i], strlen(references[0]->places[i]));
		char *fields[FIELDS];
		bool is_merged = false;

		if (split_place(line, fields) && is_safe_name(fields[0]) && !strpbrk(fields[1], "\r\n[]")) {
			for (size_t k = 0; k < plan->count && !is_merged; k++)
				is_merged = share_datagram(references, count, plan->all[k].name, fields[0]);
			if (!is_shared(references, count, fields[0])) {
				plan->unshared++;
			} else if (!is_merged) {
				plan->all = memory_grow(plan->all, plan->count, sizeof(*plan->all));
				plan->all[plan->count++] = (struct sweep_place){
				    .name = memory_text(fields[0], strlen(fields[0])),
				    .conditions = memory_text(fields[1], strlen(fields[1])),
				    .datagrams = (unsigned)strtoul(fields[2], NULL, 10)};
			}
		}
		free(line);
	}
	thin_out(plan, limit);
}

void sweep_place_fini(struct sweep_place *place)
{
	free(place->name);
	free(place->conditions);
	*place = (struct sweep_place){0};
}

void sweep_plan_free(struct sweep_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		sweep_place_fini(&plan->all[i]);
	free(plan->all);
	*plan = (struct sweep_plan){0};
}

/* ---- Rules ---- */

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* Returns whether the first `size` bytes name a kind of record. */
static bool is_kind(const char *word, size_t size)
{
	for (int kind = 0; kind < DTLS_KIND_COUNT; kind++)
		if (strlen(dtls_kinds[kind]) == size && strncmp(dtls_kinds[kind], word, size) == 0)
			return true;
	return false;
}

int sweep_place_of(const char *name, struct sweep_place *place)
{
	enum way way = strncmp(name, "up-", 3) == 0 ? WAY_UP : WAY_DOWN;
	struct text conditions = {0};
	const char *rest, *dash;
	unsigned long nth = 1;

	*place = (struct sweep_place){0};
	if (!is_safe_name(name) || (way == WAY_DOWN && strncmp(name, "down-", 5) != 0))
		return -1;
	rest = name + (way == WAY_UP ? 3 : 5);
	dash = strrchr(rest, '-');
	if (is_number(rest)) {
		text_add(&conditions, "direction = %s;nth = %s;session = 1", way_words[way], rest);
	} else {
		size_t size = strlen(rest);

		if (dash && is_number(dash + 1)) {
			size = (size_t)(dash - rest);
			nth = strtoul(dash + 1, NULL, 10);
		}
		if (!is_kind(rest, size)) {
			text_free(&conditions);
			return -1;
		}
		text_add(
		    &conditions, "direction = %s;dtls = %.*s;scope = first", way_words[way], (int)size, rest);
		if (strncmp(rest, "unified", size) == 0)
			text_add_word(&conditions, ";epoch = 2");
		/* A retransmitted ClientHello has the message_seq of the first; the next one counts it up. */
		if (strncmp(rest, "client_hello", size) == 0 && size == strlen("client_hello"))
			text_add(&conditions, ";message_seq = %lu", nth - 1);
		else if (nth > 1)
			text_add(&conditions, ";nth = %lu", nth);
	}
	*place = (struct sweep_place){
	    .name = memory_text(name, strlen(name)), .conditions = conditions.at, .datagrams = 1};
	return 0;
}

/* Returns whether the place is a handshake message, which `attempt` counts. */
static bool has_attempts(const struct sweep_place *place)
{
	return strstr(place->conditions, "message_seq") || strstr(place->conditions, "dtls = finished");
}

void sweep_rule(const struct sweep_place *place, const struct fault *fault, struct text *out)
{
	uint64_t drops = fault->kind == FAULT_DROP ? fault->drops : 1;
	const char *nth = strstr(place->conditions, "nth = ");

	text_add(out, "\n[rule " SWEEP_RULE "]\n");
	for (const char *at = place->conditions; *at; at += *at == ';') {
		size_t size = strcspn(at, ";");

		/* Several transmissions of what has only a number are the ones that follow. */
		if (at == nth && drops > 1)
			text_add(out, "nth = %lu-%lu\n", strtoul(nth + 6, NULL, 10),
			    strtoul(nth + 6, NULL, 10) + (unsigned long)drops - 1);
		else
			text_add(out, "%.*s\n", (int)size, at);
		at += size;
	}
	if (has_attempts(place))
		text_add(out, drops > 1 ? "attempt = 1-%" PRIu64 "\n" : "attempt = 1\n", drops);
	text_add(out, "limit = %" PRIu64 "\n", drops * (place->datagrams ? place->datagrams : 1));
	switch (fault->kind) {
	case FAULT_DROP: text_add_word(out, "do = drop\n"); break;
	case FAULT_SWAP: text_add_word(out, "do = hold 1\n"); break;
	default: text_add(out, "do = %s\n", fault->text);
	}
}
