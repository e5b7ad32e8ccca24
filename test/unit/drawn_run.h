/* SPDX-License-Identifier: BSD-2-Clause */
/* drawn_run: runs random traffic through a core with a random configuration, and logs what happens to it. */
#ifndef UNIT_DRAWN_RUN_H
#define UNIT_DRAWN_RUN_H

#include "rules/core.h"
#include "test/unit/drawn.h"
#include "test/unit/accounts.h"

#define SESSIONS_MAX 200
#define NO_DEVICE 255
#define END (5 * NS_S) /* nothing arrives after it, in any run */
#define EXTRA "zz"     /* name of the rule that only one of two compared runs has */

/* ---- The log of a run ---- */

enum line_kind { LINE_VERDICT, LINE_SENT, LINE_UNSENT, LINE_EVENT };

struct line {
	enum line_kind kind;
	unsigned device; /* NO_DEVICE: of no device */
	unsigned way, origin, reason, hold, copy, n, copies, mapping;
	ns_t at, delay;
	uint64_t bytes; /* a hash of the datagram, of what was done to it, or of an event's text */
	bool extra;     /* an event of the extra rule, or a datagram that this rule dropped */
};

struct log {
	struct line *lines;
	size_t count, cap;
};

static void log_add(struct log *log, struct line line)
{
	if (log->count == log->cap) {
		log->cap = log->cap ? 2 * log->cap : 1024;
		log->lines = realloc(log->lines, log->cap * sizeof(*log->lines));
		assert_non_null(log->lines);
	}
	log->lines[log->count++] = line;
}

static bool line_equal(const struct line *a, const struct line *b)
{
	return a->kind == b->kind && a->device == b->device && a->way == b->way && a->origin == b->origin &&
	       a->reason == b->reason && a->hold == b->hold && a->copy == b->copy && a->n == b->n &&
	       a->copies == b->copies && a->mapping == b->mapping && a->at == b->at && a->delay == b->delay &&
	       a->bytes == b->bytes;
}

static void line_print(const char *head, const struct line *line)
{
	static const char *const kinds[] = {"verdict", "sent", "unsent", "event"};

	print_error("%s: %s device %u %s n=%u copy=%u at %.6f ms reason=%u hold=%u copies=%u delay %.6f ms\n",
	    head, kinds[line->kind], line->device, verdict_ways[line->way], line->n, line->copy,
	    (double)line->at / (double)NS_MS, line->reason, line->hold, line->copies,
	    (double)line->delay / (double)NS_MS);
}

/* ---- Running it ---- */

enum ending { END_NONE, END_AWAITED, END_REACHED };

struct run {
	const char *ini;
	struct given given;
	struct core *core;
	struct log *log;
	const ns_t *shift; /* by how much each device's packets are moved */
	uint8_t endings[SESSIONS_MAX][WAYS][PACKETS + 1];
	unsigned copies[SESSIONS_MAX][WAYS]; /* handed out by the core */
};

static const struct entrance entrance = {
    .listener = {.family = FAMILY_IPV4, .port = 5684, .ip = {192, 0, 2, 1}}};

static unsigned device_of(const struct session *session)
{
	return session ? session->device.ip[3] - 1u : NO_DEVICE;
}

static ns_t shifted(const struct run *run, const struct session *session, ns_t at)
{
	return session && run->shift ? at - run->shift[device_of(session)] : at;
}

static void mark_end(struct run *run, const struct datagram *datagram, uint32_t n)
{
	uint8_t *ending = &run->endings[datagram->session->number][datagram->way][n];

	assert_int_equal(*ending, END_AWAITED); /* its verdict let it go on, and it has not ended before */
	*ending = END_REACHED;
}

static void log_departure(struct run *run, const struct outcome *o, enum line_kind kind)
{
	const struct datagram *d = o->datagram;

	assert_true(d->due >= d->arrived);
	if (d->copy)
		run->copies[d->session->number][d->way]++;
	else if (d->flags & DATAGRAM_JOINED)
		for (uint32_t i = 0; i < d->parts->count; i++)
			mark_end(run, d, d->parts->all[i].n);
	else
		mark_end(run, d, d->n);
	log_add(run->log, (struct line){.kind = kind,
	                      .device = device_of(d->session),
	                      .way = d->way,
	                      .origin = d->origin,
	                      .reason = kind == LINE_UNSENT ? o->reason : REASON_NONE,
	                      .copy = d->copy,
	                      .n = d->n,
	                      .mapping = d->way == WAY_UP ? o->mapping : 0,
	                      .at = shifted(run, d->session, o->at),
	                      .delay = d->due - d->arrived,
	                      .bytes = chance_hash(0, d->bytes, d->size)});
}

static void log_event(struct run *run, const struct outcome *o)
{
	const char *words = o->text;

	if (o->session)
		words += strcspn(words, " ") + 1; /* without the session's number */
	log_add(run->log, (struct line){.kind = LINE_EVENT,
	                      .device = device_of(o->session),
	                      .at = shifted(run, o->session, o->at),
	                      .bytes = chance_hash(0, words, strlen(words)),
	                      .extra = strstr(words, "rule:" EXTRA) != NULL});
}

/* Takes all outcomes, and checks that datagrams come in the order of their due times, and not early. */
static void outcomes(struct run *run)
{
	struct outcome o;
	ns_t last = INT64_MIN;

	while (core_next(run->core, &o)) {
		switch (o.kind) {
		case OUTCOME_SEND:
			assert_true(o.at >= last && o.at >= o.datagram->due);
			last = o.at;
			log_departure(run, &o, LINE_SENT);
			core_sent(run->core, o.datagram, o.at);
			break;
		case OUTCOME_UNSENT:
			log_departure(run, &o, LINE_UNSENT);
			core_release(run->core, o.datagram);
			break;
		case OUTCOME_EVENT: log_event(run, &o); break;
		case OUTCOME_UPSTREAM:
		case OUTCOME_DARK: break;
		case OUTCOME_ENDED:
			for (int way = 0; way < WAYS; way++)
				assert_int_equal(o.session->ways[way].tally.queued, 0);
			core_session_release(run->core, o.session);
			break;
		}
		check_accounts(run->core);
	}
}

static void advance(struct run *run, ns_t now)
{
	for (ns_t due = core_due(run->core); due <= now; due = core_due(run->core)) {
		core_advance(run->core, due);
		outcomes(run);
	}
	core_advance(run->core, now);
	assert_true(core_due(run->core) > now);
	outcomes(run);
}

static bool decided_by(const struct run *run, const struct verdict *verdict)
{
	return verdict->by_count && strcmp(names_get(run->given.names, verdict->by[0]), "rule:" EXTRA) == 0;
}

static uint64_t mutations_hash(const struct verdict *verdict)
{
	uint64_t hash = verdict->mutation_count;

	for (unsigned i = 0; i < verdict->mutation_count; i++)
		hash = chance_mix(
		    hash ^ ((uint64_t)verdict->mutations[i].kind << 32 |
		               (uint64_t)verdict->mutations[i].byte << 8 | verdict->mutations[i].value));
	return hash;
}

static void arrive(struct run *run, const struct packet *packet, ns_t at)
{
	struct arrival arrival = {.way = packet->way, .bytes = packet->bytes, .size = packet->size, .at = at};
	struct address device = {
	    .family = FAMILY_IPV4, .port = 4000, .ip = {10, 0, 0, (uint8_t)(packet->device + 1)}};
	struct session *session;
	struct verdict verdict;
	enum admission admission;

	advance(run, at);
	session = core_session(run->core, 0, &entrance, &device, &arrival, &admission);
	if (session) {
		assert_in_range(session->number, 1, SESSIONS_MAX - 1);
		core_arrive(run->core, session, &arrival, &verdict);
		run->endings[session->number][packet->way][verdict.n] = verdict.reason ? END_REACHED
		                                                                       : END_AWAITED;
	} else {
		core_refuse(run->core, admission_reason(admission), &arrival, &verdict);
	}
	log_add(run->log, (struct line){.kind = LINE_VERDICT,
	                      .device = packet->device,
	                      .way = packet->way,
	                      .reason = verdict.reason,
	                      .hold = verdict.hold,
	                      .n = verdict.n,
	                      .copies = verdict.copies,
	                      .at = shifted(run, session, at),
	                      .delay = verdict.delay,
	                      .bytes = mutations_hash(&verdict),
	                      .extra = verdict.reason && decided_by(run, &verdict)});
	check_accounts(run->core);
	advance(run, at);
}

/* ---- The end of a run: nothing is left but datagrams that wait until their device sends ---- */

static void asleep_check(struct run *run, const struct session *session, enum way way, size_t *left)
{
	const struct session_way *w = &session->ways[way];
	uint64_t queued = 0;

	for (const struct datagram *d = w->extra->asleep.first; d; d = d->next, (*left)++) {
		if (d->flags & DATAGRAM_LOST_AT_EXIT)
			continue;
		queued += d->flags & DATAGRAM_JOINED ? d->plan->parts->count : 1;
		if (d->copy)
			run->copies[session->number][way]++;
		else if (d->flags & DATAGRAM_JOINED)
			for (uint32_t i = 0; i < d->plan->parts->count; i++)
				mark_end(run, d, d->plan->parts->all[i].n);
		else
			mark_end(run, d, d->n);
	}
	assert_int_equal(w->tally.queued, queued);
	assert_int_equal(w->tally.copies, run->copies[session->number][way]);
}

static size_t remembered(const struct session *session)
{
	size_t count = 0;

	for (int way = 0; way < WAYS; way++)
		for (unsigned i = 0; i < session->ways[way].extra->recent_cap; i++)
			count += session->ways[way].extra->recent && session->ways[way].extra->recent[i];
	for (unsigned i = 0; session->firsts && i < session->first_count; i++)
		count += session->firsts[i] != NULL;
	return count;
}

static void finish(struct run *run)
{
	size_t left = 0;

	advance(run, END);
	core_last_arrival(run->core);
	while (core_due(run->core) != NS_NEVER)
		advance(run, core_due(run->core));
	for (const struct session *s = core_oldest(run->core); s; s = s->newer) {
		asleep_check(run, s, WAY_UP, &left);
		asleep_check(run, s, WAY_DOWN, &left);
		left += remembered(s);
	}
	assert_int_equal(core_datagrams(run->core), left);
	for (unsigned s = 0; s < SESSIONS_MAX; s++)
		for (int way = 0; way < WAYS; way++)
			for (unsigned n = 0; n <= PACKETS; n++)
				assert_int_not_equal(run->endings[s][way][n], END_AWAITED);
}

static struct core_limits limits_wide(void)
{
	return (struct core_limits){
	    .seed = 7, .idle_timeout = NS_HOUR, .max_sessions = 100, .max_queued = UINT64_C(1) << 30};
}

/* Runs packets that are in order of time; returns the log, whose lines the caller frees. */
static struct log run_all(const char *ini, const struct core_limits *limits, const struct packet *packets,
    size_t count, const ns_t *shift)
{
	struct log log = {0};
	struct run *run = calloc(1, sizeof(*run));

	assert_non_null(run);
	*run = (struct run){.ini = ini, .log = &log, .shift = shift};
	given_read(&run->given, ini);
	if (complaints_count(run->given.complaints, COMPLAINT_ERROR))
		print_error("%s", run->given.printed);
	assert_int_equal(complaints_count(run->given.complaints, COMPLAINT_ERROR), 0);
	run->core = core_new(run->given.config, run->given.names, limits, 0);
	for (size_t i = 0; i < count; i++)
		arrive(run, &packets[i], packets[i].at);
	finish(run);
	core_free(run->core);
	given_free(&run->given);
	free(run);
	return log;
}

#endif
