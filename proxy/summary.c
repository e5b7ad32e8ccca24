#include "proxy/summary.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"

#define FAILURES_MAX 200 /* kept one by one */
#define EACH_MAX 100     /* of `expect … each`, sessions */
#define TOLD_MAX 32      /* told one by one */

struct summary {
	pthread_mutex_t lock;        /* while a session ends */
	struct sheet_session *ended; /* a ring */
	size_t ended_count, ended_next, ended_room;
	uint64_t ended_ever;
	struct account totals[WAYS];
	struct buckets *delays[WAYS];
};

struct summary *summary_new(void)
{
	struct summary *summary = calloc(1, sizeof(*summary));

	assert(summary);
	pthread_mutex_init(&summary->lock, NULL);
	for (int way = 0; way < WAYS; way++) {
		summary->delays[way] = calloc(1, sizeof(struct buckets));
		assert(summary->delays[way]);
	}
	return summary;
}

void summary_free(struct summary *summary)
{
	if (!summary)
		return;
	for (int way = 0; way < WAYS; way++)
		free(summary->delays[way]);
	pthread_mutex_destroy(&summary->lock);
	free(summary->ended);
	free(summary);
}

/* ---- Sessions ---- */

static void copy_text(char *into, size_t room, const char *from)
{
	snprintf(into, room, "%s", from);
}

static void join(struct account *into, const struct session_way *way)
{
	struct account one = way_account(way);

	account_join(into, &one);
}

/* `began` is left as the core's time: what it counts from is known later. */
static void session_fill(struct sheet_session *sheet, const struct session *session)
{
	char address[ADDRESS_TEXT_ROOM];

	*sheet = (struct sheet_session){.number = session->number,
	    .device = session->device,
	    .handshakes = session->handshakes,
	    .rebinds = session->rebinds,
	    .port = session->port,
	    .old_ports = session->old_ports,
	    .began = session->user.began,
	    .seconds = session->last - session->user.began,
	    .ended = session->end == SESSION_LIVE   ? NULL
	             : session->end == SESSION_IDLE ? "idle"
	                                            : "max-sessions"};
	copy_text(sheet->section, sizeof(sheet->section), session->section ? session->section->name : "");
	copy_text(sheet->link, sizeof(sheet->link), session->link->name);
	copy_text(sheet->identity, sizeof(sheet->identity),
	    session->identity_used && session->section && session->section->identity
	        ? session->section->identity
	        : address_host_text(&session->device, address, sizeof(address)));
	for (int way = 0; way < WAYS; way++) {
		sheet->ways[way].account = way_account(&session->ways[way]);
		sheet_way_delays(&sheet->ways[way], session->ways[way].delays);
	}
}

void summary_session_ended(struct summary *summary, const struct session *session)
{
	pthread_mutex_lock(&summary->lock);
	if (summary->ended_count == summary->ended_room && summary->ended_room < SUMMARY_ENDED_MAX) {
		size_t room = summary->ended_room ? 2 * summary->ended_room : 16;

		room = room < SUMMARY_ENDED_MAX ? room : SUMMARY_ENDED_MAX;
		summary->ended = realloc(summary->ended, room * sizeof(*summary->ended));
		assert(summary->ended);
		summary->ended_next = summary->ended_count;
		summary->ended_room = room;
	}
	session_fill(&summary->ended[summary->ended_next], session);
	summary->ended_next = (summary->ended_next + 1) % summary->ended_room;
	if (summary->ended_count < summary->ended_room)
		summary->ended_count++;
	summary->ended_ever++;
	for (int way = 0; way < WAYS; way++) {
		join(&summary->totals[way], &session->ways[way]);
		if (session->ways[way].delays)
			buckets_join(summary->delays[way], session->ways[way].delays);
	}
	pthread_mutex_unlock(&summary->lock);
}

void summary_totals(const struct summary *summary, const struct cores *cores, struct account totals[WAYS])
{
	for (int way = 0; way < WAYS; way++) {
		totals[way] = summary->totals[way];
		for (size_t i = 0; i < cores->count; i++) {
			account_join(&totals[way], core_refused(cores->all[i], (enum way)way));
			for (struct session *s = core_oldest(cores->all[i]); s; s = s->newer)
				join(&totals[way], &s->ways[way]);
		}
	}
}

/* Those of sessions that live and of those that have ended. */
static struct buckets *join_delays(const struct summary *summary, const struct cores *cores, enum way way)
{
	struct buckets *all = malloc(sizeof(*all));

	assert(all);
	*all = *summary->delays[way];
	for (size_t i = 0; i < cores->count; i++)
		for (struct session *s = core_oldest(cores->all[i]); s; s = s->newer)
			if (s->ways[way].delays)
				buckets_join(all, s->ways[way].delays);
	return all;
}

void summary_delays(
    const struct summary *summary, const struct cores *cores, enum way way, ns_t *sum, uint64_t *count)
{
	*sum = summary->delays[way]->sum;
	*count = summary->delays[way]->count;
	for (size_t i = 0; i < cores->count; i++)
		for (const struct session *s = core_oldest(cores->all[i]); s; s = s->newer)
			if (s->ways[way].delays) {
				*sum += s->ways[way].delays->sum;
				*count += s->ways[way].delays->count;
			}
}

static void fill_totals(const struct summary *summary, const struct cores *cores, struct sheet *sheet)
{
	struct account accounts[WAYS];

	summary_totals(summary, cores, accounts);
	for (int way = 0; way < WAYS; way++) {
		struct buckets *all = join_delays(summary, cores, (enum way)way);

		sheet->totals[way].account = accounts[way];
		sheet_way_delays(&sheet->totals[way], all);
		free(all);
	}
}

static int by_number(const void *a, const void *b)
{
	const struct sheet_session *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* What a live session's figures lack: when it began in the run, and that the run is over. */
static void session_place(struct sheet_session *session, const struct summary_facts *facts)
{
	session->began -= facts->began;
	if (!session->ended && facts->is_over)
		session->ended = "stop";
}

static void fill_sessions(const struct summary *summary, const struct cores *cores,
    const struct summary_facts *facts, struct sheet *sheet)
{
	size_t at = summary->ended_count, count = at + cores_session_count(cores);

	sheet->sessions = calloc(count + 1, sizeof(*sheet->sessions));
	assert(sheet->sessions);
	if (at)
		memcpy(sheet->sessions, summary->ended, at * sizeof(*sheet->sessions));
	for (size_t i = 0; i < cores->count; i++)
		for (struct session *s = core_oldest(cores->all[i]); s; s = s->newer)
			session_fill(&sheet->sessions[at++], s);
	for (size_t i = 0; i < at; i++)
		session_place(&sheet->sessions[i], facts);
	qsort(sheet->sessions, at, sizeof(*sheet->sessions), by_number);
	sheet->session_count = at;
	sheet->sessions_ever = cores_sessions_ever(cores);
	sheet->sessions_left_out = summary->ended_ever - summary->ended_count;
}

bool summary_session(const struct summary *summary, const struct cores *cores,
    const struct summary_facts *facts, uint32_t number, struct sheet_session *session)
{
	for (size_t i = 0; i < cores->count; i++)
		for (struct session *s = core_oldest(cores->all[i]); s; s = s->newer) {
			if (s->number != number)
				continue;
			session_fill(session, s);
			session_place(session, facts);
			return true;
		}
	for (size_t i = 0; i < summary->ended_count; i++) {
		if (summary->ended[i].number != number)
			continue;
		*session = summary->ended[i];
		session_place(session, facts);
		return true;
	}
	return false;
}

/* ---- Checks ---- */

static struct sheet_failure *fail(struct sheet *sheet, const char *subject)
{
	struct sheet_failure *failure;

	if (!sheet->failures) {
		sheet->failures = calloc(FAILURES_MAX + 1, sizeof(*sheet->failures));
		assert(sheet->failures);
	}
	failure = &sheet->failures[sheet->failure_count]; /* the last place takes what is past the most */
	if (sheet->failure_count < FAILURES_MAX)
		sheet->failure_count++;
	else
		sheet->failures_left_out++;
	*failure = (struct sheet_failure){0};
	copy_text(failure->subject, sizeof(failure->subject), subject);
	return failure;
}

static void check_each(struct sheet *sheet, const struct cores *cores, const struct config *config)
{
	struct each_failure each[EACH_MAX];
	size_t count = cores_each_failures(cores, each, EACH_MAX);

	for (size_t i = 0; i < count && i < EACH_MAX; i++) {
		const struct rule *rule = &config->rules[each[i].rule];
		struct sheet_failure *failure = fail(sheet, rule->name);
		size_t size;

		failure->is_rule = true;
		failure->number = each[i].got;
		failure->session = each[i].session;
		units_span_text(&rule->expect, failure->want, sizeof(failure->want));
		size = strlen(failure->want);
		snprintf(failure->want + size, sizeof(failure->want) - size, " each");
	}
	sheet->failures_left_out += count > EACH_MAX ? count - EACH_MAX : 0;
}

static void check_rules(struct sheet *sheet, const struct cores *cores, const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];
		uint64_t fired = cores_rule(cores, (unsigned)i).fired;
		struct sheet_failure *failure;

		if (!rule->expect_given || rule->expect_each || span_holds(&rule->expect, fired))
			continue;
		failure = fail(sheet, rule->name);
		failure->is_rule = true;
		failure->number = (int64_t)fired;
		units_span_text(&rule->expect, failure->want, sizeof(failure->want));
	}
	check_each(sheet, cores, config);
}

static void check_run(struct sheet *sheet, const struct cores *cores, const struct summary_facts *facts)
{
	const struct proxy_settings *proxy = &facts->setup->proxy;
	struct sheet_failure *failure;
	ns_t late = sheet->late[1];

	if (proxy->expect_sessions_given &&
	    !span_holds(&proxy->expect_sessions, cores_sessions_ever(cores))) {
		failure = fail(sheet, "expect_sessions");
		failure->number = cores_sessions_ever(cores);
		units_span_text(&proxy->expect_sessions, failure->want, sizeof(failure->want));
	}
	if (proxy->max_lateness && late > proxy->max_lateness) {
		failure = fail(sheet, "max_lateness");
		units_time_text(proxy->max_lateness, failure->want, sizeof(failure->want));
		units_time_text(late / NS_US * NS_US, failure->got, sizeof(failure->got));
	}
	if (proxy->strict && facts->kernel_drops + facts->capture_lost) {
		failure = fail(sheet, "strict");
		copy_text(failure->want, sizeof(failure->want), "0");
		failure->number = (int64_t)(facts->kernel_drops + facts->capture_lost);
	}
}

void summary_tell_failures(const struct sheet *sheet)
{
	size_t told = sheet->failure_count < TOLD_MAX ? sheet->failure_count : TOLD_MAX;
	size_t untold = sheet->failure_count - told + sheet->failures_left_out;

	for (size_t i = 0; i < told; i++) {
		const struct sheet_failure *f = &sheet->failures[i];
		char got[64], where[32] = "";

		snprintf(got, sizeof(got), "%" PRId64, f->number);
		if (f->session)
			snprintf(where, sizeof(where), " in session %u", f->session);
		if (f->is_rule)
			log_error("rule %s: expected to fire %s times, but it fired %s times%s", f->subject,
			    f->want, got, where);
		else
			log_error("%s: wanted %s, got %s", f->subject, f->want, f->got[0] ? f->got : got);
	}
	if (untold)
		log_error("… and %zu checks more did not hold", untold);
}

static void list_checks(struct sheet *sheet, const struct setup *setup)
{
	const struct proxy_settings *proxy = &setup->proxy;

	for (size_t i = 0; i < setup->config->rule_count; i++)
		if (setup->config->rules[i].expect_given)
			sheet_check_add(sheet, setup->config->rules[i].name, true);
	if (proxy->expect_sessions_given)
		sheet_check_add(sheet, "expect_sessions", false);
	if (proxy->max_lateness)
		sheet_check_add(sheet, "max_lateness", false);
	if (proxy->strict)
		sheet_check_add(sheet, "strict", false);
}

/* ---- The sheet ---- */

void summary_sheet(const struct summary *summary, const struct cores *cores,
    const struct summary_facts *facts, enum exit_status status, struct sheet *sheet)
{
	const struct config *config = facts->setup->config;
	struct buckets late;

	*sheet = (struct sheet){.seed = facts->seed,
	    .seed_known = true,
	    .started = facts->started,
	    .ended = facts->ended,
	    .exit = -1,
	    .closed = true,
	    .capture_written = facts->capture_written,
	    .capture_lost = facts->capture_lost,
	    .kernel_drops = facts->kernel_drops,
	    .icmp_errors = facts->network_news};
	copy_text(sheet->version, sizeof(sheet->version), facts->version);
	fill_sessions(summary, cores, facts, sheet);
	fill_totals(summary, cores, sheet);
	for (size_t i = 0; i < config->rule_count; i++) {
		struct sheet_rule *rule = sheet_rule_add(sheet, config->rules[i].name);

		rule->matched = cores_rule(cores, (unsigned)i).matched;
		rule->fired = cores_rule(cores, (unsigned)i).fired;
	}
	cores_lateness(cores, &late);
	sheet_late(sheet, &late);
	list_checks(sheet, facts->setup);
	for (size_t i = 0; i < facts->change_count; i++)
		sheet_change_add(sheet, facts->changes[i].at, facts->changes[i].text);
	if (!facts->is_over)
		return; /* what was expected may yet come */
	check_rules(sheet, cores, config);
	check_run(sheet, cores, facts);
	sheet->exit = status == EXIT_DONE && sheet->failure_count ? EXIT_CHECK : (int)status;
}

void summary_statistics(const struct sheet *sheet, struct text *out)
{
	text_add(out, "started=%" PRId64 " exit=%d icmp_errors=%" PRIu64 "\n", sheet->started, sheet->exit,
	    sheet->icmp_errors);
	for (size_t i = 0; i < sheet->rule_count; i++)
		text_add(out, "rule=%s matched=%" PRIu64 " fired=%" PRIu64 "\n", sheet->rules[i].name,
		    sheet->rules[i].matched, sheet->rules[i].fired);
	for (size_t i = 0; i < sheet->failure_count; i++) {
		const struct sheet_failure *failure = &sheet->failures[i];

		text_add(out, "failed %s=%s s=%u got=", failure->is_rule ? "rule" : "check", failure->subject,
		    failure->session);
		if (failure->got[0])
			text_add(out, "%s", failure->got);
		else
			text_add(out, "%" PRId64, failure->number);
		text_add(out, " want=%s\n", failure->want);
	}
	text_add(out, "lateness_us p50=%" PRId64 " p99=%" PRId64 " p999=%" PRId64 " max=%" PRId64 "\n",
	    sheet->late[0] / NS_US, sheet->late[1] / NS_US, sheet->late[2] / NS_US, sheet->late[3] / NS_US);
	text_add(out, "kernel_drops=%" PRIu64 "\n", sheet->kernel_drops);
}
