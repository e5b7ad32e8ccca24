/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stage: a core with a configuration, in virtual time, and the transcript of what it hands out.
 *
 * Everything is static inline, as in unit.h.
 */
#ifndef TEST_UNIT_STAGE_H
#define TEST_UNIT_STAGE_H

#include "test/unit/unit.h"
#include "test/unit/accounts.h"

#include "base/text.h"
#include "rules/core.h"

#define DRAWS 64

/* A core with a configuration, and the transcript of what it handed out. */
struct stage {
	struct names *names;
	struct given given;
	struct core *core;
	struct core_limits limits;
	struct text text;
	ns_t late;   /* how long after its due time the network takes a datagram */
	size_t left; /* datagrams kept for replays, which are still in memory at the end */
};

static const struct entrance entrances[] = {
    {.listener = {.family = FAMILY_IPV4, .port = 5684, .ip = {192, 0, 2, 1}}},
    {.listener = {.family = FAMILY_IPV4, .port = 5685, .ip = {192, 0, 2, 1}}}};

static inline struct address device_at(unsigned host, unsigned port)
{
	return (struct address){
	    .family = FAMILY_IPV4, .port = (uint16_t)port, .ip = {10, 0, 0, (uint8_t)host}};
}

/* ---- Configurations ---- */

static inline void given_open(struct given *given, const char *ini, struct names *names)
{
	given_init(given);
	names_free(given->names);
	given->names = names;
	given_text(given, ini);
	given_build(given);
	if (complaints_count(given->complaints, COMPLAINT_ERROR))
		print_error("%s", given->printed);
	assert_int_equal(complaints_count(given->complaints, COMPLAINT_ERROR), 0);
}

static inline void given_close(struct given *given)
{
	given->names = names_new(); /* given_free must not free the stage's names */
	given_free(given);
}

static inline void stage_open(struct stage *stage, const char *ini)
{
	struct core_limits limits = stage->limits;

	*stage = (struct stage){.names = names_new(), .limits = limits};
	if (!stage->limits.max_sessions)
		stage->limits = (struct core_limits){
		    .seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 100, .max_queued = UINT64_C(1) << 20};
	given_open(&stage->given, ini, stage->names);
	stage->core = core_new(stage->given.config, stage->names, &stage->limits, 0);
	text_add(&stage->text, "%s", "");
}

static inline void stage_close(struct stage *stage)
{
	assert_int_equal(core_datagrams(stage->core) - stage->left, core_queued(stage->core));
	core_free(stage->core);
	given_close(&stage->given);
	names_free(stage->names);
	text_free(&stage->text);
}

static inline void stage_reload(struct stage *stage, const char *ini, ns_t now)
{
	struct given next;

	given_open(&next, ini, stage->names);
	core_reload(stage->core, next.config, &stage->limits, entrances, now);
	given_close(&stage->given); /* ASan reports any later use of the old one */
	stage->given = next;
}

/* ---- The transcript ---- */

static inline void say_datagram(struct stage *stage, const struct outcome *o, const char *what)
{
	const struct datagram *d = o->datagram;

	assert_true(d->due >= d->arrived && d->due <= o->at);
	text_add(&stage->text, "%g s=%u %s n=%u", (double)o->at / (double)NS_MS, d->session->number,
	    verdict_ways[d->way], d->n);
	if (d->copy)
		text_add(&stage->text, " copy=%u of=%s", d->copy, verdict_origins[d->origin]);
	if (d->flags & DATAGRAM_JOINED)
		text_add(&stage->text, " parts=%u", d->parts->count);
	text_add(&stage->text, " %s\n", what);
}

static inline void stage_outcomes(struct stage *stage)
{
	struct outcome o;

	while (core_next(stage->core, &o)) {
		switch (o.kind) {
		case OUTCOME_SEND:
			say_datagram(stage, &o, "sent");
			core_sent(stage->core, o.datagram, o.at + stage->late);
			break;
		case OUTCOME_UNSENT:
			say_datagram(stage, &o, verdict_reasons[o.reason]);
			core_release(stage->core, o.datagram);
			break;
		case OUTCOME_EVENT:
			text_add(&stage->text, "%g %s\n", (double)o.at / (double)NS_MS, o.text);
			break;
		case OUTCOME_UPSTREAM: break;
		case OUTCOME_DARK:
			text_add(&stage->text, "dark s=%u%s%s until %g%s\n", o.session->number,
			    o.dark[WAY_UP] ? " up" : "", o.dark[WAY_DOWN] ? " down" : "",
			    (double)o.at / (double)NS_MS, o.is_end ? " (end)" : "");
			break;
		case OUTCOME_ENDED: core_session_release(stage->core, o.session); break;
		}
		check_accounts(stage->core);
	}
}

/* Advances from one due time to the next, like a real clock would. */
static inline void stage_advance(struct stage *stage, ns_t now)
{
	for (ns_t due = core_due(stage->core); due <= now; due = core_due(stage->core)) {
		core_advance(stage->core, due);
		stage_outcomes(stage);
	}
	core_advance(stage->core, now);
	stage_outcomes(stage);
}

/* Checks the transcript since the last check, and clears it. */
static inline void assert_said(struct stage *stage, const char *want)
{
	assert_string_equal(stage->text.at, want);
	text_clear(&stage->text);
	text_add(&stage->text, "%s", "");
}

static inline void transcript_clear(struct stage *stage)
{
	text_clear(&stage->text);
	text_add(&stage->text, "%s", "");
}

/* ---- Sessions and arrivals ---- */

static inline struct session *session_at(
    struct stage *stage, unsigned entrance, const struct address *device, ns_t now)
{
	struct arrival arrival = {.at = now};
	enum admission admission;

	return core_session(stage->core, entrance, &entrances[entrance], device, &arrival, &admission);
}

static inline struct session *session_of(struct stage *stage, unsigned host, unsigned port, ns_t now)
{
	struct address device = device_at(host, port);

	return session_at(stage, 0, &device, now);
}

static inline struct verdict arrive_at(
    struct stage *stage, struct session *session, enum way way, size_t size, ns_t at)
{
	static const uint8_t bytes[2048];
	struct arrival arrival = {.way = way, .bytes = bytes, .size = size, .at = at};
	struct verdict verdict;

	core_arrive(stage->core, session, &arrival, &verdict);
	check_accounts(stage->core);
	return verdict;
}

/* Lets a datagram of one device arrive at `at`, and takes what is due by then. */
static inline struct verdict arrive(struct stage *stage, unsigned host, enum way way, size_t size, ns_t at)
{
	struct verdict verdict;

	stage_advance(stage, at);
	verdict = arrive_at(stage, session_of(stage, host, 4000, at), way, size, at);
	stage_advance(stage, at);
	return verdict;
}

/* ---- Draws ---- */

#define LOSSY "[link default]\nloss = 50%\n"

/* Returns which of 64 datagrams a session loses, as bits; these identify its draws. */
static inline uint64_t session_draws(struct stage *stage, struct session *session)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < DRAWS; i++)
		lost = lost << 1 | (arrive_at(stage, session, WAY_UP, 10, 0).reason == REASON_LOSS);
	stage_advance(stage, 0);
	return lost;
}

/* Returns the same for the `nth` session of one address at an entrance, in a core of its own. */
static inline uint64_t draws_of(
    const char *ini, unsigned entrance, unsigned host, unsigned port, unsigned nth)
{
	struct stage stage = {0};
	struct session *session = NULL;
	uint64_t lost;

	stage_open(&stage, ini);
	for (unsigned i = 0; i < nth; i++) {
		struct address device = device_at(host, port + i);

		session = session_at(&stage, entrance, &device, 0);
	}
	lost = session_draws(&stage, session);
	stage_close(&stage);
	return lost;
}

#endif
