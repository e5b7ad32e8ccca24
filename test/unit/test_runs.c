/* SPDX-License-Identifier: BSD-2-Clause */
/* runs and rate: counts made while a capture is read equal those made at its end. */
#include "test/unit/drawn.h"

#include "report/rate.h"
#include "report/runs.h"

#define DATAGRAMS 300
#define WINDOW 20 /* how far fates may be out of order */

static void count_runs(const bool *lost, unsigned count, uint64_t *runs, uint64_t *longest)
{
	uint64_t run = 0;

	*runs = *longest = 0;
	for (unsigned i = 0; i < count; i++) {
		run = lost[i] ? run + 1 : 0;
		*runs += run == 1;
		*longest = run > *longest ? run : *longest;
	}
}

/* The order in which fates are reported does not matter, within a window. */
static void test_runs(void **state)
{
	struct dice dice = {4};

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		unsigned sides = 2 + roll(&dice, 5), order[DATAGRAMS];
		struct runs runs = {0};
		uint64_t want, longest;
		bool lost[DATAGRAMS];

		for (unsigned i = 0; i < DATAGRAMS; i++) {
			lost[i] = once_in(&dice, sides);
			order[i] = i;
		}
		for (unsigned i = 0; i < DATAGRAMS; i++) {
			unsigned with = i + roll(&dice, WINDOW), kept = order[i];

			if (with < DATAGRAMS) {
				order[i] = order[with];
				order[with] = kept;
			}
		}
		for (unsigned i = 0; i < DATAGRAMS; i++)
			runs_arrived(&runs, i + 1);
		for (unsigned i = 0; i < DATAGRAMS; i++)
			runs_settled(&runs, order[i] + 1, lost[order[i]]);
		runs_end(&runs);
		count_runs(lost, DATAGRAMS, &want, &longest);
		assert_int_equal(runs.count, want);
		assert_int_equal(runs.longest, longest);
		runs_free(&runs);
	}
}

static void test_runs_broken(void **state)
{
	struct runs runs = {0};

	(void)state;
	runs_arrived(&runs, 5);
	runs_settled(&runs, 4, true); /* never arrived */
	runs_settled(&runs, 6, true);
	runs_arrived(&runs, 3); /* before the first: ignored */
	runs_settled(&runs, 5, true);
	runs_arrived(&runs, 4000000000); /* the gap counts as absent, and needs no memory of its size */
	runs_settled(&runs, 4000000000, true);
	runs_end(&runs);
	assert_int_equal(runs.count, 1);
	assert_int_equal(runs.longest, 2);
	runs_free(&runs);
}

static void check_rate(const struct rate *rate, const ns_t *at, const enum way *way, unsigned count)
{
	ns_t width = (ns_t)(rate_bin_seconds(rate) * 1e9 + 0.5);
	unsigned counted[WAYS] = {0};

	for (uint32_t i = 0; i < rate->count; i++) {
		const struct rate_bin *bin = &rate->bins[i];
		uint32_t want[WAYS] = {0};

		assert_true(i == 0 || bin->index > rate->bins[i - 1].index);
		assert_in_range(bin->index, 0, RATE_MAX - 1);
		for (unsigned k = 0; k < count; k++)
			want[way[k]] += (uint32_t)((at[k] - rate->from) / width) == bin->index;
		for (int w = 0; w < WAYS; w++) {
			assert_int_equal(bin->datagrams[w], want[w]);
			assert_int_equal(bin->bytes[w], 10 * want[w]);
			counted[w] += bin->datagrams[w];
		}
	}
	assert_int_equal(counted[WAY_UP] + counted[WAY_DOWN], count);
}

/* Sessions last seconds to years; now and then a datagram is a little older than the one before. */
static void test_rate(void **state)
{
	struct dice dice = {5};

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		ns_t step = NS_MS << roll(&dice, 36), now = 1000 * NS_S, at[DATAGRAMS];
		enum way way[DATAGRAMS];
		struct rate rate = {0};

		for (unsigned i = 0; i < DATAGRAMS; i++) {
			at[i] = now;
			if (i > 1 && once_in(&dice, 10))
				at[i] -= (now - at[0]) / 20;
			way[i] = once_in(&dice, 3) ? WAY_DOWN : WAY_UP;
			rate_add(&rate, way[i], 10, at[i]);
			now += step / 16 * roll(&dice, 16);
		}
		check_rate(&rate, at, way, DATAGRAMS);
		rate_end(&rate, DATAGRAMS);
		check_rate(&rate, at, way, DATAGRAMS);
		rate_free(&rate);
	}
}

/* A session of three datagrams in an hour does not get 240 bins. */
static void test_rate_of_few(void **state)
{
	struct rate rate = {0};

	(void)state;
	for (ns_t t = 0; t <= NS_HOUR; t += NS_HOUR / 2)
		rate_add(&rate, WAY_UP, 10, t);
	rate_end(&rate, 3);
	assert_in_range(rate.bins[rate.count - 1].index, 0, RATE_MIN - 1);
	assert_int_equal((int)rate_bin_seconds(&rate), 600);
	rate_free(&rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_runs),
	    cmocka_unit_test(test_runs_broken),
	    cmocka_unit_test(test_rate),
	    cmocka_unit_test(test_rate_of_few),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
