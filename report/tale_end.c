/* tale_end: what follows once all packets of a tale are read: runs, delays, the sheet. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "report/tale_inside.h"

static int by_session_and_n(const void *a, const void *b)
{
	const struct mark *x = *(const struct mark *const *)a, *y = *(const struct mark *const *)b;

	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	if (x->way != y->way)
		return x->way < y->way ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static void count_runs(struct tale *tale, struct mark *const *order)
{
	uint64_t run = 0;

	for (size_t i = 0; i < tale->mark_count; i++) {
		const struct mark *mark = order[i], *before = i ? order[i - 1] : NULL;
		struct tale_way *way = &tale->sessions[mark->session].ways[mark->way];
		bool together = before && before->session == mark->session && before->way == mark->way;

		if (mark->fate != FATE_DROPPED) {
			run = 0;
			continue;
		}
		run = together && run ? run + 1 : 1;
		way->loss_runs += run == 1;
		way->loss_longest = run > way->loss_longest ? run : way->loss_longest;
	}
}

/* Percentiles take one session and way at a time, so that their buckets are few. */
struct measuring {
	struct buckets asked, measured, late, counted;
};

static void delays_take(struct tale_delays *into, const struct buckets *from)
{
	*into = (struct tale_delays){.count = from->count,
	    .p50 = buckets_percentile(from, 0.5),
	    .p90 = buckets_percentile(from, 0.9),
	    .p99 = buckets_percentile(from, 0.99),
	    .greatest = from->greatest};
}

static void measure_mark(struct measuring *m, const struct mark *mark)
{
	if (mark->fate != FATE_SENT)
		return;
	buckets_add(&m->measured, mark->left - mark->at);
	if (mark->counted)
		buckets_add(&m->counted, mark->left - mark->at);
	if (!mark->timed)
		return;
	buckets_add(&m->asked, mark->delay_us * NS_US);
	buckets_add(&m->late, mark->late_us * NS_US);
}

static void measure(struct tale *tale, struct mark *const *order)
{
	struct measuring *m = malloc(sizeof(*m)), *totals = calloc(WAYS, sizeof(*totals));
	struct buckets *late = calloc(1, sizeof(*late));

	assert(m && totals && late);
	for (size_t i = 0, next; i < tale->mark_count; i = next) {
		const struct mark *first = order[i];
		struct tale_way *way = &tale->sessions[first->session].ways[first->way];

		memset(m, 0, sizeof(*m));
		for (next = i; next < tale->mark_count && order[next]->session == first->session &&
		               order[next]->way == first->way;
		     next++)
			measure_mark(m, order[next]);
		delays_take(&way->asked, &m->asked);
		delays_take(&way->measured, &m->measured);
		delays_take(&way->late, &m->late);
		sheet_way_delays(&way->summary, &m->counted);
		buckets_join(&totals[first->way].counted, &m->counted);
		buckets_join(late, &m->late);
	}
	for (int way = 0; way < WAYS; way++)
		sheet_way_delays(&tale->sheet.totals[way], &totals[way].counted);
	if (!tale->sheet.closed && late->count)
		sheet_late(&tale->sheet, late);
	free(m);
	free(totals);
	free(late);
}

/* In the order of their sessions, ways and ordinals. */
static void look_at_marks(struct tale *tale)
{
	struct mark **order = malloc((tale->mark_count + 1) * sizeof(*order));

	assert(order);
	for (size_t i = 0; i < tale->mark_count; i++)
		order[i] = &tale->marks[i];
	if (tale->mark_count)
		qsort(order, tale->mark_count, sizeof(*order), by_session_and_n);
	count_runs(tale, order);
	measure(tale, order);
	free(order);
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
	    .began = session->began - tale->sheet.started,
	    .seconds = session->last - session->began,
	    .ended = session->ended       ? session->ended
	             : tale->sheet.closed ? "stop"
	                                  : NULL};
	snprintf(sheet->section, sizeof(sheet->section), "%s", session->section);
	snprintf(sheet->link, sizeof(sheet->link), "%s", session->link);
	snprintf(sheet->identity, sizeof(sheet->identity), "%s",
	    session->identity[0] ? session->identity
	                         : address_host_text(&session->device, address, sizeof(address)));
	for (int way = 0; way < WAYS; way++) {
		sheet->ways[way] = session->ways[way].summary;
		sheet->ways[way].account = session->accounts[way];
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
	sheet->sessions = calloc(tale->session_count + 1, sizeof(*sheet->sessions));
	assert(sheet->sessions);
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
	uint32_t *place = malloc((tale->session_count + 1) * sizeof(*place));
	uint32_t *numbers = malloc((tale->session_count + 1) * sizeof(*numbers));
	struct index places = {0};

	assert(place && numbers);
	for (size_t i = 0; i < tale->session_count; i++)
		numbers[i] = tale->sessions[i].number;
	if (tale->session_count)
		qsort(tale->sessions, tale->session_count, sizeof(*tale->sessions), by_session_number);
	for (size_t i = 0; i < tale->session_count; i++)
		index_add(&places, tale->sessions[i].number, (uint32_t)i);
	for (size_t i = 0; i < tale->session_count; i++)
		place[i] = index_find(&places, numbers[i]);
	for (size_t i = 0; i < tale->mark_count; i++)
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
	look_at_marks(tale);
	fill_sheet(tale);
	for (size_t i = 0; i < tale->session_count; i++)
		tale->sessions[i].sheet = &tale->sheet.sessions[i];
}
