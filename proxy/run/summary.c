/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a session ends, its accounts are added to the totals and its figures go into a ring, which grows up to
 * SUMMARY_ENDED_MAX. A summary_snapshot adds the live sessions and the counters of the cores, and
 * summary_fill turns it into a run_summary.
 */
#include "proxy/run/summary.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/run/log.h"

#define ENDED_MIN 16     /* initial capacity for ended sessions */
#define FAILURES_MAX 200 /* failures kept one by one */
#define EACH_MAX 100     /* failures of `expect … each`, one per session */
#define LOGGED_MAX 32    /* failures logged one by one */

struct summary {
	pthread_mutex_t lock;              /* serializes summary_session_ended */
	struct run_summary_session *ended; /* a ring */
	size_t ended_count, ended_next, ended_cap;
	uint64_t ended_ever;
	struct account totals[WAYS];
	struct buckets *delays[WAYS];
};

struct summary *summary_new(void)
{
	struct summary *summary = memory_new(1, sizeof(*summary));

	pthread_mutex_init(&summary->lock, NULL);
	for (int way = 0; way < WAYS; way++)
		summary->delays[way] = memory_new(1, sizeof(struct buckets));
	summary->ended = memory_new(ENDED_MIN, sizeof(*summary->ended));
	summary->ended_cap = ENDED_MIN;
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

static void copy_text(char *into, size_t cap, const char *from)
{
	snprintf(into, cap, "%s", from);
}

static void add_way(struct account *into, const struct session_way *way)
{
	struct account account = way_account(way);

	account_merge(into, &account);
}

/* Returns when the last of this way's blackouts ends, in the core's time. */
static ns_t blackout_until(const struct session *session, int way)
{
	const struct way_extra *extra = session->ways[way].extra;

	return extra->drop_until > extra->hold_until ? extra->drop_until : extra->hold_until;
}

/* `began` is left in the core's time; summary_finish_session makes it relative. */
static void session_fill(struct run_summary_session *result, const struct session *session)
{
	char address[ADDRESS_TEXT_SIZE];

	*result = (struct run_summary_session){.number = session->number,
	    .device = session->device,
	    .cloud = session->cloud,
	    .handshakes = session->handshakes,
	    .rebinds = session->rebinds,
	    .port = session->port,
	    .old_ports = session->old_ports,
	    .began = session->user.began,
	    .seconds = session->last - session->user.began,
	    .ended = session->end == SESSION_LIVE   ? NULL
	             : session->end == SESSION_IDLE ? "idle"
	                                            : "max-sessions"};
	copy_text(result->section, sizeof(result->section), session->section ? session->section->name : "");
	copy_text(result->link, sizeof(result->link), session->link->name);
	copy_text(result->identity, sizeof(result->identity),
	    session->identity_used && session->section && session->section->identity
	        ? session->section->identity
	        : address_host_text(&session->device, address, sizeof(address)));
	for (int way = 0; way < WAYS; way++) {
		result->ways[way].account = way_account(&session->ways[way]);
		result->blackout_until[way] = blackout_until(session, way);
		run_summary_way_delays(&result->ways[way], session->ways[way].delays);
	}
}

/* Doubles the ring if it is full. Returns false if out of memory: it stays as it is, and replaces the oldest
 * sessions. */
static bool ended_grow(struct summary *summary)
{
	size_t cap = 2 * summary->ended_cap < SUMMARY_ENDED_MAX ? 2 * summary->ended_cap : SUMMARY_ENDED_MAX;
	struct run_summary_session *ended;

	if (summary->ended_count < summary->ended_cap || cap == summary->ended_cap || summary->ended_next)
		return true; /* not full, at its maximum, or the oldest have been replaced already */
	ended = realloc(summary->ended, cap * sizeof(*ended));
	if (!ended)
		return false;
	summary->ended = ended;
	summary->ended_next = summary->ended_count;
	summary->ended_cap = cap;
	return true;
}

void summary_session_ended(struct summary *summary, const struct session *session)
{
	bool is_whole;

	pthread_mutex_lock(&summary->lock);
	is_whole = ended_grow(summary);
	session_fill(&summary->ended[summary->ended_next], session);
	summary->ended_next = (summary->ended_next + 1) % summary->ended_cap;
	if (summary->ended_count < summary->ended_cap)
		summary->ended_count++;
	summary->ended_ever++;
	for (int way = 0; way < WAYS; way++) {
		add_way(&summary->totals[way], &session->ways[way]);
		if (session->ways[way].delays)
			buckets_merge(summary->delays[way], session->ways[way].delays);
	}
	pthread_mutex_unlock(&summary->lock);
	if (!is_whole && !memory_is_nonfatal())
		memory_out(); /* a simulation */
}

/* ---- Snapshots ---- */

void summary_snapshot_begin(struct summary *summary, bool list, struct summary_snapshot *now)
{
	*now = (struct summary_snapshot){.listed = list};
	pthread_mutex_lock(&summary->lock);
	now->ended_before = summary->ended_ever;
	pthread_mutex_unlock(&summary->lock);
	for (int way = 0; way < WAYS; way++)
		now->delays[way] = memory_new(1, sizeof(struct buckets));
}

static struct run_summary_session *session_add(struct summary_snapshot *now)
{
	now->sessions = memory_grow(now->sessions, now->session_count, sizeof(*now->sessions));
	return &now->sessions[now->session_count++];
}

void summary_snapshot_session(struct summary_snapshot *now, const struct session *session)
{
	now->live++;
	now->dark += blackout_until(session, WAY_UP) > now->at || blackout_until(session, WAY_DOWN) > now->at;
	for (int way = 0; way < WAYS; way++) {
		add_way(&now->totals[way], &session->ways[way]);
		if (session->ways[way].delays)
			buckets_merge(now->delays[way], session->ways[way].delays);
	}
	if (now->listed)
		session_fill(session_add(now), session);
}

static int compare_numbers(const void *a, const void *b)
{
	const struct run_summary_session *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int compare_values(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Returns ended session `index`, counted from the oldest one kept. */
static const struct run_summary_session *ended_at(const struct summary *summary, size_t index)
{
	size_t first = summary->ended_count < summary->ended_cap ? 0 : summary->ended_next;

	return &summary->ended[(first + index) % summary->ended_cap];
}

/* Removes sessions that were collected alive and have ended since: they are listed as ended. */
static void remove_ended(const struct summary *summary, struct summary_snapshot *now)
{
	uint64_t since = summary->ended_ever - now->ended_before;
	size_t fresh = since < summary->ended_count ? (size_t)since : summary->ended_count, kept = 0;
	uint32_t *numbers = fresh ? memory_new(fresh, sizeof(*numbers)) : NULL;

	for (size_t i = 0; i < fresh; i++)
		numbers[i] = ended_at(summary, summary->ended_count - fresh + i)->number;
	if (fresh)
		qsort(numbers, fresh, sizeof(*numbers), compare_values);
	for (size_t i = 0; i < now->session_count; i++) {
		const struct run_summary_session *session = &now->sessions[i];

		if (!fresh || !bsearch(&session->number, numbers, fresh, sizeof(*numbers), compare_values))
			now->sessions[kept++] = *session;
	}
	now->session_count = kept;
	free(numbers);
}

void summary_snapshot_end(const struct summary *summary, const struct core_group *cores, size_t rule_count,
    struct summary_snapshot *now)
{
	for (int way = 0; way < WAYS; way++) {
		account_merge(&now->totals[way], &summary->totals[way]);
		buckets_merge(now->delays[way], summary->delays[way]);
		for (size_t i = 0; i < cores->count; i++)
			account_merge(&now->totals[way], core_refused(cores->all[i], (enum way)way));
	}
	if (now->listed) {
		remove_ended(summary, now);
		for (size_t i = 0; i < summary->ended_count; i++)
			*session_add(now) = *ended_at(summary, i);
		if (now->session_count)
			qsort(now->sessions, now->session_count, sizeof(*now->sessions), compare_numbers);
	}
	now->sessions_ever = core_group_sessions_ever(cores);
	now->sessions_left_out = summary->ended_ever - summary->ended_count;
	now->queued_bytes = core_group_queued_bytes(cores);
	core_group_lateness(cores, &now->late);
	now->rule_count = rule_count;
	now->rules = memory_new(rule_count + 1, sizeof(*now->rules));
	for (size_t i = 0; i < rule_count; i++)
		now->rules[i] = core_group_rule(cores, (unsigned)i);
}

void summary_snapshot_free(struct summary_snapshot *now)
{
	for (int way = 0; way < WAYS; way++)
		free(now->delays[way]);
	free(now->sessions);
	free(now->rules);
	*now = (struct summary_snapshot){0};
}

void summary_snapshot_all(
    struct summary *summary, const struct core_group *cores, size_t rule_count, struct summary_snapshot *now)
{
	summary_snapshot_begin(summary, true, now);
	for (size_t i = 0; i < cores->count; i++)
		for (struct session *s = core_oldest(cores->all[i]); s; s = s->newer)
			summary_snapshot_session(now, s);
	summary_snapshot_end(summary, cores, rule_count, now);
}

void summary_finish_session(struct run_summary_session *session, const struct summary_facts *facts)
{
	session->began -= facts->began;
	if (!session->ended && facts->is_over)
		session->ended = "stop";
}

bool summary_session(const struct summary *summary, const struct core_group *cores,
    const struct summary_facts *facts, uint32_t number, struct run_summary_session *session)
{
	for (size_t i = 0; i < cores->count; i++)
		for (struct session *s = core_oldest(cores->all[i]); s; s = s->newer) {
			if (s->number != number)
				continue;
			session_fill(session, s);
			summary_finish_session(session, facts);
			return true;
		}
	for (size_t i = 0; i < summary->ended_count; i++) {
		if (summary->ended[i].number != number)
			continue;
		*session = summary->ended[i];
		summary_finish_session(session, facts);
		return true;
	}
	return false;
}

/* ---- Checks ---- */

static struct run_summary_failure *add_failure(struct run_summary *result, const char *subject)
{
	struct run_summary_failure *failure;

	if (!result->failures)
		result->failures = memory_new(FAILURES_MAX + 1, sizeof(*result->failures));
	failure = &result->failures[result->failure_count]; /* the last entry is only scratch space */
	if (result->failure_count < FAILURES_MAX)
		result->failure_count++;
	else
		result->failures_left_out++;
	*failure = (struct run_summary_failure){0};
	copy_text(failure->subject, sizeof(failure->subject), subject);
	return failure;
}

static void check_each(
    struct run_summary *result, const struct core_group *cores, const struct config *config)
{
	struct each_failure each[EACH_MAX];
	size_t count = core_group_each_failures(cores, each, EACH_MAX);

	for (size_t i = 0; i < count && i < EACH_MAX; i++) {
		const struct rule *rule = &config->rules[each[i].rule];
		struct run_summary_failure *failure = add_failure(result, rule->name);
		size_t size;

		failure->is_rule = true;
		failure->number = each[i].got;
		failure->session = each[i].session;
		units_span_text(&rule->expect, failure->want, sizeof(failure->want));
		size = strlen(failure->want);
		snprintf(failure->want + size, sizeof(failure->want) - size, " each");
	}
	result->failures_left_out += count > EACH_MAX ? count - EACH_MAX : 0;
}

static void check_rules(struct run_summary *result, const struct summary_snapshot *now,
    const struct core_group *cores, const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];
		uint64_t fired = now->rules[i].fired;
		struct run_summary_failure *failure;

		if (!rule->expect_given || rule->expect_each || span_holds(&rule->expect, fired))
			continue;
		failure = add_failure(result, rule->name);
		failure->is_rule = true;
		failure->number = (int64_t)fired;
		units_span_text(&rule->expect, failure->want, sizeof(failure->want));
	}
	check_each(result, cores, config);
}

static void check_run(struct run_summary *result, const struct summary_facts *facts)
{
	const struct proxy_settings *proxy = &facts->setup->proxy;
	struct run_summary_failure *failure;
	ns_t late = result->late[1];

	if (proxy->expect_sessions_given && !span_holds(&proxy->expect_sessions, result->sessions_ever)) {
		failure = add_failure(result, "expect_sessions");
		failure->number = (int64_t)result->sessions_ever;
		units_span_text(&proxy->expect_sessions, failure->want, sizeof(failure->want));
	}
	if (proxy->max_lateness && late > proxy->max_lateness) {
		failure = add_failure(result, "max_lateness");
		units_time_text(proxy->max_lateness, failure->want, sizeof(failure->want));
		units_time_text(late / NS_US * NS_US, failure->got, sizeof(failure->got));
	}
	if (proxy->strict && result->kernel_drops + facts->capture_lost) {
		failure = add_failure(result, "strict");
		copy_text(failure->want, sizeof(failure->want), "0");
		failure->number = (int64_t)(result->kernel_drops + facts->capture_lost);
	}
}

int summary_print(const struct run_summary *result, bool must)
{
	struct text text = {0};
	FILE *out = text_stream(&text);
	bool is_whole = out != NULL;

	if (out) {
		struct run_summary copy = *result;

		copy.is_short = log_is_terminal();
		run_summary_print(&copy, out);
		is_whole = text_stream_close(out, &text) == 0;
	}
	if (is_whole)
		log_lines(text.at, text.size, must);
	else
		log_error("the summary cannot be printed: out of memory");
	text_free(&text);
	return is_whole ? 0 : -1;
}

/* "1-" as "at least 1 firing", "5-9 each" as "5 to 9 firings each". */
static const char *firings_text(const char *range, char *text, size_t cap)
{
	size_t low_digits = strspn(range, "0123456789"),
	       high_digits = range[low_digits] == '-' ? strspn(range + low_digits + 1, "0123456789") : 0;
	const char *rest = range + low_digits + (range[low_digits] == '-') + high_digits;
	const char *plural = low_digits == 1 && range[0] == '1' && !high_digits ? "" : "s";

	if (range[low_digits] != '-')
		snprintf(text, cap, "exactly %.*s firing%s%s", (int)low_digits, range, plural, rest);
	else if (!high_digits)
		snprintf(text, cap, "at least %.*s firing%s%s", (int)low_digits, range, plural, rest);
	else if (!low_digits)
		snprintf(text, cap, "at most %.*s firings%s", (int)high_digits, range + 1, rest);
	else
		snprintf(text, cap, "%.*s to %.*s firings%s", (int)low_digits, range, (int)high_digits,
		    range + low_digits + 1, rest);
	return text;
}

void summary_log_failures(const struct run_summary *result)
{
	size_t logged = result->failure_count < LOGGED_MAX ? result->failure_count : LOGGED_MAX;
	size_t left_out = result->failure_count - logged + result->failures_left_out;

	for (size_t i = 0; i < logged; i++) {
		const struct run_summary_failure *f = &result->failures[i];
		char got[64], want[96], session[32] = "";

		snprintf(got, sizeof(got), "%" PRId64, f->number);
		if (f->session)
			snprintf(session, sizeof(session), " in session %u", f->session);
		if (f->is_rule)
			log_error("rule %s: expected %s, got %s%s", f->subject,
			    firings_text(f->want, want, sizeof(want)), got, session);
		else
			log_error("%s: wanted %s, got %s", f->subject, f->want, f->got[0] ? f->got : got);
	}
	if (left_out)
		log_error("… and %zu more checks did not hold", left_out);
}

static void list_checks(struct run_summary *result, const struct setup *setup)
{
	const struct proxy_settings *proxy = &setup->proxy;

	for (size_t i = 0; i < setup->config->rule_count; i++)
		if (setup->config->rules[i].expect_given)
			run_summary_check_add(result, setup->config->rules[i].name, true);
	if (proxy->expect_sessions_given)
		run_summary_check_add(result, "expect_sessions", false);
	if (proxy->max_lateness)
		run_summary_check_add(result, "max_lateness", false);
	if (proxy->strict)
		run_summary_check_add(result, "strict", false);
}

/* ---- The run_summary ---- */

void summary_fill(struct summary_snapshot *now, const struct core_group *cores,
    const struct summary_facts *facts, enum exit_status status, struct run_summary *result)
{
	const struct config *config = facts->setup->config;

	*result = (struct run_summary){.seed = facts->seed,
	    .seed_known = true,
	    .started = facts->started,
	    .ended = facts->ended,
	    .exit = -1,
	    .closed = true,
	    .sessions = now->sessions,
	    .session_count = now->session_count,
	    .sessions_ever = now->sessions_ever,
	    .sessions_left_out = now->sessions_left_out,
	    .capture_written = facts->capture_written,
	    .capture_lost = facts->capture_lost,
	    .kernel_drops = facts->kernel_drops + now->kernel_drops,
	    .icmp_errors = facts->icmp_errors};
	now->sessions = NULL;
	now->session_count = 0;
	copy_text(result->version, sizeof(result->version), facts->version);
	for (size_t i = 0; i < result->session_count; i++)
		summary_finish_session(&result->sessions[i], facts);
	for (int way = 0; way < WAYS; way++) {
		result->totals[way].account = now->totals[way];
		run_summary_way_delays(&result->totals[way], now->delays[way]);
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		struct run_summary_rule *rule = run_summary_rule_add(result, config->rules[i].name);

		rule->matched = now->rules[i].matched;
		rule->fired = now->rules[i].fired;
	}
	for (size_t i = 0; i < facts->gateway_count; i++)
		result->gateways[result->gateway_count++] = facts->gateways[i];
	run_summary_late(result, &now->late);
	list_checks(result, facts->setup);
	for (size_t i = 0; i < facts->change_count; i++)
		run_summary_change_add(result, facts->changes[i].at, facts->changes[i].text);
	if (!facts->is_over)
		return; /* expectations may still be met */
	check_rules(result, now, cores, config);
	check_run(result, facts);
	result->exit = status == EXIT_DONE && result->failure_count ? EXIT_CHECK : (int)status;
}

void summary_statistics(const struct run_summary *result, struct text *out)
{
	char address[ADDRESS_TEXT_SIZE];

	text_add(out, "started=%" PRId64 " exit=%d icmp_errors=%" PRIu64 "\n", result->started, result->exit,
	    result->icmp_errors);
	for (size_t i = 0; i < result->rule_count; i++)
		text_add(out, "rule=%s matched=%" PRIu64 " fired=%" PRIu64 "\n", result->rules[i].name,
		    result->rules[i].matched, result->rules[i].fired);
	for (size_t i = 0; i < result->failure_count; i++) {
		const struct run_summary_failure *failure = &result->failures[i];

		text_add(out, "failed %s=%s s=%u got=", failure->is_rule ? "rule" : "check", failure->subject,
		    failure->session);
		if (failure->got[0])
			text_add(out, "%s", failure->got);
		else
			text_add(out, "%" PRId64, failure->number);
		text_add(out, " want=%s\n", failure->want);
	}
	for (size_t i = 0; i < result->session_count; i++) {
		const struct run_summary_session *session = &result->sessions[i];

		/* Not visible in packets: sockets from which nothing was sent, and old ports that are open.
		 */
		if (session->old_ports || (session->cloud.family && !session->ways[WAY_UP].account.sent)) {
			text_add(out, "sockets s=%u port=%u old_ports=%u", session->number, session->port,
			    session->old_ports);
			if (session->cloud.family)
				text_add(out, " cloud=%s",
				    address_text(&session->cloud, address, sizeof(address)));
			text_add(out, "\n");
		}
		for (int way = 0; way < WAYS; way++) {
			const struct account *account = &result->sessions[i].ways[way].account;

			/* Copies that are queued may not be in any record yet. */
			if (account->queued)
				text_add(out, "waiting s=%u dir=%s copies=%" PRIu64 " queued=%" PRIu64 "\n",
				    result->sessions[i].number, verdict_ways[way], account->copies,
				    account->queued);
		}
	}
	for (size_t i = 0; i < result->gateway_count; i++)
		text_add(out,
		    "gateway interface=%s intercepted=%" PRIu64 " udp=%" PRIu64 " tcp=%" PRIu64 "\n",
		    result->gateways[i].interface, result->gateways[i].intercepted, result->gateways[i].udp,
		    result->gateways[i].tcp);
	text_add(out, "lateness_us p50=%" PRId64 " p99=%" PRId64 " p999=%" PRId64 " max=%" PRId64 "\n",
	    result->late[0] / NS_US, result->late[1] / NS_US, result->late[2] / NS_US,
	    result->late[3] / NS_US);
	text_add(out, "kernel_drops=%" PRIu64 "\n", result->kernel_drops);
}
