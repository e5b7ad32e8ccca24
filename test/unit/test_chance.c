/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chance: draws are uniform, and draws of different numbers, ordinals, ways, names and copies are
 * independent; the normal quantile function inverts the distribution; a range's ends can be drawn.
 */
#include "test/unit/unit.h"

#include "base/chance.h"

#define MANY 1000000u
#define CELLS 256u

enum along { ALONG_NUMBER, ALONG_ORDINAL, ALONG_WAY, ALONG_SESSION, ALONG_NAME, ALONG_COPY, ALONG_COUNT };

/* Returns the draw `i` steps along one axis, with all else fixed. */
static double unit_along(enum along along, uint32_t i)
{
	char name[32];

	switch (along) {
	case ALONG_NUMBER: return chance_unit(chance_draw(7, 0, 1, 99), i);
	case ALONG_ORDINAL: return chance_unit(chance_draw(7, 0, i, 99), 0);
	case ALONG_WAY: return chance_unit(chance_draw(7, i & 1, i / 2, 99), 0);
	case ALONG_SESSION: return chance_unit(chance_draw(chance_mix(i), 0, 1, 99), 0);
	case ALONG_NAME:
		snprintf(name, sizeof(name), "link:%u", i);
		return chance_unit(chance_draw(7, 0, 1, chance_hash(0, name, strlen(name))), 0);
	case ALONG_COPY: return chance_unit(chance_copy(chance_draw(7, 0, 1, 99), i), 0);
	case ALONG_COUNT: break;
	}
	return 0;
}

/* Checks chi-square over cells of the unit interval, and over cells of pairs of successive draws. */
static void test_uniform(void **state)
{
	static unsigned pairs[CELLS];
	(void)state;
	for (enum along along = 0; along < ALONG_COUNT; along++) {
		unsigned cells[CELLS] = {0};
		double chi = 0, chi_pairs = 0, products = 0, before = 0;

		memset(pairs, 0, sizeof(pairs));
		for (uint32_t i = 0; i < MANY; i++) {
			double unit = unit_along(along, i);

			assert_true(unit > 0 && unit < 1);
			cells[(unsigned)(unit * CELLS)]++;
			if (i % 2)
				pairs[(unsigned)(before * 16) * 16 + (unsigned)(unit * 16)]++;
			if (i)
				products += (unit - 0.5) * (before - 0.5) * 12;
			before = unit;
		}
		for (unsigned i = 0; i < CELLS; i++) {
			double each = MANY / (double)CELLS;

			chi += (cells[i] - each) * (cells[i] - each) / each;
			chi_pairs += (pairs[i] - each / 2) * (pairs[i] - each / 2) / (each / 2);
		}
		assert_below(chi, chi_bound(CELLS - 1));
		assert_below(chi_pairs, chi_bound(CELLS - 1));
		/* The correlation of n independent pairs has a standard deviation of 1 / √n. */
		assert_below(products / MANY, SIGMAS / sqrt(MANY));
	}
}

/* Every bit of a draw is set half of the time. */
static void test_bits(void **state)
{
	unsigned set[64] = {0};

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		for (unsigned bit = 0; bit < 64; bit++)
			set[bit] += (unsigned)(chance_bits(chance_draw(7, 1, i, 3), 2) >> bit & 1);
	for (unsigned bit = 0; bit < 64; bit++)
		assert_near(set[bit] / 1e5, 0.5, share_bound(0.5, 1e5));
}

/* Returns the seed from which chance_mix makes `bits`, by undoing its steps. */
static uint64_t unmix(uint64_t bits)
{
	uint64_t inverse_a = 1, inverse_b = 1;

	/* The inverse of an odd number modulo 2^64, by Newton: each round doubles the correct bits. */
	for (int i = 0; i < 7; i++) {
		inverse_a *= 2 - UINT64_C(0xbf58476d1ce4e5b9) * inverse_a;
		inverse_b *= 2 - UINT64_C(0x94d049bb133111eb) * inverse_b;
	}
	bits ^= bits >> 31 ^ bits >> 62;
	bits *= inverse_b;
	bits ^= bits >> 27 ^ bits >> 54;
	bits *= inverse_a;
	bits ^= bits >> 30 ^ bits >> 60;
	return bits - UINT64_C(0x9e3779b97f4a7c15);
}

/* Even the smallest and the greatest bits give a unit inside (0, 1) and a finite score. */
static void test_unit_ends(void **state)
{
	const struct draw min = {unmix(0)}, greatest = {unmix(UINT64_MAX)};

	(void)state;
	assert_true(chance_bits(min, 0) == 0 && chance_bits(greatest, 0) == UINT64_MAX);
	assert_true(chance_unit(min, 0) > 0);
	assert_true(isfinite(chance_normal_quantile(chance_unit(min, 0))));
	assert_int_equal(chance_below(greatest, 0, 10), 9);
	assert_true(chance_unit(greatest, 0) < 1);
	assert_true(isfinite(chance_normal_quantile(chance_unit(greatest, 0))));
	assert_false(chance_hit(min, 0, 0));
	assert_true(chance_hit(greatest, 0, 1));
}

static void test_hit(void **state)
{
	static const double shares[] = {0, 0.0001, 0.02, 0.5, 0.999, 1};

	(void)state;
	for (size_t k = 0; k < COUNT(shares); k++) {
		unsigned hits = 0;

		for (uint32_t i = 0; i < MANY; i++)
			hits += chance_hit(chance_draw(11, 0, i, k), 0, shares[k]);
		assert_near(hits / (double)MANY, shares[k], share_bound(shares[k], MANY));
	}
}

/* Both ends of a range are drawn, and nothing beyond them; a range of one time always gives that time. */
static void test_time(void **state)
{
	const struct time_range die = {1, 6}, one = {5 * NS_S, 5 * NS_S}, all = {0, UNITS_TIME_MAX};
	unsigned cells[7] = {0};
	double chi = 0;

	(void)state;
	for (uint32_t i = 0; i < 60000; i++) {
		struct draw draw = chance_draw(5, 0, i, 1);
		ns_t time = chance_time(draw, 0, &die);

		assert_in_range(time, 1, 6);
		cells[time]++;
		assert_int_equal(chance_time(draw, 1, &one), 5 * NS_S);
		assert_in_range(chance_time(draw, 2, &all), 0, UNITS_TIME_MAX);
	}
	for (int i = 1; i <= 6; i++)
		chi += (cells[i] - 1e4) * (cells[i] - 1e4) / 1e4;
	assert_below(chi, chi_bound(5));
}

/* A share's quantile converts back to the share, over the whole range, to within a double's last digits. */
static void test_normal(void **state)
{
	(void)state;
	for (double share = 1e-300; share < 0.5; share *= 1.37) {
		assert_near(0.5 * erfc(-chance_normal_quantile(share) / sqrt(2)) / share, 1, 1e-12);
		assert_near(chance_normal_share(chance_normal_quantile(share)) / share, 1, 1e-12);
	}
	for (double share = 0.0005; share < 1; share += 0.0005) {
		assert_near(0.5 * erfc(-chance_normal_quantile(share) / sqrt(2)), share, 1e-14);
		assert_near(chance_normal_quantile(share), -chance_normal_quantile(1 - share), 1e-12);
	}
	/* From tables of the normal distribution. */
	assert_near(chance_normal_quantile(0.5), 0, 0);
	assert_near(chance_normal_quantile(0.975), 1.959963984540054, 1e-14);
	assert_near(chance_normal_quantile(0.001), -3.090232306167813, 1e-14);
}

/* A hash depends on the bytes, on their number and on the key. */
static void test_hash(void **state)
{
	static const char zeros[40];
	uint64_t seen[2 * 41];
	size_t count = 0;

	(void)state;
	for (uint64_t key = 0; key < 2; key++)
		for (size_t size = 0; size <= 40; size++)
			seen[count++] = chance_hash(chance_mix(key), zeros, size);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < i; k++)
			assert_true(seen[i] != seen[k]);
	assert_true(chance_hash(0, "link:a", 6) == chance_hash(0, "link:a", 6));
	assert_true(chance_hash(0, "0123456789", 10) != chance_hash(0, "0123456798", 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_uniform),
	    cmocka_unit_test(test_bits),
	    cmocka_unit_test(test_unit_ends),
	    cmocka_unit_test(test_hit),
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_normal),
	    cmocka_unit_test(test_hash),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
