/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay: passes a timed list of datagrams through the core with an ini file, and prints a transcript.
 *
 *   replay FILE.ini FILE.in
 *
 * A line of the list is a time, a way, and bytes as hex, as 'text' or as a size (`*100`); `device=N` before
 * the way picks one of many devices (by default 1); `x10` at the end repeats it, `x10/5ms` every 5 ms. A line
 * with a time and `end` says that nothing arrives after it. The transcript has what the capture would say, in
 * order, with times from the start.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "capture/comment.h"
#include "proxy/run/setup.h"
#include "rules/core.h"

#define SEED 1

static const struct entrance entrance = {
    .listener = {.family = FAMILY_IPV4, .port = 5684, .ip = {192, 0, 2, 1}}};

struct replay {
	struct names *names;
	struct core *core;
	struct text comment;
	ns_t now;
};

static void say(struct replay *r, ns_t at, const char *what)
{
	printf("%10.3f %s\n", (double)at / (double)NS_MS, what);
	text_clear(&r->comment);
}

static void say_bytes(struct replay *r, const struct datagram *d)
{
	text_add(&r->comment, " [%u]", d->size);
	for (uint32_t i = 0; i < d->size && i < 12; i++)
		text_add(&r->comment, "%s%02x", i ? "" : " ", d->bytes[i]);
	if (d->size > 12)
		text_add(&r->comment, "…");
}

static void departed(struct replay *r, struct datagram *d, enum reason reason, ns_t at)
{
	struct departure departure;

	departure_fill(&departure, d, d->session->number, reason, at);
	comment_departed(&r->comment, &departure);
	say_bytes(r, d);
	say(r, at, r->comment.at);
}

static void check_accounts(struct core *core)
{
	for (struct session *s = core_oldest(core); s; s = s->newer)
		for (int way = 0; way < WAYS; way++) {
			const struct account a = way_account(&s->ways[way]);

			assert(a.received + a.copies == a.sent + account_dropped(&a) + a.queued);
		}
}

static void outcomes(struct replay *r)
{
	struct outcome o;

	while (core_next(r->core, &o)) {
		switch (o.kind) {
		case OUTCOME_SEND:
			departed(r, o.datagram, REASON_NONE, o.at);
			core_sent(r->core, o.datagram, o.at);
			break;
		case OUTCOME_UNSENT:
			departed(r, o.datagram, o.reason, o.at);
			core_release(r->core, o.datagram);
			break;
		case OUTCOME_EVENT: say(r, o.at, o.text); break;
		case OUTCOME_UPSTREAM:
		case OUTCOME_DARK: break;
		case OUTCOME_ENDED: core_session_release(r->core, o.session); break;
		}
		check_accounts(r->core);
	}
}

static void advance(struct replay *r, ns_t now)
{
	for (ns_t due = core_due(r->core); due <= now; due = core_due(r->core)) {
		core_advance(r->core, due);
		outcomes(r);
	}
	core_advance(r->core, now);
	outcomes(r);
}

static void arrive(
    struct replay *r, unsigned device, enum way way, const uint8_t *bytes, size_t size, ns_t at)
{
	struct address from = {
	    .family = FAMILY_IPV4, .port = (uint16_t)(40000 + device), .ip = {192, 0, 2, 7}};
	struct arrival arrival = {.way = way, .bytes = bytes, .size = size, .at = at};
	struct session *session;
	struct verdict verdict;
	enum admission admission;

	from.ip[3] = (uint8_t)(6 + device);
	advance(r, at);
	session = core_session(r->core, 0, &entrance, &from, &arrival, &admission);
	outcomes(r);
	if (session)
		core_arrive(r->core, session, &arrival, &verdict);
	else
		core_refuse(r->core, admission_reason(admission), &arrival, &verdict);
	comment_arrived(&r->comment, &verdict, r->names);
	say(r, at, r->comment.at);
	check_accounts(r->core);
	advance(r, at);
}

static size_t read_bytes(const char *word, uint8_t *bytes)
{
	size_t size = 0;

	if (*word == '*') {
		size = strtoul(word + 1, NULL, 10);
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)i;
	} else if (*word == '\'') {
		size = strcspn(word + 1, "'");
		memcpy(bytes, word + 1, size);
	} else {
		for (unsigned byte; sscanf(word + 2 * size, "%2x", &byte) == 1; size++)
			bytes[size] = (uint8_t)byte;
	}
	return size;
}

/* Handles a line such as "10ms up 'hello' x10/5ms". */
static void line(struct replay *r, char *text)
{
	static uint8_t bytes[65536];
	char *word = strtok(text, " \n");
	unsigned device = 1, times = 1;
	ns_t at, every = 0;
	struct error error;
	enum way way;
	size_t size;

	if (!word || *word == ';')
		return;
	if (units_time(word, &at, &error)) {
		fprintf(stderr, "%s\n", error.text);
		exit(2);
	}
	word = strtok(NULL, " \n");
	if (strcmp(word, "end") == 0) {
		advance(r, at);
		core_last_arrival(r->core);
		return;
	}
	if (sscanf(word, "device=%u", &device) == 1)
		word = strtok(NULL, " \n");
	way = strcmp(word, "down") == 0 ? WAY_DOWN : WAY_UP;
	size = read_bytes(strtok(NULL, " \n"), bytes);
	word = strtok(NULL, " \n");
	if (word && sscanf(word, "x%u", &times) == 1 && strchr(word, '/'))
		units_time(strchr(word, '/') + 1, &every, &error);
	for (unsigned i = 0; i < times; i++)
		arrive(r, device, way, bytes, size, at + (ns_t)i * every);
}

static void totals(struct replay *r, const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++)
		printf("rule %s matched=%" PRIu64 " fired=%" PRIu64 "\n", config->rules[i].name,
		    core_rule(r->core, (unsigned)i)->matched, core_rule(r->core, (unsigned)i)->fired);
}

int main(int count, char **words)
{
	struct complaints *complaints = complaints_new();
	struct replay r = {.names = names_new()};
	struct setup_source source = {.ini.file = words[1]};
	struct setup *setup;
	struct core_limits limits;
	char text[8192];
	FILE *in;

	if (count != 3)
		return 2;
	setup = setup_new(&source, SETUP_SIMULATE, r.names, complaints);
	complaints_print(complaints, stdout);
	if (complaints_count(complaints, COMPLAINT_ERROR))
		return 2;
	limits = (struct core_limits){.seed = SEED,
	    .idle_timeout = setup->proxy.idle_timeout,
	    .max_sessions = setup->proxy.max_sessions,
	    .max_queued = setup->proxy.max_queued};
	r.core = core_new(setup->config, r.names, &limits, 0);
	in = fopen(words[2], "r");
	assert(in);
	while (fgets(text, sizeof(text), in))
		line(&r, text);
	fclose(in);
	core_last_arrival(r.core);
	while (core_due(r.core) != NS_NEVER && core_queued(r.core))
		advance(&r, core_due(r.core));
	printf("queued %" PRIu64 "\n", core_queued(r.core));
	totals(&r, setup->config);
	core_free(r.core);
	text_free(&r.comment);
	setup_free(setup);
	names_free(r.names);
	complaints_free(complaints);
	return 0;
}
