#include "proxy/summary.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/log.h"

#define FAILURES_EACH 100
#define TOLD_MAX 32          /* checks told one by one */
#define TEXT_SESSIONS_MAX 20 /* listed one by one in the text; JSON has them all */

/* What is kept of one way of a session. */
struct way_facts {
	struct account account;
	bool delayed;
	ns_t p50, p99, greatest;
};

struct session_facts {
	uint32_t number;
	struct address device;
	char section[64], identity[64], link[64];
	struct way_facts ways[WAYS];
	uint32_t handshakes, rebinds;
	ns_t began, last;
	const char *ended;
	bool over;
};

struct summary {
	struct session_facts *ended; /* a ring */
	size_t ended_count, ended_next, ended_room;
	uint64_t ended_ever;
	struct account totals[WAYS];
	struct buckets *delays[WAYS];
};

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

static void all_totals(const struct summary *summary, struct core *core, struct way_facts totals[WAYS])
{
	struct account accounts[WAYS];

	summary_totals(summary, core, accounts);
	for (int way = 0; way < WAYS; way++) {
		total_delays(summary, core, (enum way)way, &totals[way]);
		totals[way].account = accounts[way];
	}
}

/* Calls `visit` for every session, in the order of their numbers as far as they are kept. */
typedef void visit_session(void *user, const struct session_facts *facts);

static int by_number(const void *a, const void *b)
{
	const struct session_facts *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static void visit_sessions(const struct summary *summary, struct core *core, visit_session *visit, void *user)
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

/* One that the user asked for and that does not hold (`failed` in JSON). */
struct check_failure {
	char subject[64]; /* the rule's name, or which check */
	char want[64];
	char got[64];     /* as text, … */
	int64_t number;   /* … or where it is "", this number */
	uint32_t session; /* 0: none */
	bool is_rule;
};

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

static size_t find_failures(
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
	size_t count = find_failures(core, facts, failures, TOLD_MAX);

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
	    "  %-5s %8" PRIu64 " received %6" PRIu64 " copies %8" PRIu64 " sent %8" PRIu64
	    " dropped %6" PRIu64 " queued\n",
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
	fprintf(printing->out, "session %u  device %s%s%s  link %s  %.1f s  handshakes %u%s%s\n",
	    facts->number, address_text(&facts->device, device, sizeof(device)),
	    facts->section[0] ? "  section " : "", facts->section, facts->link,
	    (double)(facts->last - facts->began) / 1e9, facts->handshakes,
	    strcmp(facts->ended, "stop") == 0 ? "" : "  ended ",
	    strcmp(facts->ended, "stop") == 0 ? "" : facts->ended);
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

	all_totals(summary, core, totals);
	visit_sessions(summary, core, print_session, &printing);
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

/* ---- JSON ---- */

static json_t *json_ms(ns_t time)
{
	return json_real(round((double)time / 1e3) / 1e3);
}

static json_t *json_seconds(ns_t time)
{
	return json_real(round((double)time / 1e6) / 1e3);
}

static json_t *json_count(uint64_t number)
{
	return json_integer((json_int_t)number);
}

static json_t *json_stamp(ns_t wall)
{
	time_t seconds = (time_t)(wall / NS_S);
	char text[32];
	struct tm utc;

	gmtime_r(&seconds, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return wall ? json_string(text) : json_null();
}

static json_t *json_way(const struct way_facts *facts)
{
	const struct account *a = &facts->account;
	json_t *way = json_object(), *dropped = json_object(), *delay = json_null();

	for (int i = 0; i < REASON_COUNT; i++)
		if (a->dropped[i])
			json_object_set_new(dropped, verdict_reasons[i], json_count(a->dropped[i]));
	if (facts->delayed) {
		delay = json_object();
		json_object_set_new(delay, "p50", json_ms(facts->p50));
		json_object_set_new(delay, "p99", json_ms(facts->p99));
		json_object_set_new(delay, "max", json_ms(facts->greatest));
	}
	json_object_set_new(way, "received", json_count(a->received));
	json_object_set_new(way, "bytes", json_count(a->bytes));
	json_object_set_new(way, "copies", json_count(a->copies));
	json_object_set_new(way, "sent", json_count(a->sent));
	json_object_set_new(way, "queued", json_count(a->queued));
	json_object_set_new(way, "dropped", dropped);
	json_object_set_new(way, "corrupted", json_count(a->corrupted));
	json_object_set_new(way, "reordered", json_count(a->reordered));
	json_object_set_new(way, "delay_ms", delay);
	return way;
}

struct listing {
	json_t *list;
	ns_t began;
	bool over; /* the run is: no session goes on */
};

static void list_session(void *user, const struct session_facts *facts)
{
	struct listing *listing = user;
	json_t *one = json_object();
	char device[ADDRESS_TEXT_ROOM];

	json_object_set_new(one, "s", json_integer(facts->number));
	json_object_set_new(one, "device", json_string(address_text(&facts->device, device, sizeof(device))));
	json_object_set_new(one, "section", facts->section[0] ? json_string(facts->section) : json_null());
	json_object_set_new(one, "identity", json_string(facts->identity));
	json_object_set_new(one, "link", json_string(facts->link));
	for (int way = 0; way < WAYS; way++)
		json_object_set_new(one, verdict_ways[way], json_way(&facts->ways[way]));
	json_object_set_new(one, "handshakes", json_integer(facts->handshakes));
	json_object_set_new(one, "rebinds", json_integer(facts->rebinds));
	json_object_set_new(one, "began", json_seconds(facts->began - listing->began));
	json_object_set_new(one, "seconds", json_seconds(facts->last - facts->began));
	json_object_set_new(
	    one, "ended", listing->over || facts->over ? json_string(facts->ended) : json_null());
	json_array_append_new(listing->list, one);
}

static json_t *json_failures(struct core *core, const struct summary_facts *facts)
{
	struct check_failure failures[2 * FAILURES_EACH];
	size_t count = find_failures(core, facts, failures, 2 * FAILURES_EACH);
	json_t *list = json_array();

	for (size_t i = 0; i < count && i < 2 * FAILURES_EACH; i++) {
		json_t *one = json_object();

		json_object_set_new(
		    one, failures[i].is_rule ? "rule" : "check", json_string(failures[i].subject));
		json_object_set_new(one, "want", json_string(failures[i].want));
		json_object_set_new(one, "got",
		    failures[i].got[0] ? json_string(failures[i].got) : json_integer(failures[i].number));
		if (failures[i].session)
			json_object_set_new(one, "session", json_integer(failures[i].session));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *json_totals(const struct summary *summary, struct core *core)
{
	struct way_facts totals[WAYS];
	json_t *object = json_object();

	all_totals(summary, core, totals);
	json_object_set_new(object, "sessions", json_integer(core_sessions_ever(core)));
	for (int way = 0; way < WAYS; way++)
		json_object_set_new(object, verdict_ways[way], json_way(&totals[way]));
	return object;
}

static json_t *json_rules(struct core *core, const struct config *config)
{
	json_t *object = json_object();

	for (size_t i = 0; i < config->rule_count; i++) {
		json_t *one = json_object();

		json_object_set_new(one, "matched", json_count(core_rule(core, (unsigned)i)->matched));
		json_object_set_new(one, "fired", json_count(core_rule(core, (unsigned)i)->fired));
		json_object_set_new(object, config->rules[i].name, one);
	}
	return object;
}

static json_t *json_lateness(struct core *core)
{
	static const struct {
		const char *name;
		double share;
	} rows[] = {{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}};
	const struct buckets *late = core_lateness(core);
	json_t *object = json_object();

	for (size_t i = 0; i < 3; i++)
		json_object_set_new(
		    object, rows[i].name, json_integer(buckets_percentile(late, rows[i].share) / NS_US));
	json_object_set_new(object, "max", json_integer(late->greatest / NS_US));
	return object;
}

int summary_write_json(const struct summary *summary, struct core *core, const struct summary_facts *facts,
    int status, const char *path, struct error *error)
{
	struct listing listing = {.list = json_array(), .began = facts->began, .over = facts->ended != 0};
	json_t *root = json_object(), *capture = json_object();
	FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
	int failed;

	visit_sessions(summary, core, list_session, &listing);
	json_object_set_new(root, "schema", json_integer(1));
	json_object_set_new(root, "version", json_string(facts->version));
	json_object_set_new(root, "seed", json_count(facts->seed));
	json_object_set_new(root, "started", json_stamp(facts->started));
	json_object_set_new(root, "ended", json_stamp(facts->ended));
	json_object_set_new(root, "exit", status < 0 ? json_null() : json_integer(status));
	/* While it runs, what was expected may yet come. */
	json_object_set_new(root, "failed", facts->ended ? json_failures(core, facts) : json_array());
	json_object_set_new(root, "sessions", listing.list);
	if (summary->ended_ever > summary->ended_count)
		json_object_set_new(
		    root, "sessions_left_out", json_count(summary->ended_ever - summary->ended_count));
	json_object_set_new(root, "totals", json_totals(summary, core));
	json_object_set_new(root, "rules", json_rules(core, facts->setup->config));
	json_object_set_new(root, "lateness_us", json_lateness(core));
	json_object_set_new(capture, "written", json_count(facts->capture_written));
	json_object_set_new(capture, "lost", json_count(facts->capture_lost));
	json_object_set_new(root, "capture", capture);
	json_object_set_new(root, "kernel_drops", json_count(facts->kernel_drops));
	json_object_set_new(root, "icmp_errors", json_count(facts->network_news));

	failed = !out || json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) ||
	         fputc('\n', out) == EOF;
	if (out && (out == stdout ? fflush(out) : fclose(out)))
		failed = 1;
	json_decref(root);
	return failed ? error_set(error, "`%s` cannot be written: %s", path, strerror(errno)) : 0;
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
