#include "report/pins.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 150 /* bytes of a list in one line: an ini line has at most 198 */

static const char *const kind_words[] = {"corrupt", "set", "truncate", "copy", "inject", "rebind", "delay", "drop"};

static struct pin *pin_add(struct pins *pins, enum pin_kind kind, uint32_t session, enum way way, uint32_t nth)
{
	if (pins->count == pins->room) {
		pins->room = pins->room ? 2 * pins->room : 64;
		pins->all = realloc(pins->all, pins->room * sizeof(*pins->all));
		assert(pins->all);
	}
	pins->all[pins->count] = (struct pin){.kind = kind, .session = session, .way = (uint8_t)way, .nth = nth};
	return &pins->all[pins->count++];
}

/* ---- Finding ---- */

struct finding {
	struct pins *pins;
	const struct tale *tale;
	ns_t step;
	uint32_t *nth; /* of each mark: as rules count. Those that a NAT or overload dropped are seen by no rule */
};

static void count_nth(struct finding *finding)
{
	const struct tale *tale = finding->tale;
	uint32_t *seen = calloc(2 * tale->session_count + 1, sizeof(*seen));

	finding->nth = calloc(tale->mark_count + 1, sizeof(*finding->nth));
	assert(seen && finding->nth);
	for (size_t i = 0; i < tale->mark_count; i++) {
		const struct mark *mark = &tale->marks[i];

		if (mark->fate != FATE_DROPPED || (mark->reason != REASON_NAT_EXPIRED && mark->reason != REASON_OVERLOAD))
			finding->nth[i] = ++seen[2 * mark->session + mark->way];
	}
	free(seen);
}

/* "corrupt:57.3,set:0:254,truncate:100" */
static void find_deeds(struct finding *finding, const struct mark *mark, uint32_t session, uint32_t nth)
{
	const char *deed = strstr(finding->tale->words.all[mark->words], "did=");
	unsigned byte, value;

	for (deed = deed ? deed + 4 : NULL; deed; deed = deed[strcspn(deed, ", ")] == ',' ? strchr(deed, ',') + 1 : NULL) {
		struct pin *pin;

		if (sscanf(deed, "corrupt:%u.", &byte) == 1)
			pin = pin_add(finding->pins, PIN_CORRUPT, session, (enum way)mark->way, nth);
		else if (sscanf(deed, "set:%u:%u", &byte, &value) == 2)
			pin = pin_add(finding->pins, PIN_SET, session, (enum way)mark->way, nth), pin->value = value;
		else if (sscanf(deed, "truncate:%u", &byte) == 1)
			pin = pin_add(finding->pins, PIN_TRUNCATE, session, (enum way)mark->way, nth);
		else {
			finding->pins->left_out++;
			continue;
		}
		pin->byte = byte;
		pin->mark = mark;
	}
}

static void find_fate(struct finding *finding, const struct mark *mark, uint32_t session, uint32_t nth)
{
	ns_t delay = mark->delay_us * NS_US;

	if (mark->fate == FATE_DROPPED && mark->reason != REASON_ERROR && mark->reason != REASON_MAX_SESSIONS) {
		pin_add(finding->pins, PIN_DROP, session, (enum way)mark->way, nth)->mark = mark;
	} else if (mark->fate == FATE_DROPPED) {
		finding->pins->left_out++;
	} else if (mark->fate == FATE_SENT) {
		if (finding->step)
			delay = (delay + finding->step / 2) / finding->step * finding->step;
		if (delay > 0) {
			struct pin *pin = pin_add(finding->pins, PIN_DELAY, session, (enum way)mark->way, nth);

			pin->mark = mark;
			pin->time = delay;
		}
	}
}

static void find_copies(struct finding *finding)
{
	const struct tale *tale = finding->tale;

	for (size_t i = 0; i < tale->copy_count; i++) {
		const struct tale_copy *copy = &tale->copies[i];
		const struct mark *mark = &tale->marks[copy->mark];
		uint32_t session = tale->sessions[mark->session].number, nth = finding->nth[copy->mark];
		bool same_bytes = copy->origin != ORIGIN_INJECT && copy->origin != ORIGIN_DECOY;
		struct pin *pin;

		if (!nth || (!same_bytes && !copy->hex)) {
			finding->pins->left_out++;
			continue;
		}
		pin = pin_add(finding->pins, same_bytes ? PIN_COPY : PIN_INJECT, session, (enum way)mark->way, nth);
		pin->mark = mark;
		pin->time = copy->at > mark->at ? (copy->at - mark->at) / NS_US * NS_US : 0;
		pin->hex = copy->hex ? tale->words.all[copy->hex - 1] : NULL;
	}
}

/* A mapping that was lost: at the datagram that a rule acted on, which came at that very instant, else by time. */
static void find_rebinds(struct finding *finding)
{
	const struct tale *tale = finding->tale;
	size_t at = 0;

	for (size_t i = 0; i < tale->event_count; i++) {
		const struct tale_event *event = &tale->events[i];
		const struct tale_session *session;
		const struct mark *mark = NULL;
		struct pin *pin;

		if (!event->session || strncmp(event->text, "nat-expired", 11) != 0)
			continue;
		while (at < tale->mark_count && tale->marks[at].at < event->at)
			at++;
		for (size_t k = at; k < tale->mark_count && tale->marks[k].at == event->at && !mark; k++)
			if (tale->sessions[tale->marks[k].session].number == event->session && finding->nth[k])
				mark = &tale->marks[k];
		session = &tale->sessions[index_find(&tale->by_number, event->session)];
		pin = pin_add(finding->pins, PIN_REBIND, event->session, mark ? (enum way)mark->way : WAY_UP,
		    mark ? finding->nth[mark - tale->marks] : 0);
		pin->mark = mark;
		pin->time = event->at > session->began ? event->at - session->began : 0;
	}
}

static int by_rule(const void *a, const void *b)
{
	const struct pin *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	if (x->way != y->way)
		return x->way < y->way ? -1 : 1;
	if (x->time != y->time && (x->kind == PIN_DELAY || x->kind == PIN_COPY || !x->nth))
		return x->time < y->time ? -1 : 1;
	if (x->byte != y->byte)
		return x->byte < y->byte ? -1 : 1;
	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->nth < y->nth ? -1 : x->nth > y->nth;
}

void pins_find(struct pins *pins, const struct tale *tale, ns_t step)
{
	struct finding finding = {.pins = pins, .tale = tale, .step = step};

	*pins = (struct pins){0};
	count_nth(&finding);
	for (size_t i = 0; i < tale->mark_count; i++) {
		const struct mark *mark = &tale->marks[i];

		if (!finding.nth[i])
			continue;
		find_deeds(&finding, mark, tale->sessions[mark->session].number, finding.nth[i]);
		find_fate(&finding, mark, tale->sessions[mark->session].number, finding.nth[i]);
	}
	find_copies(&finding);
	find_rebinds(&finding);
	if (pins->count)
		qsort(pins->all, pins->count, sizeof(*pins->all), by_rule);
	free(finding.nth);
}

void pins_free(struct pins *pins)
{
	free(pins->all);
	*pins = (struct pins){0};
}

/* ---- Writing ---- */

/* They stand in one rule. */
static bool together(const struct pin *a, const struct pin *b)
{
	bool same = a->kind == b->kind && a->session == b->session && a->way == b->way && a->nth && b->nth;

	switch (a->kind) {
	case PIN_DROP:
	case PIN_REBIND: return same;
	case PIN_DELAY: return same && a->time == b->time;
	case PIN_COPY: return same && a->time == b->time && a->nth != b->nth;
	case PIN_INJECT: return false;
	default: return same && a->byte == b->byte && a->value == b->value;
	}
}

static void add_time(struct text *out, ns_t time)
{
	if (time % NS_MS == 0)
		text_add(out, "%" PRId64 "ms", time / NS_MS);
	else
		text_add(out, "%" PRId64 "us", time / NS_US);
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
	case PIN_COPY:
	case PIN_DELAY:
		text_add(out, pin->kind == PIN_COPY ? "duplicate 1 " : "delay ");
		add_time(out, pin->time);
		break;
	}
	text_add(out, "\n");
}

/* A rule's head, up to its numbers. */
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

/* "nth = 3,7-9,12", over as many lines as it takes. */
struct list {
	size_t line; /* where the present one begins; 0: none does */
	uint32_t from, to;
};

static void list_put(struct list *list, struct text *out)
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
	list_put(list, out);
	list->from = list->to = nth;
}

static void end_rule(struct text *out, struct list *list, const struct pin *pin)
{
	list_put(list, out);
	if (list->line)
		text_add(out, "\n");
	*list = (struct list){0};
	add_action(out, pin);
}

void pins_write(const struct pins *pins, const bool *in, const char *head, struct text *out)
{
	const struct pin *before = NULL;
	struct list list = {0};
	size_t number = 0;

	text_add(out, "%s", head);
	for (size_t i = 0; i < pins->count; i++) {
		const struct pin *pin = &pins->all[i];

		if (in && !in[i])
			continue;
		if (!before || !together(before, pin)) {
			if (before)
				end_rule(out, &list, before);
			begin_rule(out, pin, ++number);
		}
		if (pin->nth)
			list_add(&list, pin->nth, out);
		before = pin;
	}
	if (before)
		end_rule(out, &list, before);
}

void pin_tell(const struct tale *tale, const struct pin *pin, struct text *out)
{
	const struct mark *mark = pin->mark;
	const char *words = mark ? tale->words.all[mark->words] : "", *dtls = strstr(words, "dtls="),
	           *by = strstr(words, "by=");

	text_add(out, "s=%u", pin->session);
	if (mark)
		text_add(out, " dir=%s n=%u", verdict_ways[mark->way], mark->n);
	text_add(out, " %s", kind_words[pin->kind]);
	if (pin->kind == PIN_DELAY || pin->kind == PIN_COPY || !pin->nth) {
		text_add(out, pin->kind == PIN_DELAY ? " " : " at ");
		add_time(out, pin->time / NS_US * NS_US);
	}
	if (!mark)
		return;
	text_add(out, " (%.3f s, %u bytes", (double)(mark->at - tale->sheet.started) / 1e9, mark->size);
	if (dtls) {
		text_add(out, ", %.*s", (int)strcspn(dtls + 5, " "), dtls + 5);
		if (dtls[strcspn(dtls, " ") - 1] == '/' && mark->number != DTLS_NUMBER_HIDDEN)
			text_add(out, "%" PRIu64, mark->number);
	}
	if (mark->message)
		text_add(out, ": %s", dtls_kinds[mark->message - 1]);
	if (mark->fate == FATE_DROPPED)
		text_add(out, ", %s", verdict_reasons[mark->reason]);
	if (by)
		text_add(out, " by %.*s", (int)strcspn(by + 3, " "), by + 3);
	text_add(out, ")");
}
