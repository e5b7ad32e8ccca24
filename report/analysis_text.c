/* SPDX-License-Identifier: BSD-2-Clause */
/* analysis_text: the analysis as text for a terminal. Long lists are cut; JSON has all entries. */
#include <inttypes.h>
#include <string.h>

#include "report/analysis.h"

#define SESSIONS_MAX 20
#define BLACKOUTS_MAX 20
#define HANDSHAKES_MAX 10
#define MOVES_MAX 10

static double ms(ns_t time)
{
	return (double)time / 1e6;
}

static double seconds(ns_t time)
{
	return (double)time / 1e9;
}

static void print_delays(const char *name, const struct sparse *delays, FILE *out)
{
	if (delays->count)
		fprintf(out, "         %-15s p50 %.3f  p90 %.3f  p99 %.3f  max %.3f ms\n", name,
		    ms(sparse_percentile(delays, 0.5)), ms(sparse_percentile(delays, 0.9)),
		    ms(sparse_percentile(delays, 0.99)), ms(delays->greatest));
}

static void print_losses(const struct analysis_way *way, const struct account *account, FILE *out)
{
	if (way->copies_lost)
		fprintf(out, "         %" PRIu64 " of the dropped are copies\n", way->copies_lost);
	if (!way->lost)
		return;
	fprintf(out, "         lost %.1f %%:",
	    account->received ? 100.0 * (double)way->lost / (double)account->received : 0);
	for (size_t i = 0; i < way->cause_count; i++)
		fprintf(out, "%s %" PRIu64 " %s%s%s", i ? "," : "", way->causes[i].count,
		    verdict_reasons[way->causes[i].reason], way->causes[i].by[0] ? " by " : "",
		    way->causes[i].by);
	fputc('\n', out);
	if (way->runs.count)
		fprintf(out, "         in %" PRIu64 " run%s, mean %.1f, longest %" PRIu64 "\n",
		    way->runs.count, way->runs.count == 1 ? "" : "s",
		    (double)way->lost / (double)way->runs.count, way->runs.longest);
}

static void print_copies(const struct analysis_way *way, FILE *out)
{
	const char *comma = "         copies sent: ";

	for (int i = 0; i < ORIGIN_COUNT; i++) {
		if (!way->copies_sent[i])
			continue;
		fprintf(out, "%s%s %" PRIu64, comma, verdict_origins[i], way->copies_sent[i]);
		comma = ", ";
	}
	if (*comma == ',')
		fputc('\n', out);
}

static void print_way(
    const struct analysis *analysis, const struct analysis_session *session, enum way w, FILE *out)
{
	const struct analysis_way *way = &session->ways[w];
	const struct account *a = &session->accounts[w];
	double span = seconds(session->last - session->began);

	fprintf(out,
	    "  %-4s   received %" PRIu64 " (%" PRIu64 " bytes)  copies %" PRIu64 "  sent %" PRIu64
	    "  dropped %" PRIu64 "  queued %" PRIu64 "\n",
	    verdict_ways[w], a->received, a->bytes, a->copies, a->sent, account_dropped(a), a->queued);
	if (!a->received)
		return;
	if (span > 0)
		fprintf(out,
		    "         %.2f datagrams/s, %.0f bytes/s in; on the wire out %.0f bytes/s, of them data "
		    "%.0f\n",
		    (double)a->received / span, (double)a->bytes / span, (double)way->wire_bytes / span,
		    (double)way->carried_bytes / span);
	print_losses(way, a, out);
	if (way->delayed) {
		print_delays("delay asked for", &way->asked, out);
		print_delays("delay measured", &way->measured, out);
	}
	print_delays("lateness", &way->late, out);
	if (a->corrupted)
		fprintf(out, "         corrupted %" PRIu64 "\n", a->corrupted);
	if (a->reordered)
		fprintf(out, "         reordered %" PRIu64 " (RFC 4737 extent: mean %.1f, max %u)\n",
		    a->reordered, (double)way->extent_sum / (double)a->reordered, way->extent_max);
	print_copies(way, out);
	if (way->silence)
		fprintf(out, "         longest silence %.1f s, from %.1f s on\n", seconds(way->silence),
		    seconds(way->silence_from - analysis->result.started));
}

static bool has_same_tries(const struct handshake_message *a, const struct handshake_message *b)
{
	return a->flight == b->flight && a->sends == b->sends && a->sends > 1;
}

static void print_message_name(const struct handshake_message *message, bool is_first, FILE *out)
{
	fprintf(out, "%s%s", is_first ? "" : ", ", handshake_kind_name(message->message.kinds));
	if (message->message.sequence != DTLS_SEQUENCE_HIDDEN && message->message.place)
		fprintf(out, " from byte %u", message->message.place);
}

/* Prints each message that was retransmitted; neighbours in a flight with as many tries share a line. */
static void print_retransmissions(const struct handshake *handshake, FILE *out)
{
	for (size_t i = 0; i < handshake->message_count; i++) {
		const struct handshake_message *message = &handshake->messages[i];

		if (message->sends < 2 || (i && has_same_tries(&handshake->messages[i - 1], message)))
			continue;
		fprintf(out, "           %s ", verdict_ways[message->way]);
		for (size_t k = i;
		     k < handshake->message_count &&
		     (k == i || has_same_tries(&handshake->messages[k - 1], &handshake->messages[k]));
		     k++)
			print_message_name(&handshake->messages[k], k == i, out);
		fprintf(out, " sent %u times: again after", message->sends);
		for (uint32_t k = 0; k + 1 < message->sends && k < HANDSHAKE_TRIES_MAX - 1; k++)
			fprintf(out, "%s %.2f", k ? "," : "", seconds(message->again->gaps[k]));
		fprintf(out, "%s s (RFC 6347: 1, 2, 4 …, 60)\n",
		    message->sends > HANDSHAKE_TRIES_MAX ? ", …" : "");
	}
}

static void print_handshake(const struct handshake *handshake, FILE *out)
{
	if (handshake->kind == HANDSHAKE_UNFINISHED)
		fprintf(out, "unfinished at the end of the capture");
	else if (handshake->kind == HANDSHAKE_UNKNOWN)
		fprintf(out, "full or resumed: unknown, ");
	if (handshake->kind == HANDSHAKE_UNKNOWN && handshake->is_cut)
		fputs("the capture holds only a part of its datagrams", out);
	else if (handshake->kind == HANDSHAKE_UNKNOWN)
		fprintf(out, "%u record%s missing", handshake->missing,
		    handshake->missing == 1 ? " is" : "s are");
	else
		fputs(handshake_kind_text(handshake), out);
	if (handshake->is_untimed)
		fputs(", time unknown: the clock was stepped", out);
	else if (handshake->done)
		fprintf(out, ", %.2f s", seconds(handshake->done - handshake->began));
	fputc('\n', out);
	print_retransmissions(handshake, out);
}

static void print_dtls(const struct analysis *analysis, const struct analysis_session *session, FILE *out)
{
	const struct analysis_way *up = &session->ways[WAY_UP], *down = &session->ways[WAY_DOWN];

	for (size_t i = 0; i < session->handshakes.count && i < HANDSHAKES_MAX; i++) {
		const struct handshake *handshake = &session->handshakes.all[i];

		fprintf(out,
		    "  dtls   handshake at %.1f s: ", seconds(handshake->began - analysis->result.started));
		print_handshake(handshake, out);
	}
	if (session->handshakes.count > HANDSHAKES_MAX)
		fprintf(
		    out, "         … and %zu handshakes more\n", session->handshakes.count - HANDSHAKES_MAX);
	if (up->alerts + down->alerts)
		fprintf(out, "  dtls   alerts: up %" PRIu64 ", down %" PRIu64 "\n", up->alerts, down->alerts);
	if (up->cid_records + down->cid_records)
		fprintf(out, "  dtls   datagrams with a connection ID: up %" PRIu64 ", down %" PRIu64 "\n",
		    up->cid_records, down->cid_records);
}

static void print_recovery(const struct analysis_blackout *blackout, FILE *out)
{
	ns_t both = blackout->data[WAY_UP] > blackout->data[WAY_DOWN] ? blackout->data[WAY_UP]
	                                                              : blackout->data[WAY_DOWN];

	if (!blackout->ended)
		fputs(", to the end", out);
	else if (blackout->data[WAY_UP] && blackout->data[WAY_DOWN])
		fprintf(out, "; data through both ways %.2f s after it (up %.2f, down %.2f)",
		    seconds(both - blackout->ended), seconds(blackout->data[WAY_UP] - blackout->ended),
		    seconds(blackout->data[WAY_DOWN] - blackout->ended));
	else
		fprintf(out, "; no data %s after it",
		    blackout->data[WAY_UP]     ? "down"
		    : blackout->data[WAY_DOWN] ? "up"
		                               : "through either way");
}

static void print_blackouts(
    const struct analysis *analysis, const struct analysis_session *session, FILE *out)
{
	for (size_t i = 0; i < session->blackout_count && i < BLACKOUTS_MAX; i++) {
		const struct analysis_blackout *blackout = &session->blackouts[i];

		fprintf(out, "  dark   at %.1f s by %s%s%s",
		    seconds(blackout->began - analysis->result.started), blackout->by,
		    blackout->ways[WAY_UP] && blackout->ways[WAY_DOWN] ? ""
		    : blackout->ways[WAY_UP]                           ? " up"
		                                                       : " down",
		    blackout->hold ? " hold" : "");
		if (blackout->ended)
			fprintf(out, ", for %.1f s", seconds(blackout->ended - blackout->began));
		print_recovery(blackout, out);
		fputc('\n', out);
	}
	if (session->blackout_count > BLACKOUTS_MAX)
		fprintf(out, "         … and %zu blackouts more\n", session->blackout_count - BLACKOUTS_MAX);
}

static void print_moves(const struct analysis *analysis, const struct analysis_session *session, FILE *out)
{
	for (size_t i = 0; i < session->move_count && i < MOVES_MAX; i++) {
		const struct analysis_move *move = &session->moves[i];
		const struct handshake *handshake = analysis_move_handshake(session, i);

		fprintf(out, "  moved  at %.1f s to %s by %s: ", seconds(move->at - analysis->result.started),
		    strcmp(move->to, "back") == 0 ? "its own server" : move->to, move->by);
		if (move->answered)
			fprintf(out, "answered after %.1f s", seconds(move->answered - move->at));
		else
			fputs("no answer", out);
		if (handshake)
			fprintf(out, ", new handshake after %.1f s", seconds(handshake->began - move->at));
		else
			fputs(", no new handshake", out);
		fputc('\n', out);
	}
	if (session->move_count > MOVES_MAX)
		fprintf(out, "         … and %zu more\n", session->move_count - MOVES_MAX);
}

static void print_session(const struct analysis *analysis, const struct analysis_session *session, FILE *out)
{
	char device[ADDRESS_TEXT_SIZE], cloud[ADDRESS_TEXT_SIZE] = "";

	if (session->cloud.family)
		address_text(&session->cloud, cloud, sizeof(cloud));
	fprintf(out, "\nsession %u  device %s%s%s%s%s%s%s  from %.1f s on, %.1f s%s%s\n", session->number,
	    run_summary_device(session->result, device, sizeof(device)), cloud[0] ? "  cloud " : "", cloud,
	    session->section[0] ? "  section " : "", session->section, session->link[0] ? "  link " : "",
	    session->link, seconds(session->began - analysis->result.started),
	    seconds(session->last - session->began), session->ended ? "  ended " : "",
	    session->ended ? session->ended : "");
	for (int way = 0; way < WAYS; way++)
		print_way(analysis, session, (enum way)way, out);
	print_dtls(analysis, session, out);
	if (session->rebinds)
		fprintf(out, "  nat    rebindings %u\n", session->rebinds);
	print_moves(analysis, session, out);
	print_blackouts(analysis, session, out);
}

static void print_head(const struct analysis *analysis, FILE *out)
{
	static const char *const kinds[] = {"with verdicts",
	    "of both sides, without verdicts: what never left was lost",
	    "of one place, without verdicts: nothing is known of losses and delays"};

	fprintf(out, "%s, %.1f s", kinds[analysis->kind], seconds(analysis->last - analysis->first));
	if (analysis->result.seed_known)
		fprintf(out, ", seed %" PRIu64, analysis->result.seed);
	if (analysis->kind == ANALYSIS_OURS && !analysis->result.closed)
		fputs("; it has no closing statistics: how often rules fired is not known", out);
	if (analysis->cut)
		fputs("; it ends in the middle of a packet and was read up to there", out);
	fputc('\n', out);
	if (analysis->notes.size)
		fputs(analysis->notes.at, out);
}

void analysis_print(const struct analysis *analysis, FILE *out)
{
	const struct run_summary *result = &analysis->result;
	struct run_summary totals = *result;

	print_head(analysis, out);
	for (size_t i = 0; i < analysis->session_count && i < SESSIONS_MAX; i++)
		print_session(analysis, &analysis->sessions[i], out);
	if (analysis->session_count > SESSIONS_MAX)
		fprintf(out, "\n… and %zu sessions more; --json and --html have them all\n",
		    analysis->session_count - SESSIONS_MAX);
	fputc('\n', out);
	totals.session_count = 0;
	run_summary_print(&totals, out);
	for (size_t i = 0; i < result->failure_count; i++)
		fprintf(out, "did not hold: %s%s wanted %s\n", result->failures[i].is_rule ? "rule " : "",
		    result->failures[i].subject, result->failures[i].want);
}
