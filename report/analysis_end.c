/* SPDX-License-Identifier: BSD-2-Clause */
/* analysis_end: computes the results once all packets are read: order of sessions, percentiles, the run
 * summary. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "report/analysis_inside.h"

/* Closes the runs, handshakes and rates of each session, and computes the delay percentiles. */
static void finish_measurements(struct analysis *analysis)
{
	struct buckets *totals = memory_new(WAYS, sizeof(*totals)), *late = memory_new(1, sizeof(*late));

	for (size_t i = 0; i < analysis->session_count; i++) {
		struct analysis_session *session = &analysis->sessions[i];

		for (int way = 0; way < WAYS; way++) {
			runs_end(&session->ways[way].runs);
			sparse_merge(&totals[way], &session->ways[way].counted);
			sparse_merge(late, &session->ways[way].late);
		}
		handshakes_end(&session->handshakes, session->ended ? session->last : analysis->last,
		    session->ended != NULL);
		rate_end(&session->rate,
		    session->accounts[WAY_UP].received + session->accounts[WAY_DOWN].received);
	}
	for (int way = 0; way < WAYS; way++)
		run_summary_way_delays(&analysis->result.totals[way], &totals[way]);
	if (!analysis->result.closed && late->count)
		run_summary_late(&analysis->result, late);
	free(totals);
	free(late);
}

static int compare_summaries(const void *a, const void *b)
{
	const struct run_summary_session *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static void fill_session(
    const struct analysis *analysis, struct analysis_session *session, struct run_summary_session *result)
{
	char address[ADDRESS_TEXT_SIZE];

	*result = (struct run_summary_session){.number = session->number,
	    .device = session->device,
	    .cloud = session->cloud,
	    .handshakes = (uint32_t)session->handshakes.count,
	    .rebinds = session->rebinds,
	    .port = session->cloud_port,
	    .old_ports = session->old_ports,
	    .began = session->began - analysis->result.started,
	    .seconds = session->last - session->began,
	    .ended = session->ended            ? session->ended
	             : analysis->result.closed ? "stop"
	                                       : NULL};
	snprintf(result->section, sizeof(result->section), "%s", session->section);
	snprintf(result->link, sizeof(result->link), "%s", session->link);
	snprintf(result->identity, sizeof(result->identity), "%s",
	    session->identity[0]     ? session->identity
	    : session->device.family ? address_host_text(&session->device, address, sizeof(address))
	                             : "");
	for (int way = 0; way < WAYS; way++) {
		const struct sparse *delays = &session->ways[way].counted;

		result->ways[way].account = session->accounts[way];
		if (!delays->count)
			continue;
		result->ways[way].delayed = true;
		result->ways[way].p50 = sparse_percentile(delays, 0.5);
		result->ways[way].p99 = sparse_percentile(delays, 0.99);
		result->ways[way].greatest = delays->greatest;
	}
}

static void fill_summary(struct analysis *analysis)
{
	struct run_summary *result = &analysis->result;

	if (!result->started)
		result->started = analysis->first;
	if (!result->ended)
		result->ended = analysis->last;
	for (size_t i = 0; analysis->live && i < analysis->event_count; i++)
		if (strncmp(analysis->events[i].text, ANALYSIS_LIVE_MARK, sizeof(ANALYSIS_LIVE_MARK) - 1) ==
		    0)
			run_summary_change_add(result, analysis->events[i].at - result->started,
			    analysis->events[i].text + sizeof(ANALYSIS_LIVE_MARK) - 1);
	result->sessions_ever = result->session_count = analysis->session_count;
	result->sessions = memory_new(analysis->session_count + 1, sizeof(*result->sessions));
	for (size_t i = 0; i < analysis->session_count; i++)
		fill_session(analysis, &analysis->sessions[i], &result->sessions[i]);
	for (int way = 0; way < WAYS; way++) {
		result->totals[way].account = analysis->refused[way];
		for (size_t i = 0; i < analysis->session_count; i++)
			account_merge(&result->totals[way].account, &analysis->sessions[i].accounts[way]);
	}
	result->capture_written = analysis->kind == ANALYSIS_OURS ? analysis->packets : 0;
	if (result->session_count)
		qsort(result->sessions, result->session_count, sizeof(*result->sessions), compare_summaries);
}

static int compare_sessions(const void *a, const void *b)
{
	const struct analysis_session *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Sorts sessions by number, and updates the session indexes of records to match. */
static void sort_sessions(struct analysis *analysis)
{
	uint32_t *new_index = memory_new(analysis->session_count + 1, sizeof(*new_index));
	uint32_t *numbers = memory_new(analysis->session_count + 1, sizeof(*numbers));
	struct index by_new_number = {0};

	for (size_t i = 0; i < analysis->session_count; i++)
		numbers[i] = analysis->sessions[i].number;
	if (analysis->session_count)
		qsort(analysis->sessions, analysis->session_count, sizeof(*analysis->sessions),
		    compare_sessions);
	for (size_t i = 0; i < analysis->session_count; i++)
		index_add(&by_new_number, analysis->sessions[i].number, (uint32_t)i);
	for (size_t i = 0; i < analysis->session_count; i++)
		new_index[i] = index_find(&by_new_number, numbers[i]);
	for (size_t i = 0; !analysis->brief && i < analysis->record_count; i++)
		analysis->records[i].session = new_index[analysis->records[i].session];
	index_free(&analysis->by_number);
	analysis->by_number = by_new_number;
	index_free(&analysis->by_n); /* its keys contain indexes of sessions, which are stale now */
	free(new_index);
	free(numbers);
}

void analysis_end(struct analysis *analysis)
{
	if (!analysis->result.started || analysis->result.started > analysis->first)
		analysis->result.started = analysis->packets ? analysis->first : analysis->result.started;
	if (analysis->last < analysis->result.started)
		analysis->last = analysis->result.ended > analysis->result.started ? analysis->result.ended
		                                                                   : analysis->result.started;
	sort_sessions(analysis);
	finish_measurements(analysis);
	fill_summary(analysis);
	for (size_t i = 0; i < analysis->session_count; i++)
		analysis->sessions[i].result = &analysis->result.sessions[i];
}
