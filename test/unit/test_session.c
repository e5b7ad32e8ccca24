/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session: sessions through the core's own calls, in virtual time.
 *
 * Covered: their numbers; what draws derive from (address, ordinal, listener, identity); max_sessions; idle
 * time.
 */
#include "test/unit/stage.h"

/* ---- Numbers ---- */

static void test_session_numbers(void **state)
{
	static const struct {
		unsigned listener, host, port, number;
		bool opened;
	} steps[] = {{0, 1, 4000, 1, true}, {0, 2, 4000, 2, true}, {0, 1, 4000, 1, false},
	    {0, 1, 4001, 3, true}, {1, 1, 4000, 4, true}, {1, 1, 4000, 4, false}, {0, 2, 4000, 2, false}};
	struct stage stage = {0};
	struct arrival arrival = {.at = 0};
	enum admission admission;

	(void)state;
	stage_open(&stage, "[link default]\n");
	for (size_t i = 0; i < COUNT(steps); i++) {
		struct address device = device_at(steps[i].host, steps[i].port);
		struct session *session = core_session(stage.core, steps[i].listener,
		    &entrances[steps[i].listener], &device, &arrival, &admission);

		assert_int_equal(session->number, steps[i].number);
		assert_int_equal(admission, steps[i].opened ? ADMISSION_OPENED : ADMISSION_KNOWN);
	}
	assert_int_equal(core_session_count(stage.core), 4);
	assert_int_equal(core_sessions_ever(stage.core), 4);
	stage_outcomes(&stage);
	assert_said(&stage, "0 s=1 session-begins device=10.0.0.1:4000 link=default\n"
	                    "0 s=2 session-begins device=10.0.0.2:4000 link=default\n"
	                    "0 s=3 session-begins device=10.0.0.1:4001 link=default\n"
	                    "0 s=4 session-begins device=10.0.0.1:4000 link=default\n");
	stage_close(&stage);
}

/* Sockets are read one after another, so a datagram may have arrived long before the core's time. What is due
 * in its session after its arrival does not affect it. */
static void test_arrivals_in_the_past(void **state)
{
	struct stage stage = {
	    .limits = {.seed = 1, .idle_timeout = 100 * NS_MS, .max_sessions = 100, .max_queued = 1 << 20}};

	(void)state;
	stage_open(&stage, "[link default]\n[rule dark]\nat = 5ms\ndo = blackout 20ms\n");
	stage_advance(&stage, NS_S);
	for (unsigned host = 1; host <= 2; host++) {
		ns_t at = 500 * NS_MS + host * NS_MS;

		assert_int_equal(arrive(&stage, host, WAY_UP, 10, at).reason, REASON_NONE);
		assert_int_equal(session_of(&stage, host, 4000, at)->end, SESSION_LIVE);
	}
	assert_said(&stage, "501 s=1 session-begins device=10.0.0.1:4000 link=default\n"
	                    "501 s=1 up n=1 sent\n"
	                    "502 s=2 session-begins device=10.0.0.2:4000 link=default\n"
	                    "502 s=2 up n=1 sent\n");
	assert_int_equal(arrive(&stage, 2, WAY_UP, 10, 506 * NS_MS).reason, REASON_NONE);
	assert_int_equal(arrive(&stage, 1, WAY_UP, 10, 506 * NS_MS).reason, REASON_BLACKOUT);
	stage_advance(&stage, NS_S);
	assert_int_equal(core_session_count(stage.core), 0);
	stage_close(&stage);
}

/* Refused datagrams are counted separately, with numbers of their own. */
static void test_refused(void **state)
{
	struct arrival arrival = {.way = WAY_UP, .bytes = (const uint8_t *)"\x17", .size = 1};
	struct stage stage = {0};
	struct verdict verdict;

	(void)state;
	stage_open(&stage, "[link default]\n");
	arrive(&stage, 1, WAY_UP, 10, 0);
	for (uint32_t n = 1; n <= 3; n++) {
		core_refuse(
		    stage.core, n == 2 ? REASON_MAX_SESSIONS : REASON_NOT_ALLOWED, &arrival, &verdict);
		assert_int_equal(verdict.session, 0);
		assert_int_equal(verdict.n, n);
		assert_int_equal(verdict.by_count, 0);
		assert_int_equal(core_arrivals(stage.core), n + 1);
	}
	assert_int_equal(core_refused(stage.core, WAY_UP)->dropped[REASON_NOT_ALLOWED], 2);
	assert_int_equal(core_refused(stage.core, WAY_UP)->dropped[REASON_MAX_SESSIONS], 1);
	assert_int_equal(core_refused(stage.core, WAY_UP)->bytes, 3);
	assert_int_equal(core_refused(stage.core, WAY_DOWN)->received, 0);
	stage_close(&stage);
}

/* ---- What draws derive from ---- */

static void test_draws_by_address(void **state)
{
	uint64_t first = draws_of(LOSSY, 0, 1, 4000, 1), second = draws_of(LOSSY, 0, 1, 4000, 2);

	(void)state;
	assert_true(first != 0 && first != UINT64_MAX);
	assert_true(first == draws_of(LOSSY, 0, 1, 5000, 1)); /* the port does not matter */
	assert_true(first == draws_of(LOSSY, 1, 1, 4000, 1)); /* each listener counts separately */
	assert_true(first != draws_of(LOSSY, 0, 2, 4000, 1));
	assert_true(first != second);
	assert_true(second == draws_of(LOSSY, 0, 1, 6000, 2));
	assert_true(second != draws_of(LOSSY, 0, 1, 6000, 3));
}

/* The ordinal counts sessions, whether or not the one before has ended. */
static void test_draws_after_idle(void **state)
{
	struct stage stage = {0};

	(void)state;
	stage_open(&stage, LOSSY);
	assert_true(session_draws(&stage, session_of(&stage, 1, 4000, 0)) == draws_of(LOSSY, 0, 1, 4000, 1));
	stage_advance(&stage, 2 * NS_HOUR);
	assert_int_equal(core_session_count(stage.core), 0);
	assert_true(session_draws(&stage, session_of(&stage, 1, 4000, 2 * NS_HOUR)) ==
	            draws_of(LOSSY, 0, 1, 4000, 2));
	stage_close(&stage);
}

#define NAMED LOSSY "[device a]\nidentity = bench\n"

static void test_identity(void **state)
{
	(void)state;
	assert_true(draws_of(NAMED, 0, 1, 4000, 1) == draws_of(NAMED, 0, 2, 4000, 1));
	assert_true(draws_of(NAMED, 0, 1, 4000, 1) == draws_of(NAMED, 1, 2, 4000, 1));
	assert_true(draws_of(NAMED, 0, 1, 4000, 1) != draws_of(LOSSY, 0, 1, 4000, 1));
}

/* Two sessions cannot use one identity at a time: an event says so, and the second draws by its address. Once
 * the first has ended, the identity is free again. */
static void test_identity_conflict(void **state)
{
	struct stage stage = {0};
	uint64_t named = draws_of(NAMED, 0, 9, 4000, 1);

	(void)state;
	stage_open(&stage, NAMED);
	assert_true(session_draws(&stage, session_of(&stage, 1, 4000, 0)) == named);
	transcript_clear(&stage);
	assert_true(session_draws(&stage, session_of(&stage, 2, 4000, 0)) == draws_of(LOSSY, 0, 2, 4000, 1));
	assert_non_null(
	    strstr(stage.text.at, "0 s=2 identity bench is in use by another session: this one draws by its "
	                          "address\n"));
	assert_true(session_of(&stage, 1, 4000, 0)->identity_used);
	assert_false(session_of(&stage, 2, 4000, 0)->identity_used);
	stage_advance(&stage, 2 * NS_HOUR);
	transcript_clear(&stage);
	assert_true(session_of(&stage, 3, 4000, 2 * NS_HOUR)->identity_used);
	stage_outcomes(&stage);
	assert_null(strstr(stage.text.at, "in use"));
	/* This is the second session of that identity, with other draws than the first. */
	assert_true(session_draws(&stage, session_of(&stage, 3, 4000, 2 * NS_HOUR)) != named);
	stage_close(&stage);
}

/* ---- max_sessions ---- */

static void test_eviction(void **state)
{
	struct stage stage = {
	    .limits = {.seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 3, .max_queued = 1 << 20}};

	(void)state;
	stage_open(&stage, "[link default]\nlatency = 1s\n");
	arrive(&stage, 1, WAY_UP, 10, 1 * NS_MS);
	arrive(&stage, 2, WAY_UP, 10, 2 * NS_MS);
	arrive(&stage, 3, WAY_UP, 10, 3 * NS_MS);
	arrive(&stage, 2, WAY_DOWN, 10, 4 * NS_MS);
	arrive(&stage, 1, WAY_UP, 10, 5 * NS_MS); /* the third has now been silent for longest */
	transcript_clear(&stage);
	/* Its waiting datagram is dropped at that instant. */
	arrive(&stage, 4, WAY_UP, 10, 6 * NS_MS);
	assert_said(&stage, "6 s=3 up n=1 max-sessions\n6 s=3 session-ends max-sessions\n"
	                    "6 s=4 session-begins device=10.0.0.4:4000 link=default\n");
	stage_advance(&stage, 990 * NS_MS);
	assert_said(&stage, "");
	stage_advance(&stage, 1003 * NS_MS);
	assert_said(&stage, "1001 s=1 up n=1 sent\n1002 s=2 up n=1 sent\n");
	stage_advance(&stage, 3 * NS_S);
	stage_close(&stage);
}

/* Lets a handshake record of the cloud arrive, with a message of `type` and a ServerHello's `random`. */
static void cloud_says(struct stage *stage, struct session *session, uint8_t type, const uint8_t random[8])
{
	uint8_t bytes[100] = {22, 0xfe, 0xfd, [13] = type};
	struct arrival arrival = {.way = WAY_DOWN, .bytes = bytes, .size = sizeof(bytes), .at = NS_MS};
	struct verdict verdict;

	memcpy(bytes + 27, random, 8);
	core_arrive(stage->core, session, &arrival, &verdict);
}

/* A session that got no further than a request for a cookie (RFC 6347 4.2.1, RFC 8446 4.1.4) is evicted
 * first: its address may be forged. */
static void test_eviction_after_a_cookie(void **state)
{
	static const uint8_t retry[8] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11}, other[8] = {1};
	static const struct {
		uint8_t type;
		const uint8_t *random;
		bool is_answer;
	} rows[] = {{3, other, false}, {2, retry, false}, {2, other, true}, {11, other, true}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct stage stage = {
		    .limits = {.seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 1, .max_queued = 1 << 20}};
		struct session *session;

		stage_open(&stage, "");
		session = session_of(&stage, 1, 1, 0);
		arrive_at(&stage, session, WAY_UP, 10, 0);
		cloud_says(&stage, session, rows[i].type, rows[i].random);
		stage_advance(&stage, NS_MS);
		if (rows[i].is_answer)
			assert_null(session_of(&stage, 2, 1, 2 * NS_MS));
		else
			assert_non_null(session_of(&stage, 2, 1, 2 * NS_MS));
		stage_advance(&stage, 2 * NS_MS);
		stage_close(&stage);
	}
}

/* If the cloud has answered all sessions, a further device is refused, and nothing else is disturbed. */
static void test_no_eviction(void **state)
{
	struct stage stage = {
	    .limits = {.seed = 1, .idle_timeout = NS_S, .max_sessions = 2, .max_queued = 1 << 20}};
	struct address third = device_at(3, 4000);
	struct arrival arrival = {.at = NS_MS};
	enum admission admission;

	(void)state;
	stage_open(&stage, "[link default]\n");
	arrive(&stage, 1, WAY_UP, 10, 0);
	arrive(&stage, 1, WAY_DOWN, 10, 0);
	arrive(&stage, 2, WAY_DOWN, 10, 0);
	transcript_clear(&stage);
	assert_null(core_session(stage.core, 0, &entrances[0], &third, &arrival, &admission));
	assert_int_equal(admission, ADMISSION_FULL);
	assert_int_equal(core_sessions_ever(stage.core), 2);
	stage_advance(&stage, 999 * NS_MS);
	assert_said(&stage, "");
	stage_advance(&stage, NS_S);
	assert_said(&stage, "1000 s=1 session-ends idle\n1000 s=2 session-ends idle\n");
	assert_int_equal(session_of(&stage, 3, 4000, NS_S)->number, 3);
	stage_outcomes(&stage);
	stage_close(&stage);
}

/* All datagrams of a session, wherever they wait, count as dropped at the instant when it is evicted. */
static void test_eviction_of_what_waits(void **state)
{
	static const size_t sizes[] = {1, 2, 4, 5, 6, 3}; /* size 5 leaves at once, its copy does not */
	struct stage stage = {
	    .limits = {.seed = 1, .idle_timeout = NS_HOUR, .max_sessions = 1, .max_queued = 1 << 20}};
	struct session *session;

	(void)state;
	stage_open(&stage,
	    "[link default]\n[rule group]\nsize = 1\ndo = permute 3 2 1\n"
	    "[rule back]\nsize = 2\ndo = hold 5\n[rule joint]\nsize = 3\ndo = pack 30ms\n"
	    "[rule later]\nsize = 4\ndo = delay 50ms\n[rule copy]\nsize = 5\ndo = duplicate 1 40ms\n"
	    "[rule dark]\nsize = 6\ndo = blackout 1s hold\n");
	session = session_of(&stage, 1, 4000, 0);
	core_session_hold(session);
	for (size_t i = 0; i < COUNT(sizes); i++)
		arrive_at(&stage, session, WAY_UP, sizes[i], 0);
	stage_advance(&stage, 0);
	assert_int_equal(session->ways[WAY_UP].tally.queued, 6);
	session_of(&stage, 2, 4000, NS_MS);
	assert_int_equal(session->ways[WAY_UP].tally.queued, 0);
	assert_int_equal(session->ways[WAY_UP].extra->dropped[REASON_MAX_SESSIONS], 6);
	assert_int_equal(session->end, SESSION_EVICTED);
	stage_advance(&stage, 2 * NS_S);
	assert_int_equal(core_queued_bytes(stage.core), 0);
	core_session_release(stage.core, session);
	stage_close(&stage);
}

/* ---- Idle sessions ---- */

static void test_idle(void **state)
{
	struct stage stage = {
	    .limits = {.seed = 1, .idle_timeout = NS_S, .max_sessions = 9, .max_queued = 1 << 20}};

	(void)state;
	stage_open(&stage,
	    "[link default]\nlatency = 10s\n[link fast]\n[device a]\naddress = 10.0.0.1\nlink = fast\n"
	    "[device b]\n");
	arrive(&stage, 1, WAY_UP, 10, 0);
	arrive(&stage, 2, WAY_UP, 10, 0);
	transcript_clear(&stage);
	/* Traffic from either side keeps a session alive; the second still has a datagram on its way. */
	core_session_touch(stage.core, session_of(&stage, 1, 4000, 0),
	    &(struct arrival){.way = WAY_DOWN, .at = 600 * NS_MS});
	stage_advance(&stage, 5 * NS_S);
	assert_said(&stage, "1600 s=1 session-ends idle\n");
	stage_advance(&stage, 20 * NS_S);
	assert_said(&stage, "10000 s=2 up n=1 sent\n11000 s=2 session-ends idle\n");
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_session_numbers),
	    cmocka_unit_test(test_arrivals_in_the_past),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_draws_by_address),
	    cmocka_unit_test(test_draws_after_idle),
	    cmocka_unit_test(test_identity),
	    cmocka_unit_test(test_identity_conflict),
	    cmocka_unit_test(test_eviction),
	    cmocka_unit_test(test_eviction_after_a_cookie),
	    cmocka_unit_test(test_no_eviction),
	    cmocka_unit_test(test_eviction_of_what_waits),
	    cmocka_unit_test(test_idle),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
