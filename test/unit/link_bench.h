/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_bench: a link made from keys, and one datagram sent across it again and again, in virtual time.
 *
 * Everything is static inline, as in unit.h.
 */
#ifndef TEST_UNIT_LINK_BENCH_H
#define TEST_UNIT_LINK_BENCH_H

#include "base/pool.h"
#include "test/unit/unit.h"

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

static inline void bench_at(struct bench *bench, const char *keys, uint32_t header, ns_t began)
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

static inline void bench_init(struct bench *bench, const char *keys)
{
	bench_at(bench, keys, 28, 0);
}

static inline void bench_fini(struct bench *bench)
{
	link_state_fini(&bench->state);
	pool_free(bench->pool);
	given_free(&bench->given);
}

static inline void decide(struct bench *bench, enum way way, uint32_t n, uint32_t size, struct result *result)
{
	*result = (struct result){0};
	bench->datagram->way = (uint8_t)way;
	bench->datagram->n = n;
	bench->datagram->size = size;
	link_decide(&bench->state, LINK_ORIGINAL, bench->datagram, &result->plan, &result->decision);
	result->reason = result->decision.reason;
}

static inline void enter(struct bench *bench, enum way way, ns_t now, struct result *result)
{
	bench->datagram->way = (uint8_t)way;
	link_enter(&bench->state, LINK_ORIGINAL, bench->datagram, &result->plan, now, &result->passage);
	result->due = result->passage.due;
	result->reason = result->passage.outcome == PASSAGE_DROPPED ? result->passage.reason : REASON_NONE;
}

static inline void cross(
    struct bench *bench, enum way way, uint32_t n, uint32_t size, ns_t now, struct result *result)
{
	decide(bench, way, n, size, result);
	if (!result->reason)
		enter(bench, way, now, result);
}

#endif
