/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passage: whether and when a datagram leaves a link, in virtual time.
 *
 * Covered: latency and order; bottleneck, queue and overhead; traces; radio sleep.
 */
#include "test/unit/link_bench.h"

#include <unistd.h>

/* ---- Latency and order ---- */

static void test_clean(void **state)
{
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "");
	for (uint32_t n = 1; n <= 10; n++) {
		cross(&bench, WAY_DOWN, n, 1400, n, &result);
		assert_int_equal(result.reason, REASON_NONE);
		assert_int_equal(result.due, n);
		assert_int_equal(result.passage.outcome, PASSAGE_LEAVES);
	}
	bench_fini(&bench);
}

static void test_order_keep(void **state)
{
	ns_t last = 0;
	unsigned waited = 0;
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "latency = 60ms\njitter = 50ms\n");
	for (uint32_t n = 1; n <= MANY; n++) {
		ns_t now = n * NS_MS, own;

		cross(&bench, WAY_UP, n, 100, now, &result);
		own = now + result.plan.lag;
		assert_in_range(result.plan.lag, 10 * NS_MS, 110 * NS_MS);
		/* It leaves at its own time or at that of the one before: nothing else makes it wait. */
		assert_int_equal(result.due, own > last ? own : last);
		waited += own < last;
		last = result.due;
	}
	assert_true(waited > MANY / 2); /* 1 ms apart with ±50 ms of jitter, most would overtake */
	bench_fini(&bench);
}

static void test_order_free(void **state)
{
	ns_t last = 0;
	unsigned overtook = 0;
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "latency = 60ms\njitter = 50ms\norder = free\n");
	for (uint32_t n = 1; n <= 1000; n++) {
		cross(&bench, WAY_UP, n, 100, n * NS_MS, &result);
		assert_int_equal(result.due, n * NS_MS + result.plan.lag);
		overtook += result.due < last;
		last = result.due;
	}
	assert_true(overtook > 100);
	bench_fini(&bench);
}

/* A late copy does not make others wait, but does not overtake either. */
static void test_order_of_copies(void **state)
{
	struct bench bench;
	struct result result;
	struct plan plan = {.lag = 90 * NS_MS};
	struct passage passage;

	(void)state;
	bench_init(&bench, "latency = 10ms\n");
	plan.link = &bench.state;
	cross(&bench, WAY_UP, 1, 100, 0, &result);
	link_enter(&bench.state, LINK_COPY, bench.datagram, &plan, 0, &passage);
	assert_int_equal(passage.due, 90 * NS_MS);
	cross(&bench, WAY_UP, 2, 100, NS_MS, &result);
	assert_int_equal(result.due, 11 * NS_MS);
	plan.lag = 0;
	link_enter(&bench.state, LINK_COPY, bench.datagram, &plan, 2 * NS_MS, &passage);
	assert_int_equal(passage.due, 11 * NS_MS);
	bench_fini(&bench);
}

/* Each way keeps its own order. */
static void test_order_by_way(void **state)
{
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "up.latency = 1s\ndown.latency = 1ms\n");
	cross(&bench, WAY_UP, 1, 100, 0, &result);
	assert_int_equal(result.due, NS_S);
	cross(&bench, WAY_DOWN, 1, 100, 0, &result);
	assert_int_equal(result.due, NS_MS);
	bench_fini(&bench);
}

static void test_jitter_is_cut_at_0(void **state)
{
	enum { TRIES = 100000 };
	unsigned zero = 0;
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "jitter = 10ms\norder = free\n");
	for (uint32_t n = 1; n <= TRIES; n++) {
		decide(&bench, WAY_UP, n, 100, &result);
		assert_in_range(result.plan.lag, 0, 10 * NS_MS);
		zero += result.plan.lag == 0;
	}
	assert_near(zero / (double)TRIES, 0.5, share_bound(0.5, TRIES));
	bench_fini(&bench);
}

/* ---- Bottleneck ---- */

static void test_rate(void **state)
{
	const double each = (500 + 28) * 8 / 18000.0; /* seconds on the wire */
	struct bench bench;
	struct result result;
	ns_t last = 0;

	(void)state;
	bench_init(&bench, "rate = 18kbit\n");
	for (uint32_t n = 1; n <= 100; n++) {
		cross(&bench, WAY_UP, n, 500, 0, &result);
		assert_int_equal(result.reason, REASON_NONE);
		assert_true(result.due > last);
		assert_near((double)result.due / 1e9, n * each, n * each * 1e-3);
		last = result.due;
	}
	/* An idle wire serves at once. */
	cross(&bench, WAY_UP, 101, 500, 100 * NS_S, &result);
	assert_near((double)(result.due - 100 * NS_S) / 1e9, each, each * 1e-3);
	bench_fini(&bench);
}

/* Each row sends `burst` datagrams of `size` at once; `pass` of them, the first ones, get through. */
static void test_queue(void **state)
{
	static const struct {
		const char *keys;
		uint32_t size;
		unsigned burst, pass;
	} rows[] = {
	    {"rate = 18kbit\nqueue = 50p\n", 500, 100, 51}, /* the one on the wire does not wait */
	    {"rate = 18kbit\nqueue = 0p\n", 500, 10, 1},
	    {"rate = 18kbit\nqueue = 1000B\n", 100, 100, 11}, /* 10 wait: payload counts, headers do not */
	    {"rate = 18kbit\nqueue = 999B\n", 100, 100, 10},
	    {"rate = 18kbit\nqueue = 2s\n", 500, 100, 9},    /* 234.67 ms each: the ninth waits 1.88 s */
	    {"packet_time = 1s\nqueue = 2s\n", 500, 100, 3}, /* waits of 0, 1 s and 2 s: 2 s still fits */
	    {"packet_time = 1s\nqueue = 3p\n", 500, 100, 4},
	    {"rate = 1Mbit\n", 10, 1500, 1001},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bench bench;
		struct result result;

		bench_init(&bench, rows[i].keys);
		for (uint32_t n = 1; n <= rows[i].burst; n++) {
			cross(&bench, WAY_UP, n, rows[i].size, 0, &result);
			assert_int_equal(result.reason, n <= rows[i].pass ? REASON_NONE : REASON_QUEUE);
		}
		bench_fini(&bench);
	}
}

/* When the wire takes a datagram, the queue has room for another; a dropped one does not use the wire. */
static void test_queue_drains(void **state)
{
	static const struct {
		ns_t at_ms, due_ms; /* due 0: dropped */
	} steps[] = {{0, 1000}, {0, 2000}, {0, 3000}, {0, 0}, {999, 0}, {1000, 4000}, {1000, 0}, {1500, 0},
	    {2000, 5000}, {2999, 0}, {5001, 6001}, {5001, 7001}, {5001, 8001}, {5001, 0}};
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "packet_time = 1s\nqueue = 2p\n");
	for (uint32_t i = 0; i < COUNT(steps); i++) {
		cross(&bench, WAY_UP, i + 1, 100, steps[i].at_ms * NS_MS, &result);
		assert_int_equal(result.reason, steps[i].due_ms ? REASON_NONE : REASON_QUEUE);
		if (steps[i].due_ms)
			assert_int_equal(result.due, steps[i].due_ms * NS_MS);
	}
	bench_fini(&bench);
}

/* At 8 kbit/s a byte takes a millisecond. */
static void test_overhead(void **state)
{
	static const struct {
		const char *keys;
		uint32_t header;
		ns_t due_ms;
	} rows[] = {{"rate = 8kbit\n", 28, 128}, {"rate = 8kbit\n", 48, 148},
	    {"rate = 8kbit\noverhead = ip\n", 28, 128}, {"rate = 8kbit\noverhead = 0\n", 28, 100},
	    {"rate = 8kbit\noverhead = 100B\n", 48, 200}, {"rate = 8kbit\npacket_time = 5ms\n", 28, 133},
	    {"packet_time = 5ms\n", 28, 5}, {"rate = 8kbit\nlatency = 1s\n", 28, 1128},
	    {"down.rate = 8kbit\n", 28, 0}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bench bench;
		struct result result;

		bench_at(&bench, rows[i].keys, rows[i].header, 0);
		cross(&bench, WAY_UP, 1, 100, 0, &result);
		assert_int_equal(result.due, rows[i].due_ms * NS_MS);
		bench_fini(&bench);
	}
}

static void test_loss_at(void **state)
{
	static const struct {
		const char *keys;
		bool uses;
	} rows[] = {{"packet_time = 1s\nloss = 40%\nloss_at = exit\n", true},
	    {"packet_time = 1s\nloss = 40%\nloss_at = entry\n", false}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bench bench;
		struct result result;
		unsigned served = 0, lost = 0;

		bench_init(&bench, rows[i].keys);
		for (uint32_t n = 1; n <= 500; n++) {
			cross(&bench, WAY_UP, n, 100, 0, &result);
			served += rows[i].uses || !result.reason;
			lost += result.reason == REASON_LOSS;
			if (!result.reason)
				assert_int_equal(result.due, served * NS_S);
		}
		assert_near(lost / 500.0, 0.4, share_bound(0.4, 500));
		bench_fini(&bench);
	}
}

/* ---- Traces ---- */

static char trace_folder[] = "/tmp/deadzone-passage-XXXXXX";

static int folder_make(void **state)
{
	(void)state;
	return mkdtemp(trace_folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/trace", trace_folder);
	unlink(path);
	return rmdir(trace_folder);
}

static void trace_bench(struct bench *bench, const char *stamps, const char *more, ns_t began)
{
	char path[128], keys[256];
	FILE *out;

	snprintf(path, sizeof(path), "%s/trace", trace_folder);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(stamps, out);
	fclose(out);
	snprintf(keys, sizeof(keys), "trace = %s\n%s", path, more);
	bench_at(bench, keys, 28, began);
}

#define FULL (TRACE_OPPORTUNITY - 28) /* a payload that fills an opportunity */
#define HALF (TRACE_OPPORTUNITY / 2 - 28)

static void test_trace(void **state)
{
	static const struct {
		const char *stamps;
		const char *more;
		struct {
			ns_t at_ms;
			uint32_t size;
			ns_t due_ms; /* 0 with a queue: dropped */
		} steps[8];
	} rows[] = {
	    /* Each timestamp serves one datagram; the trace repeats from its last timestamp on. */
	    {"10\n20\n30\n", "", {{0, FULL, 10}, {0, FULL, 20}, {0, FULL, 30}, {0, FULL, 40}, {0, FULL, 50}}},
	    /* The rest of an opportunity serves the next datagram if it waits already … */
	    {"10\n20\n30\n", "", {{0, HALF, 10}, {0, HALF, 10}, {0, HALF, 20}, {0, FULL, 30}}},
	    /* … but not one that comes later: the rest is lost. */
	    {"10\n20\n30\n", "", {{0, HALF, 10}, {11, FULL, 20}, {12, FULL, 30}}},
	    {"10\n20\n30\n", "", {{25, FULL, 30}, {31, FULL, 40}, {95, FULL, 100}}},
	    /* A large datagram takes several; what is left of the last one serves the next datagram. */
	    {"10\n20\n30\n", "", {{0, 3000, 30}, {0, FULL - 20, 30}, {0, 1, 40}}},
	    {"10\n20\n30\n", "", {{0, 3000, 30}, {0, FULL, 40}}},
	    {"10\n10\n20\n", "", {{0, FULL, 10}, {0, FULL, 10}, {0, FULL, 20}, {0, FULL, 30}, {0, FULL, 30}}},
	    /* CRLF, no newline at the end, a timestamp of 0. */
	    {"0\r\n7\r\n10", "", {{0, FULL, 0}, {0, FULL, 7}, {0, FULL, 10}, {0, FULL, 10}, {0, FULL, 17}}},
	    {"10\n", "overhead = 0\n", {{0, TRACE_OPPORTUNITY, 10}, {0, TRACE_OPPORTUNITY, 20}}},
	    {"10\n", "queue = 1p\n", {{1, FULL, 10}, {1, FULL, 0}, {10, FULL, 20}}},
	    {"10\n", "packet_time = 15ms\n", {{0, FULL, 25}, {0, FULL, 45}}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (ns_t began = 0; began <= 5 * NS_S; began += 5 * NS_S) {
			struct bench bench;
			struct result result;

			trace_bench(&bench, rows[i].stamps, rows[i].more, began);
			for (uint32_t k = 0; k < 8 && rows[i].steps[k].size; k++) {
				bool drops = rows[i].steps[k].due_ms == 0 && strstr(rows[i].more, "queue");

				cross(&bench, WAY_UP, k + 1, rows[i].steps[k].size,
				    began + rows[i].steps[k].at_ms * NS_MS, &result);
				assert_int_equal(result.reason, drops ? REASON_QUEUE : REASON_NONE);
				if (!drops)
					assert_int_equal(result.due - began, rows[i].steps[k].due_ms * NS_MS);
			}
			bench_fini(&bench);
		}
	}
}

/* A slow reference that walks all opportunities from 0 on, with what is left of the current one. */
struct reference {
	const uint32_t *stamps;
	uint32_t count;
	uint64_t at; /* the current opportunity, counted through all cycles */
	uint32_t left;
	ns_t busy;
};

static ns_t reference_time(const struct reference *r)
{
	return ((ns_t)(r->at / r->count * r->stamps[r->count - 1]) + r->stamps[r->at % r->count]) * NS_MS;
}

static ns_t reference_serve(struct reference *r, ns_t now, uint64_t bytes)
{
	ns_t from = now > r->busy ? now : r->busy;

	while (r->left == 0 || reference_time(r) < from) {
		r->at++;
		r->left = TRACE_OPPORTUNITY;
	}
	for (; bytes > r->left; r->at++, r->left = TRACE_OPPORTUNITY)
		bytes -= r->left;
	r->left -= (uint32_t)bytes;
	return r->busy = reference_time(r);
}

/* Sends bursts with silences of every length over traces with timestamps of 0 and repeated timestamps. */
static void test_trace_against_reference(void **state)
{
	static const uint32_t traces[][4] = {{10, 20, 20, 30}, {0, 0, 5, 7}, {5, 10, 10, 10}, {1, 1, 1, 1}};
	static const char *const texts[] = {
	    "10\n20\n20\n30\n", "0\n0\n5\n7\n", "5\n10\n10\n10\n", "1\n1\n1\n1\n"};

	(void)state;
	for (size_t i = 0; i < COUNT(traces); i++) {
		struct reference reference = {.stamps = traces[i], .count = 4, .left = TRACE_OPPORTUNITY};
		struct bench bench;
		struct result result;
		ns_t now = 0;

		trace_bench(&bench, texts[i], "", 0);
		for (uint32_t n = 1; n <= 5000; n++) {
			struct draw draw = chance_draw(i, 0, n, 0);
			uint32_t size = (uint32_t)chance_below(draw, 0, 4000);

			if (chance_hit(draw, 1, 0.3)) /* a third follow a silence of whole ms */
				now += (ns_t)chance_below(draw, 2, 100) * NS_MS;
			if (chance_hit(draw, 3, 0.1))
				now += (ns_t)chance_below(draw, 4, 5 * NS_MS);
			cross(&bench, WAY_UP, n, size, now, &result);
			if (result.reason) /* a datagram that a full queue drops has no due time */
				continue;
			assert_int_equal(result.due, reference_serve(&reference, now, size + 28));
		}
		bench_fini(&bench);
	}
}

/* ---- Sleep ---- */

static void test_wake_delay(void **state)
{
	static const struct {
		enum way way;
		ns_t at_ms, due_ms;
	} steps[] = {
	    {WAY_DOWN, 5000, 5000},   /* awake: the session began 5 s ago */
	    {WAY_DOWN, 14999, 14999}, /* silent for 9.999 s */
	    {WAY_DOWN, 24999, 26999}, /* silent for 10 s: asleep */
	    {WAY_DOWN, 25000, 26999}, /* later ones wait as well, … */
	    {WAY_DOWN, 26999, 26999},
	    {WAY_DOWN, 27000, 27000}, /* … but then the radio is awake */
	    {WAY_UP, 36000, 36000},   /* up has no wake_delay, and keeps the link awake */
	    {WAY_DOWN, 45000, 45000},
	    {WAY_DOWN, 60000, 62000},
	};
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "wake_after = 10s\ndown.wake_delay = 2s\n");
	for (uint32_t i = 0; i < COUNT(steps); i++) {
		cross(&bench, steps[i].way, i + 1, 100, steps[i].at_ms * NS_MS, &result);
		assert_int_equal(result.passage.outcome, PASSAGE_LEAVES);
		assert_int_equal(result.due, steps[i].due_ms * NS_MS);
	}
	bench_fini(&bench);
}

/* The radio's wait comes before the bottleneck: datagrams that waited for the radio queue when it wakes. */
static void test_wake_before_bottleneck(void **state)
{
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "wake_after = 10s\nwake_delay = 2s\npacket_time = 1s\nlatency = 100ms\n");
	for (uint32_t n = 1; n <= 3; n++) {
		cross(&bench, WAY_DOWN, n, 100, 20 * NS_S, &result);
		assert_int_equal(result.due, (22 + (ns_t)n) * NS_S + 100 * NS_MS);
	}
	bench_fini(&bench);
}

static void test_wake_delay_range(void **state)
{
	enum { TRIES = 20000 };
	static double values[TRIES];
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "wake_after = 1s\ndown.wake_delay = 1s-20.48s\n");
	for (uint32_t n = 1; n <= TRIES; n++) {
		ns_t now = n * NS_MIN;

		cross(&bench, WAY_DOWN, n, 100, now, &result);
		assert_in_range(result.due - now, NS_S, 20480 * NS_MS);
		values[n - 1] = (double)(result.due - now - NS_S) / (19.48 * (double)NS_S);
	}
	assert_below(ks_distance(values, TRIES, share_of_unit), ks_bound(TRIES));
	bench_fini(&bench);
}

static void test_wake_next_up(void **state)
{
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "wake_after = 10s\nwake_delay = next-up\n");
	cross(&bench, WAY_DOWN, 1, 100, 9 * NS_S, &result);
	assert_int_equal(result.passage.outcome, PASSAGE_LEAVES);
	for (uint32_t n = 2; n <= 4; n++) {
		cross(&bench, WAY_DOWN, n, 100, (18 + n) * NS_S, &result);
		assert_int_equal(result.passage.outcome, PASSAGE_SLEEPS);
	}
	/* Datagrams from the device do not wait, … */
	cross(&bench, WAY_UP, 1, 100, 40 * NS_S, &result);
	assert_int_equal(result.passage.outcome, PASSAGE_LEAVES);
	assert_int_equal(result.due, 40 * NS_S);
	link_wake(&bench.state, 40 * NS_S);
	/* … and wake the link for ten seconds. */
	cross(&bench, WAY_DOWN, 5, 100, 40 * NS_S, &result);
	assert_int_equal(result.passage.outcome, PASSAGE_LEAVES);
	assert_int_equal(result.due, 40 * NS_S);
	cross(&bench, WAY_DOWN, 6, 100, 50 * NS_S, &result);
	assert_int_equal(result.passage.outcome, PASSAGE_SLEEPS);
	bench_fini(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_clean),
	    cmocka_unit_test(test_order_keep),
	    cmocka_unit_test(test_order_free),
	    cmocka_unit_test(test_order_of_copies),
	    cmocka_unit_test(test_order_by_way),
	    cmocka_unit_test(test_jitter_is_cut_at_0),
	    cmocka_unit_test(test_rate),
	    cmocka_unit_test(test_queue),
	    cmocka_unit_test(test_queue_drains),
	    cmocka_unit_test(test_overhead),
	    cmocka_unit_test(test_loss_at),
	    cmocka_unit_test(test_trace),
	    cmocka_unit_test(test_trace_against_reference),
	    cmocka_unit_test(test_wake_delay),
	    cmocka_unit_test(test_wake_before_bottleneck),
	    cmocka_unit_test(test_wake_delay_range),
	    cmocka_unit_test(test_wake_next_up),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
