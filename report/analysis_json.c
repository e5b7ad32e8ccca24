/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis_json: the analysis as JSON: the run summary, and in each session also `network`, `dtls`,
 * `blackouts` and `rate`.
 */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "report/analysis.h"

#define INDENTED_MAX 100 /* sessions; above, each session takes one line */

static json_t *json_rounded(double value)
{
	return json_real(round(value * 1e6) / 1e6);
}

static json_t *json_since(const struct analysis *analysis, ns_t at)
{
	return at ? json_rounded((double)(at - analysis->result.started) / 1e9) : json_null();
}

static json_t *json_delays(const struct sparse *delays, double unit)
{
	static const struct {
		const char *name;
		double share;
	} rows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
	json_t *object;

	if (!delays->count)
		return json_null();
	object = json_object();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		json_object_set_new(object, rows[i].name,
		    json_rounded((double)sparse_percentile(delays, rows[i].share) / unit));
	json_object_set_new(object, "max", json_rounded((double)delays->greatest / unit));
	return object;
}

static json_t *json_loss(const struct analysis_way *way, const struct account *account)
{
	json_t *loss = json_object(), *causes = json_array();

	for (size_t i = 0; i < way->cause_count; i++)
		json_array_append_new(
		    causes, json_pack("{s:s, s:s?, s:I}", "reason", verdict_reasons[way->causes[i].reason],
		                "by", way->causes[i].by[0] ? way->causes[i].by : NULL, "count",
		                (json_int_t)way->causes[i].count));
	json_object_set_new(loss, "share",
	    json_rounded(account->received ? (double)way->lost / (double)account->received : 0));
	json_object_set_new(loss, "datagrams", json_integer((json_int_t)way->lost));
	json_object_set_new(loss, "copies", json_integer((json_int_t)way->copies_lost));
	json_object_set_new(loss, "causes", causes);
	json_object_set_new(loss, "runs", json_integer((json_int_t)way->runs.count));
	json_object_set_new(loss, "mean_run",
	    way->runs.count ? json_rounded((double)way->lost / (double)way->runs.count) : json_null());
	json_object_set_new(loss, "longest_run", json_integer((json_int_t)way->runs.longest));
	return loss;
}

static json_t *json_copies(const struct analysis_way *way)
{
	json_t *copies = json_object();

	for (int i = 0; i < ORIGIN_COUNT; i++)
		if (way->copies_sent[i])
			json_object_set_new(
			    copies, verdict_origins[i], json_integer((json_int_t)way->copies_sent[i]));
	return copies;
}

static json_t *json_network(
    const struct analysis *analysis, const struct analysis_session *session, enum way w)
{
	const struct analysis_way *way = &session->ways[w];
	const struct account *account = &session->accounts[w];
	json_t *object = json_object();

	json_object_set_new(object, "loss", json_loss(way, account));
	json_object_set_new(
	    object, "delay_asked_ms", way->delayed ? json_delays(&way->asked, 1e6) : json_null());
	json_object_set_new(
	    object, "delay_measured_ms", way->delayed ? json_delays(&way->measured, 1e6) : json_null());
	json_object_set_new(object, "lateness_us", json_delays(&way->late, 1e3));
	json_object_set_new(object, "reordering",
	    json_pack("{s:I, s:f, s:i}", "datagrams", (json_int_t)account->reordered, "extent_mean",
	        account->reordered ? (double)way->extent_sum / (double)account->reordered : 0.0, "extent_max",
	        (int)way->extent_max));
	json_object_set_new(object, "copies_sent", json_copies(way));
	json_object_set_new(object, "longest_silence",
	    json_pack("{s:o, s:o}", "seconds", json_rounded((double)way->silence / 1e9), "from",
	        json_since(analysis, way->silence_from)));
	json_object_set_new(object, "wire_bytes", json_integer((json_int_t)way->wire_bytes));
	json_object_set_new(object, "data_bytes", json_integer((json_int_t)way->carried_bytes));
	return object;
}

static json_t *json_gaps(const struct handshake_message *message)
{
	json_t *gaps = json_array();

	for (uint32_t i = 0; i + 1 < message->sends && i < HANDSHAKE_TRIES_MAX - 1; i++)
		json_array_append_new(gaps, json_rounded((double)message->again->gaps[i] / 1e9));
	return gaps;
}

static json_t *json_flight(const struct analysis *analysis, const struct handshake *handshake, size_t index)
{
	const struct flight *flight = &handshake->flights[index];
	const struct handshake_message *max = handshake_flight_max(handshake, index);

	return json_pack("{s:s, s:s, s:o, s:i, s:o}", "dir", verdict_ways[flight->way], "begins_with",
	    handshake_kind_name(flight->kinds), "at", json_since(analysis, flight->first), "sends",
	    (int)max->sends, "again_after_seconds", json_gaps(max));
}

static json_t *json_message(const struct analysis *analysis, const struct handshake_message *message)
{
	bool is_clear = message->message.sequence != DTLS_SEQUENCE_HIDDEN;
	json_t *object = json_pack("{s:s, s:s}", "dir", verdict_ways[message->way], "message",
	    handshake_kind_name(message->message.kinds));

	if (is_clear)
		json_object_set_new(object, "message_seq", json_integer(message->message.sequence));
	if (is_clear && message->message.place)
		json_object_set_new(object, "fragment_offset", json_integer(message->message.place));
	json_object_set_new(object, "at", json_since(analysis, message->first));
	json_object_set_new(object, "delivered", json_since(analysis, message->delivered));
	json_object_set_new(object, "sends", json_integer(message->sends));
	json_object_set_new(object, "again_after_seconds", json_gaps(message));
	return object;
}

static json_t *json_handshake(const struct analysis *analysis, const struct handshake *handshake)
{
	json_t *flights = json_array(), *messages = json_array(), *object;

	for (size_t i = 0; i < handshake->flight_count; i++)
		json_array_append_new(flights, json_flight(analysis, handshake, i));
	for (size_t i = 0; i < handshake->message_count; i++)
		json_array_append_new(messages, json_message(analysis, &handshake->messages[i]));
	object = json_pack("{s:s, s:o, s:o, s:o, s:o}", "kind", handshake_kind_text(handshake), "at",
	    json_since(analysis, handshake->began), "seconds",
	    handshake->done && !handshake->is_untimed
	        ? json_rounded((double)(handshake->done - handshake->began) / 1e9)
	        : json_null(),
	    "flights", flights, "messages", messages);
	if (handshake->kind == HANDSHAKE_UNKNOWN)
		json_object_set_new(object, "missing_records", json_integer(handshake->missing));
	return object;
}

static json_t *json_dtls(const struct analysis *analysis, const struct analysis_session *session)
{
	json_t *handshakes = json_array();

	for (size_t i = 0; i < session->handshakes.count; i++)
		json_array_append_new(handshakes, json_handshake(analysis, &session->handshakes.all[i]));
	return json_pack("{s:o, s:{s:I, s:I}, s:{s:I, s:I}}", "handshakes", handshakes, "alerts", "up",
	    (json_int_t)session->ways[WAY_UP].alerts, "down", (json_int_t)session->ways[WAY_DOWN].alerts,
	    "cid_datagrams", "up", (json_int_t)session->ways[WAY_UP].cid_records, "down",
	    (json_int_t)session->ways[WAY_DOWN].cid_records);
}

static json_t *json_seconds_after(const struct analysis_blackout *blackout, ns_t data)
{
	return blackout->ended && data ? json_rounded((double)(data - blackout->ended) / 1e9) : json_null();
}

static json_t *json_blackouts(const struct analysis *analysis, const struct analysis_session *session)
{
	json_t *list = json_array();

	for (size_t i = 0; i < session->blackout_count; i++) {
		const struct analysis_blackout *b = &session->blackouts[i];
		ns_t both = !b->data[WAY_UP] || !b->data[WAY_DOWN] ? 0
		            : b->data[WAY_UP] > b->data[WAY_DOWN]  ? b->data[WAY_UP]
		                                                   : b->data[WAY_DOWN];

		json_array_append_new(
		    list, json_pack("{s:s?, s:s, s:b, s:o, s:o, s:{s:o, s:o, s:o}}", "by",
		              b->by[0] ? b->by : NULL, "dir",
		              b->ways[WAY_UP] && b->ways[WAY_DOWN]
		                  ? "both"
		                  : verdict_ways[b->ways[WAY_UP] ? WAY_UP : WAY_DOWN],
		              "hold", b->hold, "at", json_since(analysis, b->began), "until",
		              json_since(analysis, b->ended), "data_again_after_seconds", "up",
		              json_seconds_after(b, b->data[WAY_UP]), "down",
		              json_seconds_after(b, b->data[WAY_DOWN]), "both", json_seconds_after(b, both)));
	}
	return list;
}

/* `handshake` is how long after the move a new one began. */
static json_t *json_moves(const struct analysis *analysis, const struct analysis_session *session)
{
	json_t *list = json_array();

	for (size_t i = 0; i < session->move_count; i++) {
		const struct analysis_move *move = &session->moves[i];
		const struct handshake *handshake = analysis_move_handshake(session, i);

		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:o, s:o, s:o}", "to", move->to, "by", move->by, "at",
		        json_since(analysis, move->at), "answered_after_seconds",
		        move->answered ? json_rounded((double)(move->answered - move->at) / 1e9)
		                       : json_null(),
		        "handshake_after_seconds",
		        handshake ? json_rounded((double)(handshake->began - move->at) / 1e9) : json_null()));
	}
	return list;
}

/* ---- The rate over time ---- */

static json_t *json_bins(const struct rate *rate, int way)
{
	json_t *datagrams = json_array(), *bytes = json_array();
	uint32_t next = 0;

	for (uint32_t i = 0; i < rate->count; i++, next++) {
		for (; next < rate->bins[i].index; next++) {
			json_array_append_new(datagrams, json_integer(0));
			json_array_append_new(bytes, json_integer(0));
		}
		json_array_append_new(datagrams, json_integer(rate->bins[i].datagrams[way]));
		json_array_append_new(bytes, json_integer((json_int_t)rate->bins[i].bytes[way]));
	}
	return json_pack("{s:o, s:o}", "datagrams", datagrams, "bytes", bytes);
}

static json_t *json_rate(const struct analysis *analysis, const struct rate *rate)
{
	return json_pack("{s:f, s:o, s:o, s:o}", "bin_seconds", rate_bin_seconds(rate), "from",
	    json_since(analysis, rate->from), "up", json_bins(rate, WAY_UP), "down",
	    json_bins(rate, WAY_DOWN));
}

/* ---- Sessions and the document ---- */

json_t *analysis_json_session(const struct analysis *analysis, size_t index)
{
	const struct analysis_session *session = &analysis->sessions[index];
	json_t *object = run_summary_json_session(session->result);

	json_object_set_new(object, "network",
	    json_pack("{s:o, s:o}", "up", json_network(analysis, session, WAY_UP), "down",
	        json_network(analysis, session, WAY_DOWN)));
	json_object_set_new(object, "dtls", json_dtls(analysis, session));
	json_object_set_new(object, "blackouts", json_blackouts(analysis, session));
	if (session->move_count)
		json_object_set_new(object, "moves", json_moves(analysis, session));
	json_object_set_new(object, "rate", json_rate(analysis, &session->rate));
	return object;
}

void analysis_json(const struct analysis *analysis, FILE *out)
{
	enum dump_form form = analysis->session_count > INDENTED_MAX ? DUMP_COMPACT : DUMP_INDENTED;
	struct run_summary_json whole;
	struct text text = {0};

	run_summary_json_begin(&analysis->result, form, &whole);
	fwrite(whole.text.at, 1, whole.place, out);
	for (size_t i = 0; i < analysis->session_count; i++) {
		json_t *session = analysis_json_session(analysis, i);

		text_clear(&text);
		text_add_word(&text, i ? ",\n" : "\n");
		dump_json(session, form, &text);
		json_decref(session);
		fwrite(text.at, 1, text.size, out);
	}
	fprintf(out, "%s\n", whole.text.at + whole.place);
	text_free(&text);
	text_free(&whole.text);
}
