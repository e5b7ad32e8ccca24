/*
 * link: what a link decides, and when a datagram leaves it, in virtual time.
 *
 * Proven: shares of loss, runs, reordering, duplication and corruption; the chains (Gilbert, AR(1)) and that
 * they step once for every ordinal; mtu; order; bottleneck, queue and overhead; traces; radio sleep; copies.
 */
#include "test/unit/unit.h"

#include <unistd.h>

#include "rules/link.h"

#define MANY 1000000u
#define KEY UINT64_C(0x5eed)

/* A link made from keys, one session's state on it, and one datagram to send again and again. */
struct bench {
	struct given given;
	struct link_user user;
	struct link_state state;
	struct pool *pool;
	struct datagram *datagram;
};

/* What became of one datagram. */
struct result {
	struct plan plan;
	struct link_decision decision;
	struct passage passage;
	enum reason reason;
	ns_t due;
};

static void bench_at(struct bench *bench, const char *keys, uint32_t header, ns_t began)
{
	char text[2048];

	snprintf(text, sizeof(text), "[link x]\n%s", keys);
	given_read(&bench->given, text);
	assert_int_equal(complaints_count(bench->given.complaints, COMPLAINT_ERROR), 0);
	assert_int_equal(bench->given.config->link_count, 2);
	bench->user = (struct link_user){.key = KEY, .header = header, .began = began};
	link_state_init(&bench->state, &bench->given.config->links[1], &bench->user);
	bench->pool = pool_new();
	bench->datagram = pool_get(bench->pool, DATAGRAM_MAX);
	memset(bench->datagram->bytes, 0, DATAGRAM_MAX);
}

static void bench_init(struct bench *bench, const char *keys)
{
	bench_at(bench, keys, 28, 0);
}

static void bench_fini(struct bench *bench)
{
	link_state_fini(&bench->state);
	pool_free(bench->pool);
	given_free(&bench->given);
}

static void decide(struct bench *bench, enum way way, uint32_t n, uint32_t size, struct result *result)
{
	*result = (struct result){0};
	bench->datagram->way = (uint8_t)way;
	bench->datagram->n = n;
	bench->datagram->size = size;
	link_decide(&bench->state, LINK_ORIGINAL, bench->datagram, &result->plan, &result->decision);
	result->reason = result->decision.reason;
}

static void enter(struct bench *bench, enum way way, ns_t now, struct result *result)
{
	bench->datagram->way = (uint8_t)way;
	link_enter(&bench->state, LINK_ORIGINAL, bench->datagram, &result->plan, now, &result->passage);
	result->due = result->passage.due;
	result->reason = result->passage.outcome == PASSAGE_DROPPED ? result->passage.reason : REASON_NONE;
}

static void cross(
    struct bench *bench, enum way way, uint32_t n, uint32_t size, ns_t now, struct result *result)
{
	decide(bench, way, n, size, result);
	if (!result->reason)
		enter(bench, way, now, result);
}

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

/* Of one ordinal, the two ways and two sessions have luck of their own. */
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

/* Chi-square of run lengths against the geometric that ends with chance `end`; the last cell takes the rest.
 */
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
	/* Losses in a chain of eigenvalue λ spread like fewer independent ones, by (1 + λ) / (1 - λ). */
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
	/* A geometric of mean 4 has the deviation √(1 - 1/4) · 4. */
	assert_near((lost - length) / (double)runs, run, SIGMAS * sqrt(0.75) * 4 / sqrt(runs));
	assert_below(runs_chi(cells, runs, 1 / run), chi_bound(CELLS - 1));
	bench_fini(&bench);
}

/* The least run that the check allows is that of independent losses: the chain must then have no memory. */
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
	/* Two in a row: the product, and the state's variance that lasts one step. The same bound as for the
	 * share is wide enough: pairs are rarer than losses and come in the same clusters. */
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
		bench.state.ways[WAY_UP].stepped = 0;
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
	/* A mean of AR(1) values spreads as that of n (1 - ρ) / (1 + ρ) independent ones, their squares with
	 * ρ². */
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

static double share_of_unit(double x)
{
	return fmin(fmax(x, 0), 1);
}

/* Whatever the correlation, each value by itself has the distribution that was asked for. */
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

/* Datagrams that never came to the link step its chains all the same. */
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
		assert_int_equal(all.state.ways[WAY_UP].bad, some.state.ways[WAY_UP].bad);
		assert_int_equal(a.plan.lost_at_exit, b.plan.lost_at_exit);
		assert_int_equal(a.plan.lag, b.plan.lag);
	}
	bench_fini(&all);
	bench_fini(&some);
}

/* A copy lives on the state that its original found, and leaves it as it is. */
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

		copy = (struct result){.plan = {.salt = 7}};
		link_decide(&copied.state, LINK_COPY, copied.datagram, &copy.plan, &copy.decision);
		/* Loss in bad is 100%, in good 0%: only the state decides. */
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

/* Without a chain a copy's draws are its own: as often lost as any, whatever became of the original. */
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
	assert_in_range(same, 0, 2); /* of 2·10^9 nanoseconds two draws are hardly ever the same */
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
			assert_int_equal(result.decision.deed.byte, bit / 8);
			assert_int_equal(result.decision.deed.value, bit % 8);
		}
		assert_int_equal(flipped, 1);
		assert_int_equal(bench.datagram->bytes[CORRUPT_SIZE], 0x5a);
		assert_int_equal(result.decision.deed.kind, DEED_CORRUPT);
	}
	for (unsigned bit = 0; bit < CORRUPT_SIZE * 8; bit++)
		chi += (positions[bit] - each) * (positions[bit] - each) / each;
	assert_below(chi, chi_bound(CORRUPT_SIZE * 8 - 1));
	decide(&bench, WAY_UP, 1, 0, &result); /* there is no bit to flip */
	assert_false(result.decision.corrupted);
	bench_fini(&bench);
}

/* The late one is the reordered one: it is held, and those behind it do not wait for it. */
static void test_reorder(void **state)
{
	struct bench bench;
	struct result result;

	(void)state;
	bench_init(&bench, "reorder = 100%\nreorder_by = 3p\nreorder_wait = 250ms\nlatency = 10ms\n");
	cross(&bench, WAY_UP, 1, 100, 0, &result);
	assert_int_equal(result.due, 10 * NS_MS);
	assert_int_equal(result.passage.hold, 3);
	assert_int_equal(result.passage.hold_most, 250 * NS_MS);
	bench_fini(&bench);

	bench_init(&bench, "reorder = 100%\nreorder_by = 30ms\nlatency = 10ms\n");
	for (uint32_t n = 1; n <= 3; n++) {
		ns_t now = n * NS_MS;

		cross(&bench, WAY_UP, n, 100, now, &result);
		assert_int_equal(result.due, now + 40 * NS_MS);
		assert_int_equal(result.passage.hold, 0);
		/* A datagram that is not reordered passes it. */
		result.plan.reordered = false;
		enter(&bench, WAY_UP, now, &result);
		assert_int_equal(result.due, now + 10 * NS_MS);
	}
	bench_fini(&bench);

	bench_init(&bench, "reorder = 100%\n");
	cross(&bench, WAY_UP, 1, 100, 0, &result);
	assert_int_equal(result.passage.hold, 1);
	assert_int_equal(result.passage.hold_most, NS_S);
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
		/* Its own time, or that of the one before: nothing else makes it wait. */
		assert_int_equal(result.due, own > last ? own : last);
		waited += own < last;
		last = result.due;
	}
	assert_true(waited > MANY / 2); /* at 1 ms apart and ±50 ms most would overtake */
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

/* A late copy keeps nobody waiting, but does not overtake either. */
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

/* The two ways keep their own order. */
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
	    {"packet_time = 1s\nqueue = 2s\n", 500, 100, 3}, /* 0, 1 s and 2 s: 2 s is not more than 2 s */
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

/* As the wire takes one, the queue has room for one; a dropped one used none of the wire. */
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

/* At 8 kbit a second a byte takes a millisecond. */
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

static char trace_folder[] = "/tmp/deadzone-link-XXXXXX";

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
			ns_t due_ms; /* 0: dropped, queue */
		} steps[8];
	} rows[] = {
	    /* One a stamp, and again from the last stamp on. */
	    {"10\n20\n30\n", "", {{0, FULL, 10}, {0, FULL, 20}, {0, FULL, 30}, {0, FULL, 40}, {0, FULL, 50}}},
	    /* What is left over serves the next one that waits already. */
	    {"10\n20\n30\n", "", {{0, HALF, 10}, {0, HALF, 10}, {0, HALF, 20}, {0, FULL, 30}}},
	    /* … but not one that comes later: it is lost. */
	    {"10\n20\n30\n", "", {{0, HALF, 10}, {11, FULL, 20}, {12, FULL, 30}}},
	    {"10\n20\n30\n", "", {{25, FULL, 30}, {31, FULL, 40}, {95, FULL, 100}}},
	    /* A large one takes several, a small rest of the last one is the next one's. */
	    {"10\n20\n30\n", "", {{0, 3000, 30}, {0, FULL - 20, 30}, {0, 1, 40}}},
	    {"10\n20\n30\n", "", {{0, 3000, 30}, {0, FULL, 40}}},
	    {"10\n10\n20\n", "", {{0, FULL, 10}, {0, FULL, 10}, {0, FULL, 20}, {0, FULL, 30}, {0, FULL, 30}}},
	    /* CRLF, no end of line at the end, a stamp at 0. */
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

/* A slow reference: every opportunity from 0 on, one by one, with what is left of it. */
struct reference {
	const uint32_t *stamps;
	uint32_t count;
	uint64_t at; /* opportunity, counted through all cycles */
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

/* Bursts and silences of every length, over traces with stamps at 0 and several at one time. */
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

			if (chance_hit(draw, 1,
			        0.3)) /* a third of them comes after a silence, at whole milliseconds */
				now += (ns_t)chance_below(draw, 2, 100) * NS_MS;
			if (chance_hit(draw, 3, 0.1))
				now += (ns_t)chance_below(draw, 4, 5 * NS_MS);
			cross(&bench, WAY_UP, n, size, now, &result);
			if (result.reason) /* a full queue says nothing about times */
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
	    {WAY_DOWN, 24999, 26999}, /* for 10 s: asleep */
	    {WAY_DOWN, 25000, 26999}, /* those behind it wait as well, … */
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

/* The radio's wait comes before the bottleneck: what was kept by sleep queues when it wakes. */
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
	/* What the device sends waits for nothing, … */
	cross(&bench, WAY_UP, 1, 100, 40 * NS_S, &result);
	assert_int_equal(result.passage.outcome, PASSAGE_LEAVES);
	assert_int_equal(result.due, 40 * NS_S);
	link_wake(&bench.state, 40 * NS_S);
	/* … and wakes the link for ten seconds. */
	cross(&bench, WAY_DOWN, 5, 100, 40 * NS_S, &result);
	assert_int_equal(result.passage.outcome, PASSAGE_LEAVES);
	assert_int_equal(result.due, 40 * NS_S);
	cross(&bench, WAY_DOWN, 6, 100, 50 * NS_S, &result);
	assert_int_equal(result.passage.outcome, PASSAGE_SLEEPS);
	bench_fini(&bench);
}

/* ---- Luck ---- */

/* A link's luck is of its name: another section of the file, before or behind it, changes nothing. */
static void test_luck_by_name(void **state)
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
	    cmocka_unit_test(test_copies_do_not_step),
	    cmocka_unit_test(test_copies_have_own_draws),
	    cmocka_unit_test(test_shares),
	    cmocka_unit_test(test_corrupt_one_bit),
	    cmocka_unit_test(test_reorder),
	    cmocka_unit_test(test_mtu),
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
	    cmocka_unit_test(test_luck_by_name),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
