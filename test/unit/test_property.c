/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * property: what must hold for every configuration and all traffic, tried on many random ones.
 *
 * Covered: accounts balance at every step; datagrams leave in the order of their due times; each datagram
 * ends exactly once; memory returns to zero; two equal runs are equal; one more rule changes no draw of the
 * others or of the links; neither does another session, nor the order in which sessions are interleaved.
 *
 * Seeds are fixed. A failure prints the ini text of the case.
 */
#include "test/unit/drawn_run.h"

#define COMPARED TRAFFIC_MAX /* sessions are compared up to here, by their own time */

/* ---- Comparing ---- */

/* Returns whether `line` is to be compared. */
typedef bool line_counts(const struct line *line, const void *about);

/* Fails at the first pair of lines that differs, and prints it with the ini text of the case. */
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
	print_error("with\n%s", ini);
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

/* Everything happens at once, with hardly any room: sessions are evicted and end, datagrams find no room. */
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

/* Another seed gives other draws: what is compared here does depend on draws. */
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

/* A rule that does nothing, with any conditions, as the first or the last, changes nothing else. */
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

/* A rule at the end drops some datagrams: every one that it spares keeps its draws and its fate. */
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

/* Writes rules for some sessions only; the others' link does little or nothing. */
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

/* A rule that concerns all sessions but none of their datagrams: datagrams that would not be judged without
 * it are judged with it, and have the same fate. */
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

/* Each session has the same fate alone as among the others. */
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

/* If the sessions are moved in time, and so interleaved differently, each has the same fate. */
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
