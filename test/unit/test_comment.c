/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * comment: the fields of a packet's comment, matching the manual's examples exactly.
 */
#include "test/unit/unit.h"

#include "base/text.h"
#include "capture/comment.h"

static struct names *names;
static uint32_t dead_zone, rural, decide, electron;

static int names_make(void **state)
{
	(void)state;
	names = names_new();
	dead_zone = names_add(names, "rule:", "dead-zone");
	rural = names_add(names, "link:", "2g-rural");
	decide = names_add(names, "rule:", "late");
	electron = names_add(names, "dev=", "electron");
	return 0;
}

static int names_end(void **state)
{
	(void)state;
	names_free(names);
	return 0;
}

static void arrived(const struct verdict *verdict, const char *want)
{
	struct text text = {0};

	comment_arrived(&text, verdict, names);
	assert_string_equal(text.at, want);
	text_free(&text);
}

static void departed(const struct departure *departure, const char *want)
{
	struct text text = {0};

	comment_departed(&text, departure);
	assert_string_equal(text.at, want);
	text_free(&text);
}

static void test_arrived(void **state)
{
	struct verdict verdict = {.session = 3,
	    .way = WAY_UP,
	    .n = 75,
	    .reason = REASON_BLACKOUT,
	    .type = 23,
	    .epoch = 1,
	    .number = 26,
	    .device = electron,
	    .delay = NS_UNKNOWN};

	(void)state;
	verdict_by(&verdict, dead_zone);
	arrived(&verdict,
	    "s=3 dir=up n=75 verdict=drop by=rule:dead-zone reason=blackout dtls=application_data/1/26 "
	    "dev=electron");
	verdict = (struct verdict){.session = 3,
	    .way = WAY_UP,
	    .n = 76,
	    .type = 23,
	    .epoch = 1,
	    .number = 27,
	    .device = electron,
	    .delay = 652114 * NS_US};
	verdict_by(&verdict, rural);
	arrived(&verdict,
	    "s=3 dir=up n=76 verdict=send by=link:2g-rural delay=652.114ms dtls=application_data/1/27 "
	    "dev=electron");
	/* Rules and links are listed in the order in which they decided, each of them once. */
	verdict = (struct verdict){.session = 1, .way = WAY_DOWN, .n = 1, .type = DTLS_NONE, .copies = 2};
	verdict_by(&verdict, decide);
	verdict_by(&verdict, rural);
	verdict_by(&verdict, decide);
	arrived(&verdict,
	    "s=1 dir=down n=1 verdict=send by=rule:late,link:2g-rural delay=0.000ms copies=2 dtls=none");
	/* Eight of many are listed: the first rules, and always the link. */
	verdict = (struct verdict){.session = 1, .way = WAY_DOWN, .n = 1, .type = DTLS_NONE};
	for (unsigned i = 0; i < VERDICT_BY_MAX + 2; i++) {
		char name[16];

		snprintf(name, sizeof(name), "r%u", i);
		verdict_by(&verdict, names_add(names, "rule:", name));
	}
	verdict_by_link(&verdict, rural);
	arrived(&verdict,
	    "s=1 dir=down n=1 verdict=send "
	    "by=rule:r0,rule:r1,rule:r2,rule:r3,rule:r4,rule:r5,rule:r6,link:2g-rural,and:3 delay=0.000ms "
	    "dtls=none");
	/* This one was refused before there was a session. */
	verdict = (struct verdict){.way = WAY_UP, .n = 9, .type = DTLS_NONE, .reason = REASON_NOT_ALLOWED};
	arrived(&verdict, "s=0 dir=up n=9 verdict=drop reason=not-allowed dtls=none");
}

static void test_reasons(void **state)
{
	static const struct {
		enum reason reason;
		const char *word;
	} rows[] = {{REASON_LOSS, "loss"}, {REASON_RULE, "rule"}, {REASON_BLACKOUT, "blackout"},
	    {REASON_QUEUE, "queue"}, {REASON_MTU, "mtu"}, {REASON_NAT_EXPIRED, "nat-expired"},
	    {REASON_OVERLOAD, "overload"}, {REASON_NOT_ALLOWED, "not-allowed"},
	    {REASON_MAX_SESSIONS, "max-sessions"}, {REASON_ERROR, "error"}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct verdict verdict = {
		    .session = 1, .n = 1, .type = DTLS_NONE, .reason = (uint8_t)rows[i].reason};
		struct departure departure = {.session = 1, .n = 1, .reason = (uint8_t)rows[i].reason};
		char want[128];

		snprintf(want, sizeof(want), "s=1 dir=up n=1 verdict=drop reason=%s dtls=none", rows[i].word);
		arrived(&verdict, want);
		snprintf(want, sizeof(want), "s=1 dir=up n=1 unsent reason=%s", rows[i].word);
		departed(&departure, want);
	}
}

static void test_holds(void **state)
{
	static const struct {
		enum hold hold;
		const char *word;
	} rows[] = {{HOLD_LOOKUP, "lookup"}, {HOLD_BLACKOUT, "blackout"}, {HOLD_PACK, "pack"},
	    {HOLD_SLEEP, "sleep"}, {HOLD_REORDER, "reorder:3p"}, {HOLD_RULE, "rule:late"}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct verdict verdict = {.session = 1,
		    .n = 1,
		    .type = DTLS_NONE,
		    .delay = NS_UNKNOWN,
		    .hold = (uint8_t)rows[i].hold,
		    .hold_count = 3,
		    .hold_name = decide};
		char want[128];

		snprintf(want, sizeof(want), "s=1 dir=up n=1 verdict=send hold=%s dtls=none", rows[i].word);
		arrived(&verdict, want);
		/* A dropped datagram has no hold. */
		verdict.reason = REASON_RULE;
		arrived(&verdict, "s=1 dir=up n=1 verdict=drop reason=rule dtls=none");
	}
}

static void test_types(void **state)
{
	static const struct {
		uint16_t type, epoch;
		uint64_t number;
		const char *word;
	} rows[] = {{20, 0, 4, "change_cipher_spec/0/4"}, {21, 1, 2, "alert/1/2"},
	    {22, 0, 0, "handshake/0/0"},
	    {23, 65535, UINT64_C(281474976710655), "application_data/65535/281474976710655"},
	    {24, 1, 3, "heartbeat/1/3"}, {25, 1, 1, "cid/1/1"}, {26, 0, 2, "ack/0/2"},
	    {253, 1, 5, "type:253/1/5"}, {254, 1, 5, "session_move/1/5"},
	    {DTLS_UNIFIED, 3, DTLS_NUMBER_HIDDEN, "unified/3/-"}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct verdict verdict = {.session = 1,
		    .n = 1,
		    .type = rows[i].type,
		    .epoch = rows[i].epoch,
		    .number = rows[i].number,
		    .delay = NS_UNKNOWN};
		char want[128];

		snprintf(want, sizeof(want), "s=1 dir=up n=1 verdict=send dtls=%s", rows[i].word);
		arrived(&verdict, want);
	}
}

static void test_mutations(void **state)
{
	struct verdict verdict = {.session = 1, .n = 1, .type = DTLS_NONE, .delay = NS_UNKNOWN};
	struct text text = {0};

	(void)state;
	verdict_add_mutation(&verdict, (struct mutation){.kind = MUTATION_CORRUPT, .byte = 57, .value = 3});
	verdict_add_mutation(&verdict, (struct mutation){.kind = MUTATION_TRUNCATE, .byte = 100});
	arrived(&verdict, "s=1 dir=up n=1 verdict=send did=corrupt:57.3,truncate:100 dtls=none");
	verdict_add_mutation(&verdict, (struct mutation){.kind = MUTATION_SET, .byte = 0, .value = 255});
	arrived(&verdict, "s=1 dir=up n=1 verdict=send did=corrupt:57.3,truncate:100,set:0:255 dtls=none");
	/* Mutations for which there is no room are counted, not silently left out. */
	for (int i = 3; i < VERDICT_MUTATIONS_MAX + 5; i++)
		verdict_add_mutation(&verdict, (struct mutation){.kind = MUTATION_CORRUPT, .byte = 1});
	comment_arrived(&text, &verdict, names);
	assert_non_null(strstr(text.at, ",corrupt:1.0,and:5 dtls=none"));
	text_free(&text);
}

static void test_departed(void **state)
{
	const struct part parts[] = {{.n = 76}, {.n = 77}, {.n = 78}};
	struct departure departure = {
	    .session = 3, .way = WAY_UP, .n = 76, .delay = 652114 * NS_US, .late = 41 * NS_US};

	(void)state;
	departed(&departure, "s=3 dir=up n=76 sent delay=652.114ms late=0.041ms");
	departure.copy = 2;
	departure.origin = ORIGIN_DECOY;
	departed(&departure, "s=3 dir=up n=76 sent copy=2 of=decoy delay=652.114ms late=0.041ms");
	departure.reason = REASON_QUEUE;
	departed(&departure, "s=3 dir=up n=76 unsent copy=2 of=decoy reason=queue");
	departure = (struct departure){
	    .session = 3, .way = WAY_DOWN, .n = 76, .parts = parts, .part_count = 3};
	departed(&departure, "s=3 dir=down n=76 sent packed=76,77,78 delay=0.000ms late=0.000ms");
	departure.reason = REASON_LOSS;
	departed(&departure, "s=3 dir=down n=76 unsent packed=76,77,78 reason=loss");
}

static void test_origins(void **state)
{
	static const char *const words[] = {[ORIGIN_DUPLICATE] = "duplicate",
	    [ORIGIN_DECOY] = "decoy",
	    [ORIGIN_REPLAY] = "replay",
	    [ORIGIN_INJECT] = "inject",
	    [ORIGIN_LINK] = "link"};

	(void)state;
	for (uint8_t origin = ORIGIN_DUPLICATE; origin < ORIGIN_COUNT; origin++) {
		struct departure departure = {.session = 1, .n = 1, .copy = 1, .origin = origin};
		char want[128];

		snprintf(want, sizeof(want), "s=1 dir=up n=1 sent copy=1 of=%s delay=0.000ms late=0.000ms",
		    words[origin]);
		departed(&departure, want);
	}
}

/* Times are always milliseconds with three decimals, however large they are. */
static void test_times(void **state)
{
	static const struct {
		ns_t time;
		const char *text;
	} rows[] = {{0, "0.000"}, {499, "0.000"}, {500, "0.001"}, {999999, "1.000"}, {999499, "0.999"},
	    {40 * NS_S, "40000.000"}, {2 * NS_HOUR + 1500, "7200000.002"}, {-1000, "-0.001"},
	    {-499, "0.000"}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct departure departure = {.session = 1, .n = 1, .late = rows[i].time};
		char want[128];

		snprintf(want, sizeof(want), "s=1 dir=up n=1 sent delay=0.000ms late=%sms", rows[i].text);
		departed(&departure, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_arrived),
	    cmocka_unit_test(test_reasons),
	    cmocka_unit_test(test_holds),
	    cmocka_unit_test(test_types),
	    cmocka_unit_test(test_mutations),
	    cmocka_unit_test(test_departed),
	    cmocka_unit_test(test_origins),
	    cmocka_unit_test(test_times),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, names_make, names_end);
}
