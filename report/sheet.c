#include "report/sheet.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define SESSIONS_MAX 20 /* listed one by one in the text; JSON has them all */

const char *const sheet_late_words[4] = {"p50", "p99", "p999", "max"};

const char *sheet_device(const struct sheet_session *session, char *text, size_t room)
{
	return session->device.family ? address_text(&session->device, text, room) : "unknown";
}

void sheet_fini(struct sheet *sheet)
{
	for (size_t i = 0; i < sheet->rule_count; i++)
		free(sheet->rules[i].name);
	for (size_t i = 0; i < sheet->change_count; i++)
		free(sheet->changes[i].text);
	free(sheet->changes);
	free(sheet->checks);
	free(sheet->rules);
	free(sheet->sessions);
	free(sheet->failures);
	*sheet = (struct sheet){0};
}

void sheet_way_delays(struct sheet_way *way, const struct buckets *delays)
{
	if (!delays || !delays->count)
		return;
	way->delayed = true;
	way->p50 = buckets_percentile(delays, 0.5);
	way->p99 = buckets_percentile(delays, 0.99);
	way->greatest = delays->greatest;
}

void sheet_late(struct sheet *sheet, const struct buckets *lateness)
{
	sheet->late_known = lateness->count > 0;
	sheet->late[0] = buckets_percentile(lateness, 0.5);
	sheet->late[1] = buckets_percentile(lateness, 0.99);
	sheet->late[2] = buckets_percentile(lateness, 0.999);
	sheet->late[3] = lateness->greatest;
}

void sheet_change_add(struct sheet *sheet, ns_t at, const char *text)
{
	sheet->changes = memory_grow(sheet->changes, sheet->change_count, sizeof(*sheet->changes));
	sheet->changes[sheet->change_count++] = (struct sheet_change){at, memory_text(text, strlen(text))};
}

void sheet_check_add(struct sheet *sheet, const char *subject, bool is_rule)
{
	struct sheet_check *check;

	sheet->checks = memory_grow(sheet->checks, sheet->check_count, sizeof(*sheet->checks));
	check = &sheet->checks[sheet->check_count++];
	*check = (struct sheet_check){.is_rule = is_rule};
	snprintf(check->subject, sizeof(check->subject), "%s", subject);
}

struct sheet_rule *sheet_rule_add(struct sheet *sheet, const char *name)
{
	struct sheet_rule *rule;

	sheet->rules = memory_grow(sheet->rules, sheet->rule_count, sizeof(*sheet->rules));
	rule = &sheet->rules[sheet->rule_count++];
	*rule = (struct sheet_rule){.name = memory_text(name, strlen(name))};
	return rule;
}

/* ---- Text ---- */

void sheet_print_way(const char *name, const struct sheet_way *way, FILE *out)
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

static void print_session(const struct sheet_session *session, FILE *out)
{
	char device[ADDRESS_TEXT_ROOM];

	fprintf(out, "session %u  device %s%s%s", session->number,
	    sheet_device(session, device, sizeof(device)), session->section[0] ? "  section " : "",
	    session->section);
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
		sheet_print_way(verdict_ways[way], &session->ways[way], out);
}

static void print_closing(const struct sheet *sheet, FILE *out)
{
	for (size_t i = 0; i < sheet->rule_count; i++)
		fprintf(out, "rule %-24s matched %" PRIu64 "  fired %" PRIu64 "%s\n", sheet->rules[i].name,
		    sheet->rules[i].matched, sheet->rules[i].fired,
		    sheet->rules[i].fired ? "" : "   (it never fired)");
	for (size_t i = 0; i < sheet->change_count; i++)
		fprintf(out, "changed at %.3f s: %s\n", (double)sheet->changes[i].at / 1e9,
		    sheet->changes[i].text);
	if (sheet->late_known)
		fprintf(out, "lateness p50 %.0f p99 %.0f p99.9 %.0f max %.0f us\n",
		    (double)sheet->late[0] / 1e3, (double)sheet->late[1] / 1e3, (double)sheet->late[2] / 1e3,
		    (double)sheet->late[3] / 1e3);
	if (sheet->kernel_drops)
		fprintf(out,
		    "kernel dropped %" PRIu64
		    " datagrams before the proxy could read them: raise receive_buffer\n",
		    sheet->kernel_drops);
	if (sheet->icmp_errors)
		fprintf(out, "network errors told by ICMP: %" PRIu64 "\n", sheet->icmp_errors);
	if (sheet->capture_written || sheet->capture_lost)
		fprintf(out, "capture written %" PRIu64 "  lost %" PRIu64 "\n", sheet->capture_written,
		    sheet->capture_lost);
}

/* Do the figures of the only session equal the totals? Datagrams may have been refused before there was one.
 */
static bool session_equals_totals(const struct sheet *sheet)
{
	if (sheet->sessions_ever != 1 || sheet->session_count != 1)
		return false;
	for (int way = 0; way < WAYS; way++)
		if (memcmp(&sheet->totals[way].account, &sheet->sessions[0].ways[way].account,
		        sizeof(struct account)) != 0)
			return false;
	return true;
}

void sheet_print(const struct sheet *sheet, FILE *out)
{
	size_t listed = sheet->session_count < SESSIONS_MAX ? sheet->session_count : SESSIONS_MAX;

	for (size_t i = 0; i < listed; i++)
		print_session(&sheet->sessions[i], out);
	if (listed < sheet->session_count)
		fprintf(out, "… and %zu sessions more; --json has them all\n", sheet->session_count - listed);
	fprintf(
	    out, "total  %" PRIu64 " session%s", sheet->sessions_ever, sheet->sessions_ever == 1 ? "" : "s");
	if (sheet->seed_known)
		fprintf(out, "  seed %" PRIu64, sheet->seed);
	fputc('\n', out);
	for (int way = 0; way < WAYS && !(sheet->is_short && session_equals_totals(sheet)); way++)
		sheet_print_way(verdict_ways[way], &sheet->totals[way], out);
	print_closing(sheet, out);
	fflush(out);
}
