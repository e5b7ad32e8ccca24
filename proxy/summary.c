/* summary: the accounts gathered, the checks, and the text. */
#include "proxy/summary_inside.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"

#define TOLD_MAX 32          /* checks told one by one */
#define TEXT_SESSIONS_MAX 20 /* listed one by one in the text; JSON has them all */

struct summary *summary_new(void)
{
	struct summary *summary = calloc(1, sizeof(*summary));

	assert(summary);
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
	free(summary->ended);
	free(summary);
}

static void copy_text(char *into, size_t room, const char *from)
{
	snprintf(into, room, "%s", from);
}

static void way_facts(struct way_facts *facts, const struct session_way *way)
{
	*facts = (struct way_facts){.account = way->account, .delayed = way->delays != NULL};
	if (!way->delays)
		return;
	facts->p50 = buckets_percentile(way->delays, 0.5);
	facts->p99 = buckets_percentile(way->delays, 0.99);
	facts->greatest = way->delays->greatest;
}

static void session_facts(struct session_facts *facts, const struct session *session)
{
	char address[ADDRESS_TEXT_ROOM];

	*facts = (struct session_facts){.number = session->number,
	    .device = session->device,
	    .handshakes = session->handshakes,
	    .rebinds = session->rebinds,
	    .ports = relay_ports(session),
	    .began = session->began,
	    .last = session->last,
	    .over = session->end != SESSION_LIVE,
	    .ended = session->end == SESSION_IDLE      ? "idle"
	             : session->end == SESSION_EVICTED ? "max-sessions"
	                                               : "stop"};
	copy_text(facts->section, sizeof(facts->section), session->section ? session->section->name : "");
	copy_text(facts->link, sizeof(facts->link), session->link->name);
	copy_text(facts->identity, sizeof(facts->identity),
	    session->identity_used && session->section && session->section->identity
	        ? session->section->identity
	        : address_host_text(&session->device, address, sizeof(address)));
	for (int way = 0; way < WAYS; way++)
		way_facts(&facts->ways[way], &session->ways[way]);
}

void summary_session_ended(struct summary *summary, const struct session *session)
{
	if (summary->ended_count == summary->ended_room && summary->ended_room < SUMMARY_ENDED_MAX) {
		size_t room = summary->ended_room ? 2 * summary->ended_room : 16;

		room = room < SUMMARY_ENDED_MAX ? room : SUMMARY_ENDED_MAX;
		summary->ended = realloc(summary->ended, room * sizeof(*summary->ended));
		assert(summary->ended);
		summary->ended_next = summary->ended_count;
		summary->ended_room = room;
	}
	session_facts(&summary->ended[summary->ended_next], session);
	summary->ended_next = (summary->ended_next + 1) % summary->ended_room;
	if (summary->ended_count < summary->ended_room)
		summary->ended_count++;
	summary->ended_ever++;
	for (int way = 0; way < WAYS; way++) {
		account_join(&summary->totals[way], &session->ways[way].account);
		if (session->ways[way].delays)
			buckets_join(summary->delays[way], session->ways[way].delays);
	}
}

void summary_totals(const struct summary *summary, struct core *core, struct account totals[WAYS])
{
	for (int way = 0; way < WAYS; way++) {
		totals[way] = summary->totals[way];
		account_join(&totals[way], core_refused(core, (enum way)way));
		for (struct session *s = core_oldest(core); s; s = s->newer)
			account_join(&totals[way], &s->ways[way].account);
	}
}

static void total_delays(
    const struct summary *summary, struct core *core, enum way way, struct way_facts *facts)
{
	struct buckets *all = malloc(sizeof(*all));

	assert(all);
	*all = *summary->delays[way];
	for (struct session *s = core_oldest(core); s; s = s->newer)
		if (s->ways[way].delays)
			buckets_join(all, s->ways[way].delays);
	facts->delayed = all->count > 0;
	facts->p50 = buckets_percentile(all, 0.5);
	facts->p99 = buckets_percentile(all, 0.99);
	facts->greatest = all->greatest;
	free(all);
}

void summary_all_totals(const struct summary *summary, struct core *core, struct way_facts totals[WAYS])
{
	struct account accounts[WAYS];

	summary_totals(summary, core, accounts);
	for (int way = 0; way < WAYS; way++) {
		total_delays(summary, core, (enum way)way, &totals[way]);
		totals[way].account = accounts[way];
	}
}

static int by_number(const void *a, const void *b)
{
	const struct session_facts *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

void summary_visit(const struct summary *summary, struct core *core, visit_session *visit, void *user)
{
	size_t count = summary->ended_count + core_session_count(core), at = summary->ended_count;
	struct session_facts *all = calloc(count + 1, sizeof(*all));

	assert(all);
	if (at)
		memcpy(all, summary->ended, at * sizeof(*all));
	for (struct session *s = core_oldest(core); s; s = s->newer)
		session_facts(&all[at++], s);
	qsort(all, at, sizeof(*all), by_number);
	for (size_t i = 0; i < at; i++)
		visit(user, &all[i]);
	free(all);
}

/* ---- Checks ---- */

struct failing {
	struct check_failure *all;
	size_t room, count;
	struct check_failure spill; /* takes what is past `room` */
};

static struct check_failure *fail(struct failing *failing, const char *subject)
{
	struct check_failure *failure = failing->count < failing->room ? &failing->all[failing->count]
	                                                               : &failing->spill;

	failing->count++;
	*failure = (struct check_failure){0};
	copy_text(failure->subject, sizeof(failure->subject), subject);
	return failure;
}

static void check_rules(struct failing *failing, struct core *core, const struct config *config)
{
	struct each_failure each[FAILURES_EACH];
	size_t count = core_each_failures(core, each, FAILURES_EACH);

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];
		uint64_t fired = core_rule(core, (unsigned)i)->fired;

		if (!rule->expect_given || rule->expect_each || span_holds(&rule->expect, fired))
			continue;
		struct check_failure *failure = fail(failing, rule->name);

		failure->is_rule = true;
		failure->number = (int64_t)fired;
		units_span_text(&rule->expect, failure->want, sizeof(failure->want));
	}
	for (size_t i = 0; i < count; i++) {
		if (i == FAILURES_EACH) {
			failing->count += count - i;
			break;
		}
		const struct rule *rule = &config->rules[each[i].rule];
		struct check_failure *failure = fail(failing, rule->name);
		size_t size;

		failure->is_rule = true;
		failure->number = each[i].got;
		failure->session = each[i].session;
		units_span_text(&rule->expect, failure->want, sizeof(failure->want));
		size = strlen(failure->want);
		snprintf(failure->want + size, sizeof(failure->want) - size, " each");
	}
}

size_t summary_failures(
    struct core *core, const struct summary_facts *facts, struct check_failure *failures, size_t room)
{
	const struct proxy_settings *proxy = &facts->setup->proxy;
	struct failing failing = {.all = failures, .room = room};
	ns_t late = buckets_percentile(core_lateness(core), 0.99);

	check_rules(&failing, core, facts->setup->config);
	if (proxy->expect_sessions_given && !span_holds(&proxy->expect_sessions, core_sessions_ever(core))) {
		struct check_failure *failure = fail(&failing, "expect_sessions");

		failure->number = core_sessions_ever(core);
		units_span_text(&proxy->expect_sessions, failure->want, sizeof(failure->want));
	}
	if (proxy->max_lateness && late > proxy->max_lateness) {
		struct check_failure *failure = fail(&failing, "max_lateness");

		units_time_text(proxy->max_lateness, failure->want, sizeof(failure->want));
		units_time_text(late / NS_US * NS_US, failure->got, sizeof(failure->got));
	}
	if (proxy->strict && facts->kernel_drops + facts->capture_lost) {
		struct check_failure *failure = fail(&failing, "strict");

		copy_text(failure->want, sizeof(failure->want), "0");
		failure->number = (int64_t)(facts->kernel_drops + facts->capture_lost);
	}
	return failing.count;
}

size_t summary_tell_failures(
    const struct summary *summary, struct core *core, const struct summary_facts *facts)
{
	struct check_failure failures[TOLD_MAX];
	size_t count = summary_failures(core, facts, failures, TOLD_MAX);

	(void)summary;
	for (size_t i = 0; i < count && i < TOLD_MAX; i++) {
		const struct check_failure *f = &failures[i];
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
	if (count > TOLD_MAX)
		log_error("… and %zu checks more did not hold", count - TOLD_MAX);
	return count;
}

/* ---- Text ---- */

static void print_way(FILE *out, const char *name, const struct way_facts *facts)
{
	const struct account *a = &facts->account;
	const char *comma = "";

	fprintf(out,
	    "  %-4s received %" PRIu64 "  copies %" PRIu64 "  sent %" PRIu64 "  dropped %" PRIu64
	    "  queued %" PRIu64 "\n",
	    name, a->received, a->copies, a->sent, account_dropped(a), a->queued);
	if (account_dropped(a)) {
		fprintf(out, "       dropped: ");
		for (int i = 0; i < REASON_COUNT; i++) {
			if (!a->dropped[i])
				continue;
			fprintf(out, "%s%s %" PRIu64, comma, verdict_reasons[i], a->dropped[i]);
			comma = ", ";
		}
		fputc('\n', out);
	}
	if (a->corrupted || a->reordered)
		fprintf(
		    out, "       corrupted %" PRIu64 ", reordered %" PRIu64 "\n", a->corrupted, a->reordered);
	if (facts->delayed)
		fprintf(out, "       delay p50 %.1f, p99 %.1f, max %.1f ms\n", (double)facts->p50 / 1e6,
		    (double)facts->p99 / 1e6, (double)facts->greatest / 1e6);
}

struct printing {
	FILE *out;
	ns_t now;
	size_t printed, left_out;
};

static void print_session(void *user, const struct session_facts *facts)
{
	struct printing *printing = user;
	char device[ADDRESS_TEXT_ROOM];

	if (printing->printed == TEXT_SESSIONS_MAX) {
		printing->left_out++;
		return;
	}
	printing->printed++;
	fprintf(printing->out, "session %u  device %s%s%s  link %s  %.1f s  handshakes %u", facts->number,
	    address_text(&facts->device, device, sizeof(device)), facts->section[0] ? "  section " : "",
	    facts->section, facts->link, (double)(facts->last - facts->began) / 1e9, facts->handshakes);
	if (facts->rebinds)
		fprintf(printing->out, "  rebindings %u (old ports still open: %u)", facts->rebinds,
		    facts->ports.old);
	if (strcmp(facts->ended, "stop") != 0)
		fprintf(printing->out, "  ended %s", facts->ended);
	fputc('\n', printing->out);
	for (int way = 0; way < WAYS; way++)
		print_way(printing->out, verdict_ways[way], &facts->ways[way]);
}

static void print_rules(struct core *core, const struct config *config, FILE *out)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule_totals *totals = core_rule(core, (unsigned)i);

		fprintf(out, "rule %-24s matched %" PRIu64 "  fired %" PRIu64 "%s\n", config->rules[i].name,
		    totals->matched, totals->fired, totals->fired ? "" : "   (it never fired)");
	}
}

void summary_print(
    const struct summary *summary, struct core *core, const struct summary_facts *facts, FILE *out)
{
	struct printing printing = {.out = out, .now = facts->now};
	const struct buckets *late = core_lateness(core);
	struct way_facts totals[WAYS];

	summary_all_totals(summary, core, totals);
	summary_visit(summary, core, print_session, &printing);
	if (printing.left_out)
		fprintf(out, "… and %zu sessions more; --json has them all\n", printing.left_out);
	fprintf(out, "total  %u session%s  seed %" PRIu64 "\n", core_sessions_ever(core),
	    core_sessions_ever(core) == 1 ? "" : "s", facts->seed);
	for (int way = 0; way < WAYS; way++)
		print_way(out, verdict_ways[way], &totals[way]);
	print_rules(core, facts->setup->config, out);
	if (late->count)
		fprintf(out, "lateness p50 %.0f p99 %.0f p99.9 %.0f max %.0f us\n",
		    (double)buckets_percentile(late, 0.5) / 1e3, (double)buckets_percentile(late, 0.99) / 1e3,
		    (double)buckets_percentile(late, 0.999) / 1e3, (double)late->greatest / 1e3);
	if (facts->kernel_drops)
		fprintf(out,
		    "kernel dropped %" PRIu64
		    " datagrams before the proxy could read them: raise receive_buffer\n",
		    facts->kernel_drops);
	if (facts->network_news)
		fprintf(out, "network errors told by ICMP: %" PRIu64 "\n", facts->network_news);
	if (facts->capture_written || facts->capture_lost)
		fprintf(out, "capture written %" PRIu64 "  lost %" PRIu64 "\n", facts->capture_written,
		    facts->capture_lost);
	fflush(out);
}

void summary_statistics(
    const struct summary *summary, struct core *core, const struct summary_facts *facts, struct text *out)
{
	const struct buckets *late = core_lateness(core);
	const struct config *config = facts->setup->config;

	(void)summary;
	for (size_t i = 0; i < config->rule_count; i++)
		text_add(out, "rule=%s matched=%" PRIu64 " fired=%" PRIu64 "\n", config->rules[i].name,
		    core_rule(core, (unsigned)i)->matched, core_rule(core, (unsigned)i)->fired);
	text_add(out, "lateness_us p50=%" PRId64 " p99=%" PRId64 " p999=%" PRId64 " max=%" PRId64 "\n",
	    buckets_percentile(late, 0.5) / NS_US, buckets_percentile(late, 0.99) / NS_US,
	    buckets_percentile(late, 0.999) / NS_US, late->greatest / NS_US);
	text_add(out, "kernel_drops=%" PRIu64 "\n", facts->kernel_drops);
}
