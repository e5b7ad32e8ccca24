/* tale_end: what follows once all packets of a tale are read: runs, delays, the sheet. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "report/tale_inside.h"

/* Runs, rates and percentiles, session by session. */
static void measure(struct tale *tale)
{
	struct buckets *totals = memory_new(WAYS, sizeof(*totals)), *late = memory_new(1, sizeof(*late));

	for (size_t i = 0; i < tale->session_count; i++) {
		struct tale_session *session = &tale->sessions[i];

		for (int way = 0; way < WAYS; way++) {
			runs_end(&session->ways[way].runs);
			sparse_join(&totals[way], &session->ways[way].counted);
			sparse_join(late, &session->ways[way].late);
		}
		handshakes_end(&session->handshakes, session->ended ? session->last : tale->last,
		    session->ended != NULL);
		rate_end(&session->rate,
		    session->accounts[WAY_UP].received + session->accounts[WAY_DOWN].received);
	}
	for (int way = 0; way < WAYS; way++)
		sheet_way_delays(&tale->sheet.totals[way], &totals[way]);
	if (!tale->sheet.closed && late->count)
		sheet_late(&tale->sheet, late);
	free(totals);
	free(late);
}

static int by_number(const void *a, const void *b)
{
	const struct sheet_session *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static void fill_session(const struct tale *tale, struct tale_session *session, struct sheet_session *sheet)
{
	char address[ADDRESS_TEXT_ROOM];

	*sheet = (struct sheet_session){.number = session->number,
	    .device = session->device,
	    .handshakes = (uint32_t)session->handshakes.count,
	    .rebinds = session->rebinds,
	    .port = session->cloud_port,
	    .old_ports = session->old_ports,
	    .began = session->began - tale->sheet.started,
	    .seconds = session->last - session->began,
	    .ended = session->ended       ? session->ended
	             : tale->sheet.closed ? "stop"
	                                  : NULL};
	snprintf(sheet->section, sizeof(sheet->section), "%s", session->section);
	snprintf(sheet->link, sizeof(sheet->link), "%s", session->link);
	snprintf(sheet->identity, sizeof(sheet->identity), "%s",
	    session->identity[0]     ? session->identity
	    : session->device.family ? address_host_text(&session->device, address, sizeof(address))
	                             : "");
	for (int way = 0; way < WAYS; way++) {
		const struct sparse *delays = &session->ways[way].counted;

		sheet->ways[way].account = session->accounts[way];
		if (!delays->count)
			continue;
		sheet->ways[way].delayed = true;
		sheet->ways[way].p50 = sparse_percentile(delays, 0.5);
		sheet->ways[way].p99 = sparse_percentile(delays, 0.99);
		sheet->ways[way].greatest = delays->greatest;
	}
}

static void fill_sheet(struct tale *tale)
{
	struct sheet *sheet = &tale->sheet;

	if (!sheet->started)
		sheet->started = tale->first;
	if (!sheet->ended)
		sheet->ended = tale->last;
	for (size_t i = 0; tale->live && i < tale->event_count; i++)
		if (strncmp(tale->events[i].text, TALE_LIVE_MARK, sizeof(TALE_LIVE_MARK) - 1) == 0)
			sheet_change_add(sheet, tale->events[i].at - sheet->started,
			    tale->events[i].text + sizeof(TALE_LIVE_MARK) - 1);
	sheet->sessions_ever = sheet->session_count = tale->session_count;
	sheet->sessions = memory_new(tale->session_count + 1, sizeof(*sheet->sessions));
	for (size_t i = 0; i < tale->session_count; i++)
		fill_session(tale, &tale->sessions[i], &sheet->sessions[i]);
	for (int way = 0; way < WAYS; way++) {
		sheet->totals[way].account = tale->refused[way];
		for (size_t i = 0; i < tale->session_count; i++)
			account_join(&sheet->totals[way].account, &tale->sessions[i].accounts[way]);
	}
	sheet->capture_written = tale->kind == TALE_OURS ? tale->packets : 0;
	if (sheet->session_count)
		qsort(sheet->sessions, sheet->session_count, sizeof(*sheet->sessions), by_number);
}

static int by_session_number(const void *a, const void *b)
{
	const struct tale_session *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Sessions in the order of their numbers; marks and sheet follow. */
static void put_in_order(struct tale *tale)
{
	uint32_t *place = memory_new(tale->session_count + 1, sizeof(*place));
	uint32_t *numbers = memory_new(tale->session_count + 1, sizeof(*numbers));
	struct index places = {0};

	for (size_t i = 0; i < tale->session_count; i++)
		numbers[i] = tale->sessions[i].number;
	if (tale->session_count)
		qsort(tale->sessions, tale->session_count, sizeof(*tale->sessions), by_session_number);
	for (size_t i = 0; i < tale->session_count; i++)
		index_add(&places, tale->sessions[i].number, (uint32_t)i);
	for (size_t i = 0; i < tale->session_count; i++)
		place[i] = index_find(&places, numbers[i]);
	for (size_t i = 0; !tale->brief && i < tale->mark_count; i++)
		tale->marks[i].session = place[tale->marks[i].session];
	index_free(&tale->by_number);
	tale->by_number = places;
	index_free(&tale->by_n); /* its keys are places */
	free(place);
	free(numbers);
}

void tale_end(struct tale *tale)
{
	if (!tale->sheet.started || tale->sheet.started > tale->first)
		tale->sheet.started = tale->packets ? tale->first : tale->sheet.started;
	if (tale->last < tale->sheet.started)
		tale->last = tale->sheet.ended > tale->sheet.started ? tale->sheet.ended
		                                                     : tale->sheet.started;
	put_in_order(tale);
	measure(tale);
	fill_sheet(tale);
	for (size_t i = 0; i < tale->session_count; i++)
		tale->sessions[i].sheet = &tale->sheet.sessions[i];
}
