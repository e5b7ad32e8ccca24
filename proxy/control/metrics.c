/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics: the run's counters in Prometheus' text format (version 0.0.4), by direction, link and rule, but
 * not by session or address, so that the number of series does not grow with the number of devices.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/control/routes.h"

static void add_header(struct text *out, const char *name, const char *type, const char *help)
{
	text_add(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_by_direction(
    struct text *out, const char *name, const char *help, const uint64_t values[WAYS])
{
	add_header(out, name, "counter", help);
	for (int way = 0; way < WAYS; way++)
		text_add(out, "%s{direction=\"%s\"} %" PRIu64 "\n", name, verdict_ways[way], values[way]);
}

static void add_accounts(const struct summary_snapshot *now, struct text *out)
{
	const struct account *totals = now->totals;

#define BY_WAY(name, help, field)                                                                            \
	add_by_direction(                                                                                    \
	    out, name, help, (const uint64_t[WAYS]){totals[WAY_UP].field, totals[WAY_DOWN].field})
	BY_WAY("deadzone_received_datagrams_total", "Datagrams that arrived.", received);
	BY_WAY("deadzone_received_bytes_total", "Bytes of their payloads.", bytes);
	BY_WAY("deadzone_copies_total", "Copies made: duplicates, decoys, replays, injected.", copies);
	BY_WAY("deadzone_sent_datagrams_total", "Datagrams that were sent.", sent);
	BY_WAY("deadzone_corrupted_datagrams_total", "Datagrams in which a bit was flipped.", corrupted);
	BY_WAY("deadzone_reordered_datagrams_total", "Datagrams sent after one that came later.", reordered);
#undef BY_WAY
	add_header(
	    out, "deadzone_dropped_datagrams_total", "counter", "Datagrams that were dropped, by reason.");
	for (int way = 0; way < WAYS; way++)
		for (int reason = 1; reason < REASON_COUNT; reason++)
			text_add(out,
			    "deadzone_dropped_datagrams_total{direction=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
			    verdict_ways[way], verdict_reasons[reason], totals[way].dropped[reason]);
	add_header(out, "deadzone_queued_datagrams", "gauge", "Datagrams that are queued.");
	for (int way = 0; way < WAYS; way++)
		text_add(out, "deadzone_queued_datagrams{direction=\"%s\"} %" PRIu64 "\n", verdict_ways[way],
		    totals[way].queued);
}

static void add_links(const struct config *config, const struct link_totals *totals, struct text *out)
{
	add_header(out, "deadzone_link_datagrams_total", "counter", "Datagrams that a link decided about.");
	for (size_t i = 0; i < config->link_count; i++)
		for (int way = 0; way < WAYS; way++)
			text_add(out,
			    "deadzone_link_datagrams_total{link=\"%s\",direction=\"%s\"} %" PRIu64 "\n",
			    config->links[i].name, verdict_ways[way], totals[i].decided[way]);
	add_header(
	    out, "deadzone_link_lost_datagrams_total", "counter", "Datagrams that a link lost on arrival.");
	for (size_t i = 0; i < config->link_count; i++)
		for (int way = 0; way < WAYS; way++)
			text_add(out,
			    "deadzone_link_lost_datagrams_total{link=\"%s\",direction=\"%s\"} %" PRIu64 "\n",
			    config->links[i].name, verdict_ways[way], totals[i].lost[way]);
}

static void add_rules(const struct config *config, const struct rule_totals *totals, struct text *out)
{
	add_header(out, "deadzone_rule_matched_total", "counter", "How often a rule's conditions held.");
	for (size_t i = 0; i < config->rule_count; i++)
		text_add(out, "deadzone_rule_matched_total{rule=\"%s\"} %" PRIu64 "\n", config->rules[i].name,
		    totals[i].matched);
	add_header(out, "deadzone_rule_fired_total", "counter", "How often a rule acted.");
	for (size_t i = 0; i < config->rule_count; i++)
		text_add(out, "deadzone_rule_fired_total{rule=\"%s\"} %" PRIu64 "\n", config->rules[i].name,
		    totals[i].fired);
}

static void add_lateness(const struct buckets *late, struct text *out)
{
	static const ns_t bounds[] = {10 * NS_US, 20 * NS_US, 50 * NS_US, 100 * NS_US, 200 * NS_US,
	    500 * NS_US, NS_MS, 2 * NS_MS, 5 * NS_MS, 10 * NS_MS, 100 * NS_MS, NS_S};

	add_header(out, "deadzone_lateness_seconds", "histogram",
	    "How much later than due a datagram was handed to the kernel.");
	for (size_t i = 0; i < sizeof(bounds) / sizeof(*bounds); i++)
		text_add(out, "deadzone_lateness_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
		    (double)bounds[i] / 1e9, buckets_below(late, bounds[i]));
	text_add(out, "deadzone_lateness_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", late->count);
	text_add(out, "deadzone_lateness_seconds_sum %.9g\n", (double)late->sum / 1e9);
	text_add(out, "deadzone_lateness_seconds_count %" PRIu64 "\n", late->count);
}

/* Covers all sessions since the start: rate(sum) / rate(count) is the mean delay over any interval. */
static void add_delays(const struct summary_snapshot *now, struct text *out)
{
	add_header(out, "deadzone_delay_seconds", "summary",
	    "Time from arrival to sending, of sessions with delays.");
	for (int way = 0; way < WAYS; way++) {
		text_add(out, "deadzone_delay_seconds_sum{direction=\"%s\"} %.9g\n", verdict_ways[way],
		    (double)now->delays[way]->sum / 1e9);
		text_add(out, "deadzone_delay_seconds_count{direction=\"%s\"} %" PRIu64 "\n",
		    verdict_ways[way], now->delays[way]->count);
	}
}

static void add_single(struct text *out, const char *name, const char *type, const char *help, uint64_t value)
{
	add_header(out, name, type, help);
	text_add(out, "%s %" PRIu64 "\n", name, value);
}

/* Returns the counters of all links, read while the workers are paused. The caller frees them. */
static struct link_totals *link_totals_now(const struct running *running)
{
	size_t count = running->setup->config->link_count;
	struct link_totals *totals = memory_new(count + 1, sizeof(*totals));

	workers_pause(running->workers);
	for (size_t i = 0; i < count; i++)
		totals[i] = core_group_link(workers_cores(running->workers), (unsigned)i);
	workers_resume(running->workers);
	return totals;
}

void metrics_write(const struct running *running, struct text *out)
{
	const struct config *config = running->setup->config;
	struct link_totals *link_totals = link_totals_now(running);
	struct summary_facts facts;
	struct summary_snapshot now;

	running_snapshot(running, false, &now);
	running_facts(running, &facts);
	add_header(out, "deadzone_build_info", "gauge", "The program's version.");
	text_add(out, "deadzone_build_info{version=\"%s\"} 1\n", DEADZONE_VERSION);
	add_accounts(&now, out);
	add_single(out, "deadzone_queued_bytes", "gauge", "Bytes of memory that queued datagrams take.",
	    now.queued_bytes);
	add_single(out, "deadzone_sessions", "gauge", "Sessions that are active.", now.live);
	add_single(out, "deadzone_sessions_total", "counter", "Sessions since the start.", now.sessions_ever);
	add_links(config, link_totals, out);
	add_rules(config, now.rules, out);
	add_delays(&now, out);
	add_lateness(&now.late, out);
	add_single(out, "deadzone_kernel_dropped_datagrams_total", "counter",
	    "Datagrams that the kernel dropped before they could be read.",
	    facts.kernel_drops + now.kernel_drops);
	add_single(out, "deadzone_capture_written_records_total", "counter", "Records in the capture.",
	    facts.capture_written);
	add_single(out, "deadzone_capture_lost_records_total", "counter",
	    "Records of the capture that could not be written.", facts.capture_lost);
	add_single(out, "deadzone_icmp_errors_total", "counter", "Network errors reported by ICMP.",
	    facts.icmp_errors);
	summary_snapshot_free(&now);
	free(link_totals);
}
