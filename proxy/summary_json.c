/* summary_json: the accounts as JSON. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "proxy/summary_inside.h"

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
	json_object_set_new(
	    one, "port", facts->ports.present ? json_integer(facts->ports.present) : json_null());
	json_object_set_new(one, "old_ports", json_integer(facts->ports.old));
	json_object_set_new(one, "began", json_seconds(facts->began - listing->began));
	json_object_set_new(one, "seconds", json_seconds(facts->last - facts->began));
	json_object_set_new(
	    one, "ended", listing->over || facts->over ? json_string(facts->ended) : json_null());
	json_array_append_new(listing->list, one);
}

static json_t *json_failures(struct core *core, const struct summary_facts *facts)
{
	struct check_failure failures[2 * FAILURES_EACH];
	size_t count = summary_failures(core, facts, failures, 2 * FAILURES_EACH);
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

	summary_all_totals(summary, core, totals);
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

	summary_visit(summary, core, list_session, &listing);
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
