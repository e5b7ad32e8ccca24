/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * property: what must hold for every configuration and every traffic, tried on many drawn ones.
 *
 * Proven: accounts balance at every step; what is due first leaves first; each datagram ends once and none is
 * lost; memory returns to zero; the same twice is the same; a rule more changes no draw of the others or of
 * the links; neither does another session, nor the order in which sessions come between one another.
 *
 * Seeds are fixed. A failure prints the number of the case and its ini text.
 */
#include "test/unit/drawn.h"

#include "rules/core.h"

#define SESSIONS_MAX 200
#define NO_DEVICE 255
#define END (5 * NS_S)       /* nothing arrives after it, in any run */
#define COMPARED TRAFFIC_MAX /* sessions are compared up to here, by their own time */
#define EXTRA "zz"           /* the rule that is there or not */

/* ---- What came of it ---- */

enum line_kind { LINE_VERDICT, LINE_SENT, LINE_UNSENT, LINE_EVENT };

struct line {
	enum line_kind kind;
	unsigned device; /* NO_DEVICE: of none */
	unsigned way, origin, reason, hold, copy, n, copies, mapping;
	ns_t at, delay;
	uint64_t bytes; /* a hash: of the datagram, of what was done to it, of an event's words */
	bool extra;     /* an event of the extra rule, or a datagram that this rule dropped */
};

struct log {
	struct line *lines;
	size_t count, cap;
};

static void log_add(struct log *log, struct line line)
{
	if (log->count == log->cap) {
		log->cap = log->cap ? 2 * log->cap : 1024;
		log->lines = realloc(log->lines, log->cap * sizeof(*log->lines));
		assert_non_null(log->lines);
	}
	log->lines[log->count++] = line;
}

static bool line_equal(const struct line *a, const struct line *b)
{
	return a->kind == b->kind && a->device == b->device && a->way == b->way && a->origin == b->origin &&
	       a->reason == b->reason && a->hold == b->hold && a->copy == b->copy && a->n == b->n &&
	       a->copies == b->copies && a->mapping == b->mapping && a->at == b->at && a->delay == b->delay &&
	       a->bytes == b->bytes;
}

static void line_print(const char *head, const struct line *line)
{
	static const char *const kinds[] = {"verdict", "sent", "unsent", "event"};

	print_error("%s: %s device %u %s n=%u copy=%u at %.6f ms reason=%u hold=%u copies=%u delay %.6f ms\n",
	    head, kinds[line->kind], line->device, verdict_ways[line->way], line->n, line->copy,
	    (double)line->at / (double)NS_MS, line->reason, line->hold, line->copies,
	    (double)line->delay / (double)NS_MS);
}

/* ---- Running it ---- */

enum ending { END_NONE, END_AWAITED, END_COME };

struct run {
	const char *ini;
	struct given given;
	struct core *core;
	struct log *log;
	const ns_t *shift; /* of each device's packets */
	uint8_t endings[SESSIONS_MAX][WAYS][PACKETS + 1];
	unsigned copies[SESSIONS_MAX][WAYS]; /* that were handed out */
};

static const struct entrance entrance = {
    .listener = {.family = FAMILY_IPV4, .port = 5684, .ip = {192, 0, 2, 1}}};

static unsigned device_of(const struct session *session)
{
	return session ? session->device.ip[3] - 1u : NO_DEVICE;
}

static ns_t shifted(const struct run *run, const struct session *session, ns_t at)
{
	return session && run->shift ? at - run->shift[device_of(session)] : at;
}

static void ends(struct run *run, const struct datagram *datagram, uint32_t n)
{
	uint8_t *ending = &run->endings[datagram->session->number][datagram->way][n];

	assert_int_equal(*ending, END_AWAITED); /* it was judged to go on, and has not ended before */
	*ending = END_COME;
}

static void gone(struct run *run, const struct outcome *o, enum line_kind kind)
{
	const struct datagram *d = o->datagram;

	assert_true(d->due >= d->arrived);
	if (d->copy)
		run->copies[d->session->number][d->way]++;
	else if (d->flags & DATAGRAM_JOINED)
		for (uint32_t i = 0; i < d->parts->count; i++)
			ends(run, d, d->parts->all[i].n);
	else
		ends(run, d, d->n);
	log_add(run->log, (struct line){.kind = kind,
	                      .device = device_of(d->session),
	                      .way = d->way,
	                      .origin = d->origin,
	                      .reason = kind == LINE_UNSENT ? o->reason : REASON_NONE,
	                      .copy = d->copy,
	                      .n = d->n,
	                      .mapping = d->way == WAY_UP ? o->mapping : 0,
	                      .at = shifted(run, d->session, o->at),
	                      .delay = d->due - d->arrived,
	                      .bytes = chance_hash(0, d->bytes, d->size)});
}

static void event(struct run *run, const struct outcome *o)
{
	const char *words = o->text;

	if (o->session)
		words += strcspn(words, " ") + 1; /* without the session's number */
	log_add(run->log, (struct line){.kind = LINE_EVENT,
	                      .device = device_of(o->session),
	                      .at = shifted(run, o->session, o->at),
	                      .bytes = chance_hash(0, words, strlen(words)),
	                      .extra = strstr(words, "rule:" EXTRA) != NULL});
}

static void check_accounts(const struct core *core)
{
	for (const struct session *s = core_oldest(core); s; s = s->newer)
		for (int way = 0; way < WAYS; way++) {
			const struct account a = way_account(&s->ways[way]);

			assert_int_equal(a.received + a.copies, a.sent + account_dropped(&a) + a.queued);
		}
}

/* What is due first is handed out first, and nothing before it is due. */
static void outcomes(struct run *run)
{
	struct outcome o;
	ns_t last = INT64_MIN;

	while (core_next(run->core, &o)) {
		switch (o.kind) {
		case OUTCOME_SEND:
			assert_true(o.at >= last && o.at >= o.datagram->due);
			last = o.at;
			gone(run, &o, LINE_SENT);
			core_sent(run->core, o.datagram, o.at);
			break;
		case OUTCOME_UNSENT:
			gone(run, &o, LINE_UNSENT);
			core_release(run->core, o.datagram);
			break;
		case OUTCOME_EVENT: event(run, &o); break;
		case OUTCOME_UPSTREAM:
		case OUTCOME_DARK: break;
		case OUTCOME_ENDED:
			for (int way = 0; way < WAYS; way++)
				assert_int_equal(o.session->ways[way].tally.queued, 0);
			core_session_release(run->core, o.session);
			break;
		}
		check_accounts(run->core);
	}
}

static void advance(struct run *run, ns_t now)
{
	for (ns_t due = core_due(run->core); due <= now; due = core_due(run->core)) {
		core_advance(run->core, due);
		outcomes(run);
	}
	core_advance(run->core, now);
	assert_true(core_due(run->core) > now);
	outcomes(run);
}

static bool decided_by(const struct run *run, const struct verdict *verdict)
{
	return verdict->by_count && strcmp(names_get(run->given.names, verdict->by[0]), "rule:" EXTRA) == 0;
}

static uint64_t deeds_hash(const struct verdict *verdict)
{
	uint64_t hash = verdict->mutation_count;

	for (unsigned i = 0; i < verdict->mutation_count; i++)
		hash = chance_mix(
		    hash ^ ((uint64_t)verdict->mutations[i].kind << 32 |
		               (uint64_t)verdict->mutations[i].byte << 8 | verdict->mutations[i].value));
	return hash;
}

static void arrive(struct run *run, const struct packet *packet, ns_t at)
{
	struct arrival arrival = {.way = packet->way, .bytes = packet->bytes, .size = packet->size, .at = at};
	struct address device = {
	    .family = FAMILY_IPV4, .port = 4000, .ip = {10, 0, 0, (uint8_t)(packet->device + 1)}};
	struct session *session;
	struct verdict verdict;
	bool opened;

	advance(run, at);
	session = core_session(run->core, 0, &entrance, &device, at, &opened);
	if (session) {
		assert_in_range(session->number, 1, SESSIONS_MAX - 1);
		core_arrive(run->core, session, &arrival, &verdict);
		run->endings[session->number][packet->way][verdict.n] = verdict.reason ? END_COME
		                                                                       : END_AWAITED;
	} else {
		core_refuse(run->core, REASON_MAX_SESSIONS, &arrival, &verdict);
	}
	log_add(run->log, (struct line){.kind = LINE_VERDICT,
	                      .device = packet->device,
	                      .way = packet->way,
	                      .reason = verdict.reason,
	                      .hold = verdict.hold,
	                      .n = verdict.n,
	                      .copies = verdict.copies,
	                      .at = shifted(run, session, at),
	                      .delay = verdict.delay,
	                      .bytes = deeds_hash(&verdict),
	                      .extra = verdict.reason && decided_by(run, &verdict)});
	check_accounts(run->core);
	advance(run, at);
}

/* ---- The end of a run: nothing is left but what sleeps until its device sends ---- */

static void asleep_check(struct run *run, const struct session *session, enum way way, size_t *left)
{
	const struct session_way *w = &session->ways[way];
	uint64_t queued = 0;

	for (const struct datagram *d = w->extra->asleep.first; d; d = d->next, (*left)++) {
		if (d->flags & DATAGRAM_LOST_AT_EXIT)
			continue;
		queued += d->flags & DATAGRAM_JOINED ? d->plan->parts->count : 1;
		if (d->copy)
			run->copies[session->number][way]++;
		else if (d->flags & DATAGRAM_JOINED)
			for (uint32_t i = 0; i < d->plan->parts->count; i++)
				ends(run, d, d->plan->parts->all[i].n);
		else
			ends(run, d, d->n);
	}
	assert_int_equal(w->tally.queued, queued);
	assert_int_equal(w->tally.copies, run->copies[session->number][way]);
}

static size_t remembered(const struct session *session)
{
	size_t count = 0;

	for (int way = 0; way < WAYS; way++)
		for (unsigned i = 0; i < session->ways[way].extra->recent_cap; i++)
			count += session->ways[way].extra->recent && session->ways[way].extra->recent[i];
	for (unsigned i = 0; session->firsts && i < session->first_count; i++)
		count += session->firsts[i] != NULL;
	return count;
}

static void finish(struct run *run)
{
	size_t left = 0;

	advance(run, END);
	core_last_arrival(run->core);
	while (core_due(run->core) != NS_NEVER)
		advance(run, core_due(run->core));
	for (const struct session *s = core_oldest(run->core); s; s = s->newer) {
		asleep_check(run, s, WAY_UP, &left);
		asleep_check(run, s, WAY_DOWN, &left);
		left += remembered(s);
	}
	assert_int_equal(core_datagrams(run->core), left);
	for (unsigned s = 0; s < SESSIONS_MAX; s++)
		for (int way = 0; way < WAYS; way++)
			for (unsigned n = 0; n <= PACKETS; n++)
				assert_int_not_equal(run->endings[s][way][n], END_AWAITED);
}

static struct core_limits limits_wide(void)
{
	return (struct core_limits){
	    .seed = 7, .idle_timeout = NS_HOUR, .max_sessions = 100, .max_queued = UINT64_C(1) << 30};
}

/* Runs packets, already in order of time, and gives what came of them; the caller frees its lines. */
static struct log run_all(const char *ini, const struct core_limits *limits, const struct packet *packets,
    size_t count, const ns_t *shift)
{
	struct log log = {0};
	struct run *run = calloc(1, sizeof(*run));

	assert_non_null(run);
	*run = (struct run){.ini = ini, .log = &log, .shift = shift};
	given_read(&run->given, ini);
	if (complaints_count(run->given.complaints, COMPLAINT_ERROR))
		print_error("%s", run->given.told);
	assert_int_equal(complaints_count(run->given.complaints, COMPLAINT_ERROR), 0);
	run->core = core_new(run->given.config, run->given.names, limits, 0);
	for (size_t i = 0; i < count; i++)
		arrive(run, &packets[i], packets[i].at);
	finish(run);
	core_free(run->core);
	given_free(&run->given);
	free(run);
	return log;
}

/* ---- Comparing ---- */

/* Only these lines are compared. */
typedef bool line_counts(const struct line *line, const void *about);

/* The first pair that differs is printed, with the case that it comes from. */
static void assert_same(
    const struct log *a, const struct log *b, line_counts *counts, const void *about, const char *ini)
{
	size_t i = 0, k = 0;

	for (;;) {
		while (i < a->count && !counts(&a->lines[i], about))
			i++;
		while (k < b->count && !counts(&b->lines[k], about))
			k++;
		if (i == a->count && k == b->count)
			return;
		if (i == a->count || k == b->count || !line_equal(&a->lines[i], &b->lines[k]))
			break;
		i++;
		k++;
	}
	print_error("of\n%s", ini);
	if (i < a->count)
		line_print("one", &a->lines[i]);
	if (k < b->count)
		line_print("two", &b->lines[k]);
	fail();
}

static bool every_line(const struct line *line, const void *about)
{
	(void)about;
	return line->kind <= LINE_EVENT;
}

static bool not_extra(const struct line *line, const void *about)
{
	(void)about;
	return !(line->kind == LINE_EVENT && line->extra);
}

static bool of_device(const struct line *line, const void *about)
{
	return line->device == *(const unsigned *)about && line->at < COMPARED;
}

/* ---- One case ---- */

struct trial {
	struct dice dice;
	struct text ini;
	struct packet packets[PACKETS];
};

static struct trial *trial_new(uint64_t seed, enum reach reach)
{
	struct trial *trial = calloc(1, sizeof(*trial));

	assert_non_null(trial);
	trial->dice.state = chance_mix(seed);
	config_write(&trial->ini, &trial->dice, reach);
	traffic_make(trial->packets, &trial->dice);
	return trial;
}

static void trial_free(struct trial *trial)
{
	text_free(&trial->ini);
	free(trial);
}

/* ---- Properties ---- */

/* Everything at once, and hardly any room: sessions are evicted and end, and datagrams find no place. */
static void test_accounts(void **state)
{
	static const ns_t idle[] = {30 * NS_MS, 200 * NS_MS, NS_HOUR};
	static const uint64_t queued[] = {600, 3000, 1 << 20, 1 << 20};

	(void)state;
	for (uint64_t seed = 0; seed < 700; seed++) {
		struct trial *trial = trial_new(seed, REACH_ALL);
		struct core_limits limits = {.seed = seed,
		    .idle_timeout = idle[roll(&trial->dice, COUNT(idle))],
		    .max_sessions = 1 + roll(&trial->dice, DEVICES),
		    .max_queued = queued[roll(&trial->dice, COUNT(queued))]};
		struct log log = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL);

		assert_true(log.count >= PACKETS);
		free(log.lines);
		trial_free(trial);
	}
}

static void test_same_twice(void **state)
{
	struct core_limits limits = limits_wide();

	(void)state;
	for (uint64_t seed = 0; seed < 150; seed++) {
		struct trial *trial = trial_new(1000 + seed, REACH_ALL);
		struct log a = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL);
		struct log b = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL);

		assert_same(&a, &b, every_line, NULL, trial->ini.at);
		free(a.lines);
		free(b.lines);
		trial_free(trial);
	}
}

/* Another seed gives other draws: what the comparisons here see are draws indeed. */
static void test_seed_matters(void **state)
{
	static const char ini[] = "[link default]\nloss = 50%\nlatency = 9ms\njitter = 9ms\n";
	struct core_limits limits = limits_wide();
	struct trial *trial = trial_new(5, REACH_FREE);
	struct log a = run_all(ini, &limits, trial->packets, PACKETS, NULL), b;
	size_t same = 0;

	(void)state;
	limits.seed++;
	b = run_all(ini, &limits, trial->packets, PACKETS, NULL);
	for (size_t i = 0; i < a.count && i < b.count; i++)
		same += line_equal(&a.lines[i], &b.lines[i]);
	assert_true(same < a.count / 2);
	free(a.lines);
	free(b.lines);
	trial_free(trial);
}

/* A rule that does nothing, with any conditions, at the end or as the first: all else stays as it was. */
static void test_note_changes_nothing(void **state)
{
	struct core_limits limits = limits_wide();

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct trial *trial = trial_new(2000 + seed, REACH_ALL);
		struct text more = {0}, rule = {0};
		struct log a, b;

		text_add(&rule, "[rule " EXTRA "]\n");
		conditions_write(&rule, &trial->dice, 0, 1);
		text_add(&rule, "do = note\n");
		if (once_in(&trial->dice, 2))
			text_add(&more, "%s%s", trial->ini.at, rule.at);
		else
			text_add(&more, "%s%s", rule.at, trial->ini.at);
		a = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL);
		b = run_all(more.at, &limits, trial->packets, PACKETS, NULL);
		assert_same(&a, &b, not_extra, NULL, more.at);
		free(a.lines);
		free(b.lines);
		text_free(&more);
		text_free(&rule);
		trial_free(trial);
	}
}

/* Which datagrams the extra rule dropped. */
struct dropped {
	bool of[DEVICES][WAYS][PACKETS + 1];
};

static bool not_dropped(const struct line *line, const void *about)
{
	const struct dropped *dropped = about;

	return line->kind != LINE_EVENT && !dropped->of[line->device][line->way][line->n];
}

/* A rule at the end that drops some: every datagram that it spares has the draws, and the fate, that it had.
 */
static void test_drop_spares_the_others(void **state)
{
	struct core_limits limits = limits_wide();
	size_t struck = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct trial *trial = trial_new(3000 + seed, REACH_FREE);
		struct dropped *dropped = calloc(1, sizeof(*dropped));
		struct log a = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL), b;

		assert_non_null(dropped);
		text_add(&trial->ini, "[rule " EXTRA "]\nprobability = 30%%\ndo = drop\n");
		b = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL);
		for (size_t i = 0; i < b.count; i++)
			if (b.lines[i].kind == LINE_VERDICT && b.lines[i].extra) {
				dropped->of[b.lines[i].device][b.lines[i].way][b.lines[i].n] = true;
				struck++;
			}
		assert_same(&a, &b, not_dropped, dropped, trial->ini.at);
		free(a.lines);
		free(b.lines);
		free(dropped);
		trial_free(trial);
	}
	assert_true(struck > 1000);
}

/* Rules for some sessions only; the others' link does little or nothing. */
static void spare_write(struct text *text, struct dice *dice)
{
	static const char *const links[] = {"", "order = free", "down.latency = 20ms", "up.loss = 30%",
	    "up.latency = 10ms\nup.jitter = 4ms", "down.wake_after = 20ms\ndown.wake_delay = next-up",
	    "down.wake_after = 10ms\ndown.wake_delay = 5ms", "down.rate = 40kbit"};
	static const char *const nats[] = {
	    "", "nat_timeout = 40ms", "nat_timeout = 30ms\nnat_refresh = both"};
	static const char *const acts[] = {"drop", "blackout 20ms", "blackout 30ms hold",
	    "blackout 10ms down hold", "link default", "link l1", "hold 2", "rebind", "duplicate 2 6ms",
	    "inject 0102"};

	text_clear(text);
	text_add(text, "[device a]\naddress = 10.0.0.1\nlink = l1\n[device b]\naddress = 10.0.0.2\n");
	pick(text, dice, nats);
	text_add(text, "[link default]\n");
	pick(text, dice, links);
	link_write(text, dice, REACH_ALL, "l1");
	for (unsigned i = roll(dice, 3); i; i--) {
		text_add(text, "[rule r%u]\ndevice = a\nlimit = 3\nprobability = 20%%\n%sdo = ", i,
		    once_in(dice, 2) ? "scope = all\n" : "");
		pick(text, dice, acts);
	}
}

/* A rule that concerns all, and none of their datagrams: those that nothing else decides about are judged
 * then, and come to what they came to without. */
static void test_judging_changes_nothing(void **state)
{
	struct core_limits limits = limits_wide();

	(void)state;
	for (uint64_t seed = 0; seed < 600; seed++) {
		struct trial *trial = trial_new(6000 + seed, REACH_ALL);
		struct log a, b;

		spare_write(&trial->ini, &trial->dice);
		a = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL);
		text_add(&trial->ini, "[rule " EXTRA "]\nnth = 4000000000\ndo = drop\n");
		b = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL);
		assert_same(&a, &b, every_line, NULL, trial->ini.at);
		free(a.lines);
		free(b.lines);
		trial_free(trial);
	}
}

static size_t packets_of(const struct packet *all, unsigned device, struct packet *own)
{
	size_t count = 0;

	for (size_t i = 0; i < PACKETS; i++)
		if (all[i].device == device)
			own[count++] = all[i];
	return count;
}

/* Each session alone has the fate that it has among the others. */
static void test_other_sessions(void **state)
{
	struct core_limits limits = limits_wide();

	(void)state;
	for (uint64_t seed = 0; seed < 150; seed++) {
		struct trial *trial = trial_new(4000 + seed, REACH_BOUND);
		struct packet *own = calloc(PACKETS, sizeof(*own));
		struct log all = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL);

		assert_non_null(own);
		for (unsigned device = 0; device < DEVICES; device++) {
			size_t count = packets_of(trial->packets, device, own);
			struct log alone = run_all(trial->ini.at, &limits, own, count, NULL);

			assert_same(&all, &alone, of_device, &device, trial->ini.at);
			free(alone.lines);
		}
		free(own);
		free(all.lines);
		trial_free(trial);
	}
}

static int by_time(const void *a, const void *b)
{
	const struct packet *x = *(const struct packet *const *)a, *y = *(const struct packet *const *)b;

	return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x > y) - (x < y);
}

/* The sessions come at other times, between one another in another order: each has the same fate. */
static void test_interleaving(void **state)
{
	struct core_limits limits = limits_wide();

	(void)state;
	for (uint64_t seed = 0; seed < 150; seed++) {
		struct trial *trial = trial_new(5000 + seed, REACH_BOUND);
		struct packet *moved = calloc(2 * PACKETS, sizeof(*moved)), *sorted = moved + PACKETS;
		const struct packet *order[PACKETS];
		ns_t shift[DEVICES];
		struct log a = run_all(trial->ini.at, &limits, trial->packets, PACKETS, NULL), b;

		assert_non_null(moved);
		for (unsigned device = 0; device < DEVICES; device++)
			shift[device] = roll(&trial->dice, 300000) * NS_US;
		for (size_t i = 0; i < PACKETS; i++) {
			moved[i] = trial->packets[i];
			moved[i].at += shift[moved[i].device];
			order[i] = &moved[i];
		}
		qsort(order, PACKETS, sizeof(*order), by_time);
		for (size_t i = 0; i < PACKETS; i++)
			sorted[i] = *order[i];
		b = run_all(trial->ini.at, &limits, sorted, PACKETS, shift);
		for (unsigned device = 0; device < DEVICES; device++)
			assert_same(&a, &b, of_device, &device, trial->ini.at);
		free(a.lines);
		free(b.lines);
		free(moved);
		trial_free(trial);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_accounts),
	    cmocka_unit_test(test_same_twice),
	    cmocka_unit_test(test_seed_matters),
	    cmocka_unit_test(test_note_changes_nothing),
	    cmocka_unit_test(test_drop_spares_the_others),
	    cmocka_unit_test(test_judging_changes_nothing),
	    cmocka_unit_test(test_other_sessions),
	    cmocka_unit_test(test_interleaving),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
