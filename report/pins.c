/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pins_find collects the pins by kind of decision and sorts them (compare_pins), so that pins that can share
 * a rule are neighbours. A rule's `nth` does not count datagrams that never reach the rules, so ordinals are
 * recounted first (count_nth).
 */
#include "report/pins.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define BYTE_MAX 65506
#define DELAY_MAX (24 * NS_HOUR) /* beyond it, the time stamps of the capture are broken */
#define LIST_MAX 150             /* bytes after which a list continues in a new line; ini lines are limited */

static const char *const kind_words[] = {
    "copy", "corrupt", "set", "truncate", "copy", "inject", "rebind", "delay", "drop"};

static struct pin *pin_add(
    struct pins *pins, enum pin_kind kind, uint32_t session, enum way way, uint32_t nth)
{
	pins->all = memory_grow(pins->all, pins->count, sizeof(*pins->all));
	pins->all[pins->count] = (struct pin){
	    .kind = kind, .session = session, .way = (uint8_t)way, .nth = nth};
	return &pins->all[pins->count++];
}

/* ---- Finding ---- */

struct finding {
	struct pins *pins;
	const struct analysis *analysis;
	ns_t step;
	ns_t *expired; /* per session: when its NAT mapping first expired */
	uint32_t *nth; /* per record: its `nth` in rules; 0: it reached no rule */
};

/* Finds when the NAT mapping of each session first expired. */
static void find_expiries(struct finding *finding)
{
	const struct analysis *analysis = finding->analysis;

	finding->expired = memory_new(analysis->session_count + 1, sizeof(*finding->expired));
	for (size_t i = 0; i < analysis->session_count; i++)
		finding->expired[i] = NS_NEVER;
	for (size_t i = analysis->event_count; i-- > 0;)
		if (analysis->events[i].session && strncmp(analysis->events[i].text, "nat-expired", 11) == 0)
			finding->expired[index_find(&analysis->by_number, analysis->events[i].session)] =
			    analysis->events[i].at;
}

/* Returns true if the datagram was dropped because the mapping had expired; then it reaches no rule in the
 * repeated run either, because a `rebind` pin expires the mapping. A drop before the first expiry needs a
 * drop pin. */
static bool never_reached_rules(const struct finding *finding, const struct packet_record *record)
{
	return record->fate == FATE_DROPPED && record->reason == REASON_NAT_EXPIRED &&
	       record->at >= finding->expired[record->session];
}

/* Numbers the records as rules count them. If the file begins in the middle of a run, the first ordinal tells
 * how many datagrams came before. */
static void count_nth(struct finding *finding)
{
	const struct analysis *analysis = finding->analysis;
	uint32_t *seen = memory_new(2 * analysis->session_count + 1, sizeof(*seen));

	finding->nth = memory_new(analysis->record_count + 1, sizeof(*finding->nth));
	for (size_t i = 0; i < analysis->record_count; i++) {
		const struct packet_record *record = &analysis->records[i];
		uint32_t *count = &seen[2 * record->session + record->way];

		if (never_reached_rules(finding, record))
			continue;
		if (!*count)
			*count = record->n - 1;
		finding->nth[i] = ++*count;
	}
	free(seen);
}

/* Counts a decision that no rule can repeat. */
static void leave_out(struct finding *finding, const struct packet_record *record, const char *what)
{
	struct pins *pins = finding->pins;

	if (pins->left_out++ < PINS_LEFT_LINES)
		text_add(&pins->left_lines, "s=%u dir=%s n=%u: %s\n",
		    finding->analysis->sessions[record->session].number, verdict_ways[record->way], record->n,
		    what);
}

static void leave_out_all(struct pins *pins, uint64_t count, const char *what)
{
	if (count && pins->left_out < PINS_LEFT_LINES)
		text_add(&pins->left_lines, "%" PRIu64 " %s\n", count, what);
	pins->left_out += count;
}

/* Is the byte set again by a later mutation in `rest`? Only the last value counts. */
static bool is_set_again(const char *rest, unsigned byte)
{
	char head[24];

	snprintf(head, sizeof(head), ",set:%u:", byte);
	return rest && strstr(rest, head);
}

/* Adds a pin for each mutation: "set:57:12,truncate:100", or "corrupt:57" if the new value is unknown. */
static void find_mutations(
    struct finding *finding, const struct packet_record *record, uint32_t session, uint32_t nth)
{
	const char *mutation = record->mutations ? finding->analysis->words.all[record->mutations - 1] : NULL;
	unsigned byte, value = 0;

	for (; mutation; mutation = strchr(mutation, ',') ? strchr(mutation, ',') + 1 : NULL) {
		enum pin_kind kind = PIN_SET;
		struct pin *pin;

		if (sscanf(mutation, "corrupt:%u", &byte) == 1)
			kind = PIN_CORRUPT;
		else if (sscanf(mutation, "truncate:%u", &byte) == 1)
			kind = PIN_TRUNCATE;
		else if (sscanf(mutation, "set:%u:%u", &byte, &value) != 2)
			byte = BYTE_MAX + 1;
		if (kind == PIN_SET && is_set_again(strchr(mutation, ','), byte))
			continue;
		if (byte > BYTE_MAX || value > 255 || (kind == PIN_TRUNCATE && !byte)) {
			leave_out(finding, record, mutation);
			continue;
		}
		pin = pin_add(finding->pins, kind, session, (enum way)record->way, nth);
		pin->byte = byte;
		pin->value = value;
		pin->record = record;
	}
}

static void find_drop(
    struct finding *finding, const struct packet_record *record, uint32_t session, uint32_t nth)
{
	if (record->reason == REASON_ERROR || record->reason == REASON_MAX_SESSIONS)
		leave_out(finding, record,
		    record->reason == REASON_ERROR ? "dropped, error" : "dropped, max-sessions");
	else
		pin_add(finding->pins, PIN_DROP, session, (enum way)record->way, nth)->record = record;
}

static int compare_departures(const void *a, const void *b)
{
	const struct packet_record *x = *(const struct packet_record *const *)a,
	                           *y = *(const struct packet_record *const *)b;

	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	if (x->way != y->way)
		return x->way < y->way ? -1 : 1;
	if (x->left != y->left)
		return x->left < y->left ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

/* Returns the rounded delay of `record`, raised if needed so that it leaves after `previous`, which left
 * before it in the recorded run. */
static ns_t delay_in_order(const struct finding *finding, const struct packet_record *record,
    const struct packet_record *previous, ns_t previous_due)
{
	ns_t delay = record->delay_us * NS_US, min;

	if (finding->step)
		delay = (delay + finding->step / 2) / finding->step * finding->step;
	if (!previous || previous->session != record->session || previous->way != record->way)
		return delay;
	min = previous_due - record->at;
	if (previous->n > record->n)
		min++; /* at equal times the earlier arrival would leave first */
	if (delay < min)
		delay = min;
	return delay;
}

static void find_delays(struct finding *finding)
{
	const struct analysis *analysis = finding->analysis;
	const struct packet_record **order = memory_new(analysis->record_count + 1, sizeof(*order)),
	                           *previous = NULL;
	size_t count = 0;
	ns_t previous_due = 0;

	for (size_t i = 0; i < analysis->record_count; i++)
		if (analysis->records[i].fate == FATE_SENT && finding->nth[i] &&
		    analysis->records[i].delay_us >= 0)
			order[count++] = &analysis->records[i];
	if (count)
		qsort(order, count, sizeof(*order), compare_departures);
	for (size_t i = 0; i < count; i++) {
		const struct packet_record *record = order[i];
		ns_t delay = delay_in_order(finding, record, previous, previous_due);
		struct pin *pin;

		previous = record;
		previous_due = record->at + delay;
		if (delay <= 0)
			continue;
		if (delay > DELAY_MAX) {
			leave_out(finding, record, "a delay of more than 24 hours");
			continue;
		}
		pin = pin_add(finding->pins, PIN_DELAY, analysis->sessions[record->session].number,
		    (enum way)record->way, finding->nth[record - analysis->records]);
		pin->record = record;
		pin->time = delay;
	}
	free(order);
}

static void find_copies(struct finding *finding)
{
	const struct analysis *analysis = finding->analysis;

	for (size_t i = 0; i < analysis->copy_count; i++) {
		const struct analysis_copy *copy = &analysis->copies[i];
		const struct packet_record *record = &analysis->records[copy->record];
		uint32_t session = analysis->sessions[record->session].number,
		         nth = finding->nth[copy->record];
		ns_t after = copy->at > record->at ? (copy->at - record->at) / NS_US * NS_US : 0;
		bool same_bytes = copy->origin != ORIGIN_INJECT && copy->origin != ORIGIN_DECOY;
		struct pin *pin;

		/* `inject` sends at once and after the datagram, but a decoy precedes it. */
		if (!nth || after > DELAY_MAX ||
		    (!same_bytes && (!copy->hex || after > NS_MS || copy->origin == ORIGIN_DECOY))) {
			leave_out(finding, record,
			    copy->origin == ORIGIN_DECOY    ? "a decoy, which goes ahead of its datagram"
			    : copy->origin == ORIGIN_INJECT ? "an injected datagram that is long or came late"
			                                    : "a copy");
			continue;
		}
		pin = pin_add(finding->pins,
		    !same_bytes       ? PIN_INJECT
		    : copy->untouched ? PIN_COPY_FIRST
		                      : PIN_COPY,
		    session, (enum way)record->way, nth);
		pin->record = record;
		pin->time = after;
		pin->hex = copy->hex ? analysis->words.all[copy->hex - 1] : NULL;
	}
}

/* Is the decider named in the event ("nat-expired by=rule:x") among those of the datagram? */
static bool was_decided_by(
    const struct analysis *analysis, const struct packet_record *record, const char *event)
{
	const char *by = strstr(event, "by="), *words = analysis->words.all[record->words],
	           *deciders = strstr(words, "by=");
	size_t size = by ? strcspn(by + 3, " ") : 0;

	return by && deciders && memmem(deciders, strcspn(deciders, " "), by + 3, size);
}

/* Adds a pin for each expiry of a mapping: at the datagram of the same instant whose rule caused it, else at
 * a time. */
static void find_rebinds(struct finding *finding)
{
	const struct analysis *analysis = finding->analysis;
	size_t at = 0;

	for (size_t i = 0; i < analysis->event_count; i++) {
		const struct analysis_event *event = &analysis->events[i];
		const struct analysis_session *session;
		const struct packet_record *record = NULL;
		struct pin *pin;

		if (!event->session || strncmp(event->text, "nat-expired", 11) != 0)
			continue;
		while (at < analysis->record_count && analysis->records[at].at < event->at)
			at++;
		for (size_t k = at;
		     k < analysis->record_count && analysis->records[k].at == event->at && !record; k++)
			if (analysis->sessions[analysis->records[k].session].number == event->session &&
			    finding->nth[k] && was_decided_by(analysis, &analysis->records[k], event->text))
				record = &analysis->records[k];
		session = &analysis->sessions[index_find(&analysis->by_number, event->session)];
		if (!record && event->at - session->began > DELAY_MAX) {
			leave_out_all(finding->pins, 1, "NAT mapping that was lost after more than 24 hours");
			continue;
		}
		pin = pin_add(finding->pins, PIN_REBIND, event->session,
		    record ? (enum way)record->way : WAY_UP,
		    record ? finding->nth[record - analysis->records] : 0);
		pin->record = record;
		pin->time = event->at > session->began ? event->at - session->began : 0;
	}
}

static bool is_copy(const struct pin *pin)
{
	return pin->kind == PIN_COPY || pin->kind == PIN_COPY_FIRST;
}

static int compare_pins(const void *a, const void *b)
{
	const struct pin *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	if (x->way != y->way)
		return x->way < y->way ? -1 : 1;
	if (x->time != y->time && (x->kind == PIN_DELAY || is_copy(x) || !x->nth))
		return x->time < y->time ? -1 : 1;
	if (x->byte != y->byte)
		return x->byte < y->byte ? -1 : 1;
	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->nth < y->nth ? -1 : x->nth > y->nth;
}

void pins_find(struct pins *pins, const struct analysis *analysis, ns_t step)
{
	struct finding finding = {.pins = pins, .analysis = analysis, .step = step};

	*pins = (struct pins){0};
	find_expiries(&finding);
	count_nth(&finding);
	for (size_t i = 0; i < analysis->record_count; i++) {
		const struct packet_record *record = &analysis->records[i];

		if (!finding.nth[i])
			continue;
		find_mutations(&finding, record, analysis->sessions[record->session].number, finding.nth[i]);
		if (record->fate == FATE_DROPPED)
			find_drop(
			    &finding, record, analysis->sessions[record->session].number, finding.nth[i]);
	}
	find_delays(&finding);
	find_copies(&finding);
	find_rebinds(&finding);
	leave_out_all(pins, analysis->joints, "joint datagrams (`pack`): their parts are sent one by one");
	leave_out_all(pins, analysis->refused[WAY_UP].received + analysis->refused[WAY_DOWN].received,
	    "datagrams that were refused before there was a session");
	if (pins->count)
		qsort(pins->all, pins->count, sizeof(*pins->all), compare_pins);
	free(finding.nth);
	free(finding.expired);
}

void pins_free(struct pins *pins)
{
	free(pins->all);
	text_free(&pins->left_lines);
	*pins = (struct pins){0};
}

/* ---- Writing ---- */

/* Can the two pins share a rule? */
static bool can_share_rule(const struct pin *a, const struct pin *b)
{
	bool same = a->kind == b->kind && a->session == b->session && a->way == b->way && a->nth && b->nth;

	switch (a->kind) {
	case PIN_DROP:
	case PIN_REBIND: return same;
	case PIN_DELAY: return same && a->time == b->time;
	case PIN_COPY_FIRST:
	case PIN_COPY: return same && a->time == b->time && a->nth != b->nth;
	case PIN_INJECT: return false;
	default: return same && a->byte == b->byte && a->value == b->value && a->nth != b->nth;
	}
}

static void add_time(struct text *out, ns_t time)
{
	if (time % NS_MS == 0)
		text_add(out, "%" PRId64 "ms", time / NS_MS);
	else if (time % NS_US == 0)
		text_add(out, "%" PRId64 "us", time / NS_US);
	else
		text_add(out, "%" PRId64 ".%03dus", time / NS_US, (int)(time % NS_US));
}

static void add_action(struct text *out, const struct pin *pin)
{
	text_add(out, "do = ");
	switch (pin->kind) {
	case PIN_CORRUPT: text_add(out, "corrupt 1 at %u", pin->byte); break;
	case PIN_SET: text_add(out, "set %u %u", pin->byte, pin->value); break;
	case PIN_TRUNCATE: text_add(out, "truncate %u", pin->byte); break;
	case PIN_INJECT: text_add(out, "inject %s", pin->hex); break;
	case PIN_REBIND: text_add(out, "rebind"); break;
	case PIN_DROP: text_add(out, "drop"); break;
	case PIN_COPY_FIRST:
	case PIN_COPY:
	case PIN_DELAY:
		text_add(out, is_copy(pin) ? "duplicate 1 " : "delay ");
		add_time(out, pin->time);
		break;
	}
	text_add(out, "\n");
}

/* Writes a rule up to its `nth`. */
static void begin_rule(struct text *out, const struct pin *pin, size_t number)
{
	text_add(out, "\n[rule %s-%zu]\nsession = %u\n", kind_words[pin->kind], number, pin->session);
	if (pin->nth) {
		text_add(out, "direction = %s\n", verdict_ways[pin->way]);
		return;
	}
	text_add(out, "at = ");
	add_time(out, pin->time / NS_US * NS_US);
	text_add(out, "\n");
}

/* Writer of "nth = 3,7-9,12" over as many lines as needed. */
struct list {
	size_t line;       /* offset in the output where the current line begins; 0: no line yet */
	uint32_t from, to; /* range not yet written; from 0: none */
};

static void write_range(struct list *list, struct text *out)
{
	if (!list->from)
		return;
	if (list->line && out->size - list->line > LIST_MAX) {
		text_add(out, "\n");
		list->line = 0;
	}
	if (!list->line) {
		list->line = out->size;
		text_add(out, "nth = %u", list->from);
	} else {
		text_add(out, ",%u", list->from);
	}
	if (list->to > list->from)
		text_add(out, "-%u", list->to);
	list->from = 0;
}

static void list_add(struct list *list, uint32_t nth, struct text *out)
{
	if (list->from && nth == list->to + 1) {
		list->to = nth;
		return;
	}
	write_range(list, out);
	list->from = list->to = nth;
}

static void finish_rule(struct text *out, struct list *list, const struct pin *pin)
{
	write_range(list, out);
	if (list->line)
		text_add(out, "\n");
	*list = (struct list){0};
	add_action(out, pin);
}

void pins_write(const struct pins *pins, const bool *is_included, const char *head, struct text *out)
{
	const struct pin *previous = NULL;
	struct list list = {0};
	size_t number = 0;

	text_add(out, "%s", head);
	for (size_t i = 0; i < pins->count; i++) {
		const struct pin *pin = &pins->all[i];

		if (is_included && !is_included[i])
			continue;
		if (!previous || !can_share_rule(previous, pin)) {
			if (previous)
				finish_rule(out, &list, previous);
			begin_rule(out, pin, ++number);
		}
		if (pin->nth)
			list_add(&list, pin->nth, out);
		previous = pin;
	}
	if (previous)
		finish_rule(out, &list, previous);
}

void pin_describe(const struct analysis *analysis, const struct pin *pin, struct text *out)
{
	const struct packet_record *record = pin->record;
	const char *words = record ? analysis->words.all[record->words] : "", *dtls = strstr(words, "dtls="),
	           *by = strstr(words, "by=");

	text_add(out, "s=%u", pin->session);
	if (record)
		text_add(out, " dir=%s n=%u", verdict_ways[record->way], record->n);
	text_add(out, " %s", kind_words[pin->kind]);
	if (pin->kind == PIN_DELAY || is_copy(pin) || !pin->nth) {
		text_add(out, pin->kind == PIN_DELAY ? " " : " at ");
		add_time(out, pin->time / NS_US * NS_US);
	}
	if (!record)
		return;
	text_add(
	    out, " (%.3f s, %u bytes", (double)(record->at - analysis->result.started) / 1e9, record->size);
	if (dtls) {
		text_add(out, ", %.*s", (int)strcspn(dtls + 5, " "), dtls + 5);
		if (dtls[strcspn(dtls, " ") - 1] == '/' && record->number != DTLS_NUMBER_HIDDEN)
			text_add(out, "%" PRIu64, record->number);
	}
	if (record->message)
		text_add(out, ": %s", dtls_kinds[record->message - 1]);
	if (record->fate == FATE_DROPPED)
		text_add(out, ", %s", verdict_reasons[record->reason]);
	if (by)
		text_add(out, " by %.*s", (int)strcspn(by + 3, " "), by + 3);
	text_add(out, ")");
}
