/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/run_summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define SESSIONS_MAX 20 /* listed in the text; JSON has all */

const char *const run_summary_late_words[4] = {"p50", "p99", "p999", "max"};

const char *run_summary_device(const struct run_summary_session *session, char *text, size_t cap)
{
	return session->device.family ? address_text(&session->device, text, cap) : "unknown";
}

void run_summary_fini(struct run_summary *result)
{
	for (size_t i = 0; i < result->rule_count; i++)
		free(result->rules[i].name);
	for (size_t i = 0; i < result->change_count; i++)
		free(result->changes[i].text);
	free(result->changes);
	free(result->checks);
	free(result->rules);
	free(result->sessions);
	free(result->failures);
	*result = (struct run_summary){0};
}

void run_summary_way_delays(struct run_summary_way *way, const struct buckets *delays)
{
	if (!delays || !delays->count)
		return;
	way->delayed = true;
	way->p50 = buckets_percentile(delays, 0.5);
	way->p99 = buckets_percentile(delays, 0.99);
	way->greatest = delays->greatest;
}

void run_summary_late(struct run_summary *result, const struct buckets *lateness)
{
	result->late_known = lateness->count > 0;
	result->late[0] = buckets_percentile(lateness, 0.5);
	result->late[1] = buckets_percentile(lateness, 0.99);
	result->late[2] = buckets_percentile(lateness, 0.999);
	result->late[3] = lateness->greatest;
}

void run_summary_change_add(struct run_summary *result, ns_t at, const char *text)
{
	result->changes = memory_grow(result->changes, result->change_count, sizeof(*result->changes));
	result->changes[result->change_count++] = (struct run_summary_change){
	    at, memory_text(text, strlen(text))};
}

void run_summary_check_add(struct run_summary *result, const char *subject, bool is_rule)
{
	struct run_summary_check *check;

	result->checks = memory_grow(result->checks, result->check_count, sizeof(*result->checks));
	check = &result->checks[result->check_count++];
	*check = (struct run_summary_check){.is_rule = is_rule};
	snprintf(check->subject, sizeof(check->subject), "%s", subject);
}

struct run_summary_rule *run_summary_rule_add(struct run_summary *result, const char *name)
{
	struct run_summary_rule *rule;

	result->rules = memory_grow(result->rules, result->rule_count, sizeof(*result->rules));
	rule = &result->rules[result->rule_count++];
	*rule = (struct run_summary_rule){.name = memory_text(name, strlen(name))};
	return rule;
}

/* ---- Text ---- */

void run_summary_print_way(const char *name, const struct run_summary_way *way, FILE *out)
{
	const struct account *a = &way->account;
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
	if (way->delayed)
		fprintf(out, "       delay p50 %.1f, p99 %.1f, max %.1f ms\n", (double)way->p50 / 1e6,
		    (double)way->p99 / 1e6, (double)way->greatest / 1e6);
}

static void print_session(const struct run_summary_session *session, FILE *out)
{
	char device[ADDRESS_TEXT_SIZE], cloud[ADDRESS_TEXT_SIZE];

	fprintf(out, "session %u  device %s%s%s", session->number,
	    run_summary_device(session, device, sizeof(device)), session->section[0] ? "  section " : "",
	    session->section);
	if (session->cloud.family)
		fprintf(out, "  cloud %s", address_text(&session->cloud, cloud, sizeof(cloud)));
	if (session->link[0])
		fprintf(out, "  link %s", session->link);
	fprintf(out, "  %.1f s  handshakes %u", (double)session->seconds / 1e9, session->handshakes);
	if (session->rebinds)
		fprintf(out, "  rebindings %u", session->rebinds);
	if (session->old_ports)
		fprintf(out, " (old ports still open: %u)", session->old_ports);
	if (session->ended && strcmp(session->ended, "stop") != 0)
		fprintf(out, "  ended %s", session->ended);
	fputc('\n', out);
	for (int way = 0; way < WAYS; way++)
		run_summary_print_way(verdict_ways[way], &session->ways[way], out);
}

static void print_closing(const struct run_summary *result, FILE *out)
{
	for (size_t i = 0; i < result->rule_count; i++)
		fprintf(out, "rule %-24s matched %" PRIu64 "  fired %" PRIu64 "%s\n", result->rules[i].name,
		    result->rules[i].matched, result->rules[i].fired,
		    result->rules[i].fired ? "" : "   (it never fired)");
	for (size_t i = 0; i < result->change_count; i++)
		fprintf(out, "changed at %.3f s: %s\n", (double)result->changes[i].at / 1e9,
		    result->changes[i].text);
	for (size_t i = 0; i < result->gateway_count; i++)
		fprintf(out,
		    "gateway %s  intercepted %" PRIu64 "  passed by: UDP %" PRIu64 ", TCP %" PRIu64 "\n",
		    result->gateways[i].interface, result->gateways[i].intercepted, result->gateways[i].udp,
		    result->gateways[i].tcp);
	if (result->late_known)
		fprintf(out, "lateness p50 %.0f p99 %.0f p99.9 %.0f max %.0f us\n",
		    (double)result->late[0] / 1e3, (double)result->late[1] / 1e3,
		    (double)result->late[2] / 1e3, (double)result->late[3] / 1e3);
	if (result->kernel_drops)
		fprintf(out,
		    "kernel dropped %" PRIu64
		    " datagrams before the proxy could read them: raise receive_buffer\n",
		    result->kernel_drops);
	if (result->icmp_errors)
		fprintf(out, "network errors reported by ICMP: %" PRIu64 "\n", result->icmp_errors);
	if (result->capture_written || result->capture_lost)
		fprintf(out, "capture written %" PRIu64 "  lost %" PRIu64 "\n", result->capture_written,
		    result->capture_lost);
}

/* Are the totals those of the only session? They differ if datagrams were refused before it began. */
static bool session_equals_totals(const struct run_summary *result)
{
	if (result->sessions_ever != 1 || result->session_count != 1)
		return false;
	for (int way = 0; way < WAYS; way++)
		if (memcmp(&result->totals[way].account, &result->sessions[0].ways[way].account,
		        sizeof(struct account)) != 0)
			return false;
	return true;
}

void run_summary_print(const struct run_summary *result, FILE *out)
{
	size_t listed = result->session_count < SESSIONS_MAX ? result->session_count : SESSIONS_MAX;

	for (size_t i = 0; i < listed; i++)
		print_session(&result->sessions[i], out);
	if (listed < result->session_count)
		fprintf(
		    out, "… and %zu sessions more; --json has them all\n", result->session_count - listed);
	fprintf(out, "total  %" PRIu64 " session%s", result->sessions_ever,
	    result->sessions_ever == 1 ? "" : "s");
	if (result->seed_known)
		fprintf(out, "  seed %" PRIu64, result->seed);
	fputc('\n', out);
	for (int way = 0; way < WAYS && !(result->is_short && session_equals_totals(result)); way++)
		run_summary_print_way(verdict_ways[way], &result->totals[way], out);
	print_closing(result, out);
	fflush(out);
}
