/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nat: how long a mapping lives, in virtual time.
 *
 * Covered: expiry to the nanosecond; what refreshes (up, or both ways); the timeout of streams, longer and
 * shorter; rebinding; datagrams to three generations of ports; no timeout; no NAT at all.
 */
#include "test/unit/unit.h"

#include "rules/nat.h"

enum op { OUT, IN, REBIND, REBIND_TO_ADDRESS };

/* An operation, and what must hold after it. Times count from the start. */
struct step {
	ns_t at;
	enum op op;
	bool another; /* OUT: a new mapping replaces an old one */
	ns_t expiry;  /* afterwards; NS_NEVER: none */
};

struct look {
	ns_t at;
	uint32_t mapping;
	bool lives;
};

#define STEPS 6

struct row {
	const char *name, *keys;
	struct step steps[STEPS];
	struct look looks[STEPS]; /* after all steps; a time of 0 ends them */
};

static const struct row rows[] = {
    {"a minute of silence", "nat_timeout = 1m\n", {{NS_S, OUT, false, 61 * NS_S}},
        {{61 * NS_S - 1, 1, true}, {61 * NS_S - 1, 0, true}, {61 * NS_S, 1, false}, {61 * NS_S, 0, false}}},
    {"up refreshes, down does not", "nat_timeout = 1m\n",
        {{NS_S, OUT, false, 61 * NS_S}, {60 * NS_S, IN, false, 61 * NS_S},
            {61 * NS_S - 1, OUT, false, 121 * NS_S - 1}, {121 * NS_S - 2, OUT, false, 181 * NS_S - 2}},
        {{181 * NS_S - 3, 1, true}, {181 * NS_S - 2, 1, false}}},
    {"both ways refresh", "nat_timeout = 1m\nnat_refresh = both\n",
        {{NS_S, OUT, false, 61 * NS_S}, {60 * NS_S, IN, false, 120 * NS_S}},
        {{120 * NS_S - 1, 1, true}, {120 * NS_S, 1, false}}},
    {"an older timestamp refreshes nothing", "nat_timeout = 1m\nnat_refresh = both\n",
        {{10 * NS_S, OUT, false, 70 * NS_S}, {9 * NS_S, IN, false, 70 * NS_S},
            {8 * NS_S, OUT, false, 70 * NS_S}},
        {{0}}},
    {"a stream lives longer", "nat_timeout = 30s\nnat_timeout_stream = 3m\n",
        {{NS_S, OUT, false, 31 * NS_S}, {2 * NS_S, IN, false, 181 * NS_S}},
        {{181 * NS_S - 1, 1, true}, {181 * NS_S, 1, false}}},
    {"a stream lives for a shorter time", "nat_timeout = 30s\nnat_timeout_stream = 12s\n",
        {{NS_S, OUT, false, 31 * NS_S}, {2 * NS_S, IN, false, 13 * NS_S}},
        {{13 * NS_S - 1, 1, true}, {13 * NS_S, 1, false}}},
    {"… and ends when it becomes a stream, not before", "nat_timeout = 30s\nnat_timeout_stream = 12s\n",
        {{NS_S, OUT, false, 31 * NS_S}, {20 * NS_S, IN, false, 20 * NS_S}},
        {{20 * NS_S - 1, 1, true}, {20 * NS_S, 1, false}}},
    {"the next mapping is no stream yet", "nat_timeout = 30s\nnat_timeout_stream = 12s\n",
        {{NS_S, OUT, false, 31 * NS_S}, {2 * NS_S, IN, false, 13 * NS_S}, {14 * NS_S, OUT, true, 44 * NS_S}},
        {{44 * NS_S - 1, 2, true}, {43 * NS_S, 1, false}, {44 * NS_S, 2, false}}},
    {"only an expired mapping is replaced", "nat_timeout = 1m\n",
        {{NS_S, OUT, false, 61 * NS_S}, {61 * NS_S, OUT, true, 121 * NS_S},
            {61 * NS_S, OUT, false, 121 * NS_S}},
        {{0}}},
    {"three generations", "nat_timeout = 1m\n",
        {{NS_S, OUT, false, 61 * NS_S}, {2 * NS_S, REBIND, false, NS_NEVER}, {3 * NS_S, OUT, true, 63 * NS_S},
            {70 * NS_S, OUT, true, 130 * NS_S}},
        {{71 * NS_S, 1, false}, {71 * NS_S, 2, false}, {71 * NS_S, 3, true}, {71 * NS_S, 0, true}}},
    {"rebound and silent", "nat_timeout = 1m\n",
        {{NS_S, OUT, false, 61 * NS_S}, {2 * NS_S, REBIND, false, NS_NEVER}},
        {{3 * NS_S, 1, false}, {3 * NS_S, 0, false}}},
    {"no timeout", "", {{NS_S, OUT, false, NS_NEVER}, {2 * NS_S, IN, false, NS_NEVER}},
        {{1000 * NS_HOUR, 1, true}}},
    {"no timeout, rebound", "",
        {{NS_S, OUT, false, NS_NEVER}, {2 * NS_S, REBIND_TO_ADDRESS, false, NS_NEVER},
            {3 * NS_S, OUT, true, NS_NEVER}},
        {{4 * NS_S, 1, false}, {4 * NS_S, 2, true}}},
    {"nothing was sent, with a NAT", "nat_timeout = 1m\n", {{0}}, {{NS_S, 0, false}}},
    {"nothing was sent, without a NAT", "", {{0}}, {{NS_S, 0, true}}},
};

static bool step(struct nat *nat, const struct device *device, const struct step *step)
{
	switch (step->op) {
	case OUT: return nat_out(nat, device, step->at);
	case IN: nat_in(nat, device, step->at); break;
	case REBIND: nat_rebind(nat, REBIND_PORT); break;
	case REBIND_TO_ADDRESS: nat_rebind(nat, REBIND_ADDRESS); break;
	}
	return false;
}

static unsigned row_wrong(const struct row *row)
{
	struct given given;
	struct nat nat = {0};
	char text[256];
	unsigned wrong = 0;

	snprintf(text, sizeof(text), "[device d]\n%s", row->keys);
	given_read(&given, text);
	assert_int_equal(complaints_count(given.complaints, COMPLAINT_ERROR), 0);
	for (size_t i = 0; i < STEPS && row->steps[i].at; i++) {
		bool another = step(&nat, &given.config->devices[0], &row->steps[i]);
		ns_t expiry = nat_expiry(&nat, &given.config->devices[0]);

		if (another == row->steps[i].another && expiry == row->steps[i].expiry)
			continue;
		print_error(
		    "%s, step %zu: another %d, expiry %lld\n", row->name, i, another, (long long)expiry);
		wrong++;
	}
	for (size_t i = 0; i < STEPS && row->looks[i].at; i++) {
		if (nat_lives(&nat, &given.config->devices[0], row->looks[i].mapping, row->looks[i].at) ==
		    row->looks[i].lives)
			continue;
		print_error("%s, look %zu: lives is not %d\n", row->name, i, row->looks[i].lives);
		wrong++;
	}
	given_free(&given);
	return wrong;
}

static void test_rows(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		wrong += row_wrong(&rows[i]);
	assert_int_equal(wrong, 0);
}

static void test_addresses(void **state)
{
	struct nat nat = {0};

	(void)state;
	nat_out(&nat, NULL, 1);
	nat_rebind(&nat, REBIND_PORT);
	assert_int_equal(nat.addresses, 0);
	nat_out(&nat, NULL, 2);
	nat_rebind(&nat, REBIND_ADDRESS);
	assert_int_equal(nat.addresses, 1);
	assert_true(nat_out(&nat, NULL, 3));
	assert_int_equal(nat.mapping, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_addresses)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
