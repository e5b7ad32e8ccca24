/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link: what a link decides about a datagram when it arrives.
 *
 * Covered: shares of loss, runs, reordering, duplication and corruption; the chains (Gilbert, AR(1)) and that
 * they step once for every ordinal; mtu; copies; draws by name.
 */
#include "test/unit/link_bench.h"

/* ---- Loss ---- */

static void test_loss_share(void **state)
{
	static const struct {
		const char *keys;
		double share;
	} rows[] = {
	    {"loss = 10%\n", 0.1}, {"loss = 0.5%\n", 0.005}, {"loss = 100%\n", 1}, {"down.loss = 7%\n", 0}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bench bench;
		struct result result;
		unsigned lost = 0;

		bench_init(&bench, rows[i].keys);
		for (uint32_t n = 1; n <= MANY; n++) {
			decide(&bench, WAY_UP, n, 100, &result);
			lost += result.reason == REASON_LOSS;
		}
		assert_near(lost / (double)MANY, rows[i].share, share_bound(rows[i].share, MANY));
		bench_fini(&bench);
	}
}

/* For one ordinal, the two ways and two sessions have independent draws. */
static void test_loss_independent(void **state)
{
	struct bench a, b;
	struct result up, down, other;
	unsigned ways = 0, sessions = 0;

	(void)state;
	bench_init(&a, "loss = 20%\n");
	bench_init(&b, "loss = 20%\n");
	b.user.key = KEY + 1;
	for (uint32_t n = 1; n <= MANY; n++) {
		decide(&a, WAY_UP, n, 100, &up);
		decide(&a, WAY_DOWN, n, 100, &down);
		decide(&b, WAY_UP, n, 100, &other);
		ways += up.reason && down.reason;
		sessions += up.reason && other.reason;
	}
	assert_near(ways / (double)MANY, 0.04, share_bound(0.04, MANY));
	assert_near(sessions / (double)MANY, 0.04, share_bound(0.04, MANY));
	bench_fini(&a);
	bench_fini(&b);
}

#define CELLS 21

/* Returns chi-square of run lengths against the geometric distribution of parameter `end`; the last cell
 * takes the rest. */
static double runs_chi(const unsigned *cells, unsigned runs, double end)
{
	double chi = 0, left = 1;

	for (unsigned i = 0; i < CELLS; i++) {
		double share = i + 1 < CELLS ? left * end : left;
		double want = share * runs;

		chi += (cells[i] - want) * (cells[i] - want) / want;
		left -= share;
	}
	return chi;
}

static void test_loss_run(void **state)
{
	const double share = 0.05, run = 4, memory = 1 - 1 / run - share / (run * (1 - share));
	/* The variance of losses in a chain of eigenvalue λ is (1 + λ) / (1 - λ) times that of independent
	 * ones. */
	const double bound = share_bound(share, MANY * (1 - memory) / (1 + memory));
	unsigned cells[CELLS] = {0}, lost = 0, runs = 0, length = 0;
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "loss = 5%\nloss_run = 4\n");
	for (uint32_t n = 1; n <= MANY; n++) {
		decide(&bench, WAY_UP, n, 100, &result);
		if (result.reason == REASON_LOSS) {
			lost++;
			length++;
		} else if (length) {
			cells[length < CELLS ? length - 1 : CELLS - 1]++;
			runs++;
			length = 0;
		}
	}
	assert_near(lost / (double)MANY, share, bound);
	/* A geometric distribution of mean 4 has the deviation √(1 - 1/4) · 4. */
	assert_near((lost - length) / (double)runs, run, SIGMAS * sqrt(0.75) * 4 / sqrt(runs));
	assert_below(runs_chi(cells, runs, 1 / run), chi_bound(CELLS - 1));
	bench_fini(&bench);
}

/* The shortest run that the check allows is that of independent losses: the chain must have no memory. */
static void test_loss_run_least(void **state)
{
	struct bench bench;
	struct result result;
	unsigned lost = 0, both = 0;
	bool before = false;

	(void)state;
	bench_init(&bench, "loss = 20%\nloss_run = 1.25\n");
	for (uint32_t n = 1; n <= MANY; n++) {
		decide(&bench, WAY_UP, n, 100, &result);
		lost += result.reason == REASON_LOSS;
		both += result.reason == REASON_LOSS && before;
		before = result.reason == REASON_LOSS;
	}
	assert_near(lost / (double)MANY, 0.2, share_bound(0.2, MANY));
	assert_near(both / (double)MANY, 0.04, share_bound(0.04, MANY));
	bench_fini(&bench);
}

static void test_gilbert_elliott(void **state)
{
	const double bad = 2.0 / 12, share = 0.8 * bad + 0.01 * (1 - bad), memory = 1 - 0.12;
	const double apart = 0.79 * 0.79 * bad * (1 - bad); /* variance that comes from the state */
	const double variance = share * (1 - share) + 2 * apart * memory / (1 - memory);
	struct bench bench;
	struct result result;
	unsigned lost = 0, both = 0;
	bool before = false;

	(void)state;
	bench_init(&bench, "gilbert_elliott = 2% 10% 80% 1%\n");
	for (uint32_t n = 1; n <= MANY; n++) {
		decide(&bench, WAY_UP, n, 100, &result);
		lost += result.reason == REASON_LOSS;
		both += result.reason == REASON_LOSS && before;
		before = result.reason == REASON_LOSS;
	}
	assert_near(lost / (double)MANY, share, SIGMAS * sqrt(variance / MANY));
	/* The share of two in a row is the product plus the state's covariance over one step. The bound for
	 * the share is wide enough: pairs are rarer than losses and come in the same clusters. */
	assert_near(both / (double)MANY, share * share + apart * memory, SIGMAS * sqrt(variance / MANY));
	bench_fini(&bench);
}

/* A session is as likely to begin in the bad state as to be in it later. */
static void test_gilbert_begins_stationary(void **state)
{
	struct bench bench;
	struct result result;
	unsigned lost = 0;

	(void)state;
	bench_init(&bench, "gilbert_elliott = 1% 3%\n");
	for (uint64_t i = 0; i < 100000; i++) {
		bench.state.ways[WAY_UP].chains.n = 0;
		bench.user.key = chance_mix(i);
		decide(&bench, WAY_UP, 1, 100, &result);
		lost += result.reason == REASON_LOSS;
	}
	assert_near(lost / 1e5, 0.25, share_bound(0.25, 1e5));
	bench_fini(&bench);
}

/* ---- Chains ---- */

static void test_correlation(void **state)
{
	static double scores[MANY];
	const double rho = 0.7;
	double sum = 0, squares = 0;
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(
	    &bench, "latency = 10s\njitter = 1s\ndistribution = normal\ncorrelation = 70%\norder = free\n");
	for (uint32_t n = 1; n <= MANY; n++) {
		decide(&bench, WAY_UP, n, 100, &result);
		scores[n - 1] = (double)(result.plan.lag - 10 * NS_S) / (double)NS_S;
		sum += scores[n - 1];
		squares += scores[n - 1] * scores[n - 1];
	}
	/* A mean of AR(1) values spreads like that of n (1 - ρ) / (1 + ρ) independent ones; for their squares
	 * ρ² takes the place of ρ. */
	assert_near(sum / MANY, 0, SIGMAS * sqrt((1 + rho) / (1 - rho) / MANY));
	assert_near(squares / MANY, 1, SIGMAS * sqrt(2 * (1 + rho * rho) / (1 - rho * rho) / MANY));
	for (unsigned lag = 1; lag <= 3; lag++) {
		double products = 0;

		for (uint32_t i = lag; i < MANY; i++)
			products += scores[i] * scores[i - lag];
		/* Bartlett: a correlation's variance is below (1 + ρ²) / (1 - ρ²) / n. */
		assert_near(products / squares, pow(rho, lag),
		    SIGMAS * sqrt((1 + rho * rho) / (1 - rho * rho) / MANY));
	}
	bench_fini(&bench);
}

/* Whatever the correlation, each value by itself has the configured distribution. */
static void test_correlation_keeps_distribution(void **state)
{
	enum { APART = 20, VALUES = 20000 }; /* 0.7^20 = 0.0008: as good as independent */
	static double values[VALUES];
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "latency = 2s\njitter = 1s\ncorrelation = 70%\norder = free\n");
	for (uint32_t i = 0; i < VALUES; i++) {
		decide(&bench, WAY_UP, (i + 1) * APART, 100, &result);
		values[i] = (double)(result.plan.lag - NS_S) / (double)(2 * NS_S);
	}
	assert_below(ks_distance(values, VALUES, share_of_unit), ks_bound(VALUES));
	bench_fini(&bench);
}

/* Datagrams that never reached the link step its chains all the same. */
static void test_chains_step_for_all(void **state)
{
	static const uint32_t stops[] = {1, 2, 3, 10, 11, 100, 1000, 4321, 100000};
	const char *keys =
	    "loss = 30%\nloss_run = 20\nlatency = 9s\njitter = 1s\ndistribution = normal\ncorrelation = 90%\n"
	    "loss_at = exit\n";
	struct bench all, some;
	struct result a, b;
	uint32_t n = 0;

	(void)state;
	bench_init(&all, keys);
	bench_init(&some, keys);
	for (size_t i = 0; i < COUNT(stops); i++) {
		while (n < stops[i])
			decide(&all, WAY_UP, ++n, 100, &a);
		decide(&some, WAY_UP, n, 100, &b);
		assert_int_equal(all.state.ways[WAY_UP].chains.bad, some.state.ways[WAY_UP].chains.bad);
		assert_int_equal(a.plan.lost_at_exit, b.plan.lost_at_exit);
		assert_int_equal(a.plan.lag, b.plan.lag);
	}
	bench_fini(&all);
	bench_fini(&some);
}

/* Datagrams that a blackout held come after later ordinals, but get the chain states of their own. */
static void test_chains_step_back(void **state)
{
	const char *keys =
	    "loss = 30%\nloss_run = 20\nlatency = 9s\njitter = 1s\ndistribution = normal\ncorrelation = 90%\n"
	    "loss_at = exit\n";
	enum { COUNT_MAX = 300 };
	struct result first[COUNT_MAX + 1], again;
	unsigned lost = 0;
	struct bench bench;

	(void)state;
	bench_init(&bench, keys);
	for (uint32_t n = 1; n <= COUNT_MAX; n++) {
		decide(&bench, WAY_UP, n, 100, &first[n]);
		lost += first[n].plan.lost_at_exit;
	}
	assert_in_range(lost, 1, COUNT_MAX - 1);
	for (uint32_t n = COUNT_MAX; n >= 1; n--) {
		decide(&bench, WAY_UP, n, 100, &again);
		assert_int_equal(first[n].plan.lost_at_exit, again.plan.lost_at_exit);
		assert_int_equal(first[n].plan.lag, again.plan.lag);
	}
	bench_fini(&bench);
}

/* A copy uses the chain states of its original, and does not change them. */
static void test_copies_do_not_step(void **state)
{
	const char *keys =
	    "gilbert_elliott = 20% 30%\nlatency = 9s\njitter = 1s\ndistribution = normal\ncorrelation = 50%\n"
	    "loss_at = exit\n";
	struct bench plain, copied;
	struct result a, b, copy;
	struct plan plan;

	(void)state;
	bench_init(&plain, keys);
	bench_init(&copied, keys);
	for (uint32_t n = 1; n <= 10000; n++) {
		decide(&plain, WAY_UP, n, 100, &a);
		decide(&copied, WAY_UP, n, 100, &b);
		assert_int_equal(a.plan.lag, b.plan.lag);
		assert_int_equal(a.plan.lost_at_exit, b.plan.lost_at_exit);

		copy = (struct result){.plan = {.salt = 7, .chained_at = n}};
		link_decide(&copied.state, LINK_COPY, copied.datagram, &copy.plan, &copy.decision);
		/* Loss is 100% in the bad state and 0% in the good one: only the state decides. */
		assert_int_equal(copy.plan.lost_at_exit, b.plan.lost_at_exit);
		assert_int_equal(copy.plan.lag, b.plan.lag);
		assert_false(copy.decision.twice);
		plan = (struct plan){.salt = 8};
		link_decide_copy(&copied.state, copied.datagram, &plan);
		assert_int_equal(plan.lost_at_exit, b.plan.lost_at_exit);
	}
	bench_fini(&plain);
	bench_fini(&copied);
}

/* Without a chain a copy has draws of its own: it is lost independently of the original. */
static void test_copies_have_own_draws(void **state)
{
	enum { TRIES = 200000 };
	unsigned both = 0, copies = 0, same = 0;
	struct bench bench;
	struct result original, copy;

	(void)state;
	bench_init(&bench, "loss = 50%\nloss_at = exit\nlatency = 1s\njitter = 1s\n");
	for (uint32_t n = 1; n <= TRIES; n++) {
		decide(&bench, WAY_UP, n, 100, &original);
		copy = (struct result){.plan = {.salt = 7}};
		link_decide(&bench.state, LINK_COPY, bench.datagram, &copy.plan, &copy.decision);
		copies += copy.plan.lost_at_exit;
		both += copy.plan.lost_at_exit && original.plan.lost_at_exit;
		same += copy.plan.lag == original.plan.lag;
	}
	assert_near(copies / (double)TRIES, 0.5, share_bound(0.5, TRIES));
	assert_near(both / (double)TRIES, 0.25, share_bound(0.25, TRIES));
	assert_in_range(same, 0, 2); /* two draws from 2·10^9 nanoseconds hardly ever coincide */
	bench_fini(&bench);
}

/* ---- Reordering, duplication, corruption ---- */

static void test_shares(void **state)
{
	unsigned reordered = 0, twice = 0, corrupted = 0, all = 0;
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "reorder = 30%\nduplicate = 20%\ncorrupt = 10%\n");
	for (uint32_t n = 1; n <= MANY; n++) {
		decide(&bench, WAY_UP, n, 100, &result);
		reordered += result.plan.reordered;
		twice += result.decision.twice;
		corrupted += result.decision.corrupted;
		all += result.plan.reordered && result.decision.twice && result.decision.corrupted;
	}
	assert_near(reordered / (double)MANY, 0.3, share_bound(0.3, MANY));
	assert_near(twice / (double)MANY, 0.2, share_bound(0.2, MANY));
	assert_near(corrupted / (double)MANY, 0.1, share_bound(0.1, MANY));
	assert_near(all / (double)MANY, 0.006, share_bound(0.006, MANY));
	bench_fini(&bench);
}

#define CORRUPT_SIZE 40

static void test_corrupt_one_bit(void **state)
{
	unsigned positions[CORRUPT_SIZE * 8] = {0};
	const double tries = 200000, each = tries / (CORRUPT_SIZE * 8);
	double chi = 0;
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "corrupt = 100%\n");
	for (uint32_t n = 1; n <= (uint32_t)tries; n++) {
		unsigned flipped = 0;

		memset(bench.datagram->bytes, 0x5a, CORRUPT_SIZE + 1);
		decide(&bench, WAY_UP, n, CORRUPT_SIZE, &result);
		for (unsigned bit = 0; bit < CORRUPT_SIZE * 8; bit++) {
			if (!((bench.datagram->bytes[bit / 8] ^ 0x5a) >> bit % 8 & 1))
				continue;
			flipped++;
			positions[bit]++;
			assert_int_equal(result.decision.mutation.byte, bit / 8);
			assert_int_equal(result.decision.mutation.value, bit % 8);
		}
		assert_int_equal(flipped, 1);
		assert_int_equal(bench.datagram->bytes[CORRUPT_SIZE], 0x5a);
		assert_int_equal(result.decision.mutation.kind, MUTATION_CORRUPT);
	}
	for (unsigned bit = 0; bit < CORRUPT_SIZE * 8; bit++)
		chi += (positions[bit] - each) * (positions[bit] - each) / each;
	assert_below(chi, chi_bound(CORRUPT_SIZE * 8 - 1));
	decide(&bench, WAY_UP, 1, 0, &result); /* there is no bit to flip */
	assert_false(result.decision.corrupted);
	bench_fini(&bench);
}

/* The reordered datagram is the late one: it is held, and later ones do not wait for it. */
static void test_reorder(void **state)
{
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "reorder = 100%\nreorder_by = 3p\nreorder_wait = 250ms\nlatency = 10ms\n");
	cross(&bench, WAY_UP, 1, 100, 0, &result);
	assert_int_equal(result.due, 10 * NS_MS);
	assert_int_equal(result.passage.hold, 3);
	assert_int_equal(result.passage.hold_max, 250 * NS_MS);
	bench_fini(&bench);

	bench_init(&bench, "reorder = 100%\nreorder_by = 30ms\nlatency = 10ms\n");
	for (uint32_t n = 1; n <= 3; n++) {
		ns_t now = n * NS_MS;

		cross(&bench, WAY_UP, n, 100, now, &result);
		assert_int_equal(result.due, now + 40 * NS_MS);
		assert_int_equal(result.passage.hold, 0);
		/* A datagram that is not reordered overtakes it. */
		result.plan.reordered = false;
		enter(&bench, WAY_UP, now, &result);
		assert_int_equal(result.due, now + 10 * NS_MS);
	}
	bench_fini(&bench);

	bench_init(&bench, "reorder = 100%\n");
	cross(&bench, WAY_UP, 1, 100, 0, &result);
	assert_int_equal(result.passage.hold, 1);
	assert_int_equal(result.passage.hold_max, NS_S);
	bench_fini(&bench);
}

/* ---- mtu ---- */

static void test_mtu(void **state)
{
	static const struct {
		uint32_t header, size;
		enum reason reason;
	} rows[] = {{28, 72, REASON_NONE}, {28, 73, REASON_MTU}, {48, 52, REASON_NONE}, {48, 53, REASON_MTU},
	    {28, 0, REASON_NONE}, {28, 65507, REASON_MTU}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bench bench;
		struct result result;

		bench_at(&bench, "mtu = 100\n", rows[i].header, 0);
		cross(&bench, WAY_UP, 1, rows[i].size, 0, &result);
		assert_int_equal(result.reason, rows[i].reason);
		bench_fini(&bench);
	}
}

/* ---- Draws ---- */

/* A link's draws depend on its name: another section of the file changes nothing. */
static void test_draws_by_name(void **state)
{
	static const char *const texts[] = {
	    "[link x]\nloss = 50%\n", "[link y]\nloss = 50%\n[link x]\nloss = 50%\n"};
	struct given given[2];
	const struct link_user user = {.key = KEY, .header = 28};
	struct link_state states[3];
	struct pool *pool = pool_new();
	struct datagram *datagram = pool_get(pool, 100);
	struct link_decision decisions[3];
	unsigned same = 0;

	(void)state;
	given_read(&given[0], texts[0]);
	given_read(&given[1], texts[1]);
	link_state_init(&states[0], &given[0].config->links[1], &user);
	link_state_init(&states[1], &given[1].config->links[2], &user);
	link_state_init(&states[2], &given[1].config->links[1], &user);
	for (uint32_t n = 1; n <= 100000; n++) {
		datagram->n = n;
		for (int i = 0; i < 3; i++) {
			struct plan plan = {0};

			link_decide(&states[i], LINK_ORIGINAL, datagram, &plan, &decisions[i]);
		}
		assert_int_equal(decisions[0].reason, decisions[1].reason);
		same += decisions[1].reason == decisions[2].reason;
	}
	assert_near(same / 1e5, 0.5, share_bound(0.5, 1e5));
	pool_free(pool);
	given_free(&given[0]);
	given_free(&given[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_loss_share),
	    cmocka_unit_test(test_loss_independent),
	    cmocka_unit_test(test_loss_run),
	    cmocka_unit_test(test_loss_run_least),
	    cmocka_unit_test(test_gilbert_elliott),
	    cmocka_unit_test(test_gilbert_begins_stationary),
	    cmocka_unit_test(test_correlation),
	    cmocka_unit_test(test_correlation_keeps_distribution),
	    cmocka_unit_test(test_chains_step_for_all),
	    cmocka_unit_test(test_chains_step_back),
	    cmocka_unit_test(test_copies_do_not_step),
	    cmocka_unit_test(test_copies_have_own_draws),
	    cmocka_unit_test(test_shares),
	    cmocka_unit_test(test_corrupt_one_bit),
	    cmocka_unit_test(test_reorder),
	    cmocka_unit_test(test_mtu),
	    cmocka_unit_test(test_draws_by_name),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
