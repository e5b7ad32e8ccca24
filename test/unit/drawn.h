/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drawn: random configurations and traffic.
 *
 * Everything is static inline, as in unit.h.
 */
#ifndef TEST_UNIT_DRAWN_H
#define TEST_UNIT_DRAWN_H

#include "test/unit/unit.h"

#include "base/chance.h"
#include "base/text.h"
#include "base/verdict.h"

#define DEVICES 4
#define PACKETS 160
#define TRAFFIC_MAX (4 * NS_S) /* every packet arrives before it */

/* ---- Chance ---- */

struct dice {
	uint64_t state;
};

static inline unsigned roll(struct dice *dice, unsigned sides)
{
	return (unsigned)(chance_mix(dice->state++) >> 33) % sides;
}

static inline bool once_in(struct dice *dice, unsigned times)
{
	return roll(dice, times) == 0;
}

/* Adds one of `words`, chosen at random, as a line of its own. */
#define pick(text, dice, words) text_add((text), "%s\n", (words)[roll((dice), COUNT(words))])

/* ---- Configurations ---- */

/* FREE: every datagram's fate is decided when it arrives, independently of the others. BOUND: a datagram may
 * wait for others of its session or release them. ALL: sessions may affect one another, too. */
enum reach { REACH_FREE, REACH_BOUND, REACH_ALL };

static inline void link_loss(struct text *text, struct dice *dice)
{
	static const char *const losses[] = {"loss = 10%", "loss = 40%", "loss = 20%\nloss_run = 3",
	    "gilbert_elliott = 5% 30%", "gilbert_elliott = 20% 20% 80% 5%", "up.loss = 30%\ndown.loss = 5%",
	    ""};

	pick(text, dice, losses);
	if (once_in(dice, 3))
		text_add(text, "loss_at = exit\n");
}

static inline void link_delay(struct text *text, struct dice *dice)
{
	static const char *const shapes[] = {"uniform", "normal", "pareto", "lognormal"};

	if (once_in(dice, 3))
		return;
	text_add(text, "latency = %ums\njitter = %ums\ndistribution = %s\n", 1 + roll(dice, 50),
	    roll(dice, 20), shapes[roll(dice, COUNT(shapes))]);
	if (once_in(dice, 3))
		text_add(text, "correlation = %u%%\n", roll(dice, 101));
}

static inline void link_write(struct text *text, struct dice *dice, enum reach reach, const char *name)
{
	static const char *const free_keys[] = {"duplicate = 20%", "corrupt = 15%", "mtu = 120B",
	    "duplicate = 5%", "reorder = 20%\nreorder_by = 7ms", "up.corrupt = 50%\ndown.mtu = 90B", ""};
	static const char *const bound_keys[] = {"rate = 40kbit", "rate = 9kbit\nqueue = 3p",
	    "packet_time = 4ms", "rate = 100kbit\nqueue = 200B\noverhead = 0",
	    "wake_after = 30ms\nwake_delay = 5ms-20ms", "wake_after = 20ms\ndown.wake_delay = next-up",
	    "rate = 20kbit\nqueue = 50ms\npacket_time = 1ms", ""};
	static const char *const holds[] = {"reorder = 30%\nreorder_by = 2p",
	    "reorder = 15%\nreorder_by = 1p\nreorder_wait = 0",
	    "reorder = 60%\nreorder_by = 3p\nreorder_wait = 20ms"};
	unsigned kind = roll(dice, COUNT(free_keys));

	text_add(text, "[link %s]\n", name);
	link_loss(text, dice);
	link_delay(text, dice);
	text_add(text, "%s\n", free_keys[kind]);
	if (reach == REACH_FREE) {
		text_add(text, "order = free\n");
		return;
	}
	pick(text, dice, bound_keys);
	if (kind != 4 && once_in(dice, 3))
		pick(text, dice, holds);
	if (once_in(dice, 2))
		text_add(text, "order = free\n");
}

static inline void conditions_write(struct text *text, struct dice *dice, unsigned own, unsigned rules)
{
	static const char *const ways[] = {"direction = up", "direction = down", "direction = either"};
	static const char *const kinds[] = {"dtls = handshake, type:23", "dtls = none",
	    "dtls_not = encrypted", "epoch = 0", "record = 0:0-2, 1:1", "attempt = 2-", "attempt = 1"};
	static const char *const sizes[] = {"size = 20-60", "size = 1-30, 100-", "carried = 500-3KiB"};
	static const char *const counts[] = {"nth = every 3", "nth = 2, 5-9", "nth = 4-", "nth = every 7"};
	static const char *const chances[] = {
	    "probability = 50%", "probability = 10%", "limit = 4", "limit = 1"};
	static const char *const times[] = {"after = 30ms", "until = 200ms", "after = 10ms\nuntil = 400ms"};

	if (once_in(dice, 3))
		pick(text, dice, ways);
	if (once_in(dice, 4))
		pick(text, dice, kinds);
	if (once_in(dice, 4))
		pick(text, dice, sizes);
	if (once_in(dice, 3))
		pick(text, dice, counts);
	if (once_in(dice, 2))
		pick(text, dice, chances);
	if (once_in(dice, 5))
		pick(text, dice, times);
	if (rules > 1 && once_in(dice, 5))
		text_add(text, "since = r%u\n", (own + 1 + roll(dice, rules - 1)) % rules);
	if (once_in(dice, 6))
		text_add(text, "device = a\n");
}

static inline void actions_write(struct text *text, struct dice *dice, enum reach reach)
{
	static const char *const free_acts[] = {"delay 5ms", "delay 1ms-30ms", "duplicate", "duplicate 2 6ms",
	    "corrupt 3", "corrupt 2 at 1", "set 0 22", "decoy 2", "decoy 1 at 0", "truncate 25",
	    "inject 0102", "note", "drop", "bypass", "link l1", "link default"};
	static const char *const bound_acts[] = {"hold 2", "hold 1 either", "permute 3 1 2", "permute 2 1",
	    "pack 10ms", "pack 25ms 150B", "blackout 20ms", "blackout 5ms-40ms up hold", "blackout 30ms down",
	    "blackout 15ms hold", "replay 1", "replay 5", "replay client_hello", "rebind", "rebind address"};

	for (unsigned i = 1 + roll(dice, 2); i; i--) {
		text_add(text, "do = ");
		if (reach == REACH_FREE || once_in(dice, 2))
			pick(text, dice, free_acts);
		else
			pick(text, dice, bound_acts);
	}
}

static inline void timed_write(struct text *text, struct dice *dice)
{
	static const char *const times[] = {
	    "at = 30ms", "every = 70ms", "at = 20ms-90ms\nevery = 50ms-150ms", "every = 100ms\nlimit = 3"};
	static const char *const acts[] = {
	    "blackout 20ms", "blackout 10ms-30ms hold", "link l1", "link default", "note", "rebind"};

	pick(text, dice, times);
	text_add(text, "do = ");
	pick(text, dice, acts);
}

static inline void config_write(struct text *text, struct dice *dice, enum reach reach)
{
	static const char *const nats[] = {"", "nat_timeout = 40ms",
	    "nat_timeout = 15ms\nnat_timeout_stream = 90ms", "", "nat_timeout = 30ms\nnat_refresh = both"};
	unsigned rules = 1 + roll(dice, 6);

	text_clear(text);
	text_add(text, "[device a]\naddress = 10.0.0.1, 10.0.0.3\nlink = l1\n");
	if (reach != REACH_FREE)
		pick(text, dice, nats);
	link_write(text, dice, reach, "default");
	link_write(text, dice, reach, "l1");
	for (unsigned i = 0; i < rules; i++) {
		text_add(text, "[rule r%u]\n", i);
		if (reach == REACH_ALL && once_in(dice, 4))
			text_add(text, "scope = all\n");
		if (reach != REACH_FREE && once_in(dice, 5)) {
			timed_write(text, dice);
		} else {
			conditions_write(text, dice, i, rules);
			actions_write(text, dice, reach);
		}
	}
}

/* ---- Traffic ---- */

struct packet {
	ns_t at;
	unsigned device, size;
	enum way way;
	uint8_t bytes[160];
};

/* Fills in a record that looks like a part of a handshake, or of what follows it. */
static inline void packet_fill(struct packet *packet, struct dice *dice)
{
	static const uint8_t heads[][25] = {
	    {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 48},
	    {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 60, 11, 0, 0, 48, 0, 1, 0, 0, 0, 0, 0, 48},
	    {22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 40}, {23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1, 0, 20},
	    {20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1}, {64, 1, 0, 10}, {21, 254, 253}};

	packet->size = roll(dice, once_in(dice, 3) ? sizeof(packet->bytes) : 50);
	memset(packet->bytes, (int)roll(dice, 4), sizeof(packet->bytes));
	memcpy(packet->bytes, heads[roll(dice, COUNT(heads))], sizeof(heads[0]));
}

static inline void traffic_make(struct packet *packets, struct dice *dice)
{
	ns_t now = 0;

	for (unsigned i = 0; i < PACKETS; i++) {
		if (!once_in(dice, 3))
			now += roll(dice, once_in(dice, 10) ? 90000 : 6000) * NS_US;
		assert_true(now < TRAFFIC_MAX);
		packets[i] = (struct packet){
		    .at = now, .device = roll(dice, DEVICES), .way = once_in(dice, 2) ? WAY_UP : WAY_DOWN};
		packet_fill(&packets[i], dice);
	}
}

#endif
