/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_core: any order of the core's calls, on time that steps back a little now and then. After each call
 * the accounts of every session balance; nothing leaves before it is due or out of order; at the end nothing
 * is left.
 *
 * An input is a byte that chooses a configuration, one that chooses limits, and then operations of a byte and
 * what they take. Configurations are built once and used again; but AddressSanitizer sees one freed when the
 * core has had another, so that reading an old one is seen. `@LONG`, `@SHORT` and `@TABLE` in the texts are
 * files that the fuzzer makes.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/ini.h"
#include "base/poison.h"
#include "base/pool.h"
#include "rules/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define PENDING_MAX 64
#define ENDED_MAX 64
#define DEVICES 6
#define STEP_BACK (12 * NS_MS) /* most that a stamp is behind the one before */

/* ---- Configurations: together every key of a link, every condition and every action ---- */

static const char *const texts[] = {
    /* 0: the link, and what a radio does */
    "[device a]\naddress = 192.0.2.1, 192.0.2.2:40002\nlink = radio\nidentity = one\nnat_timeout = "
    "300ms\nnat_timeout_stream = 2s\nnat_refresh = both\n"
    "[device b]\nlistener = 192.0.2.200:5684\nlike = a\nlink = traced\n"
    "[device c]\naddress = 2001:db8::/32\n"
    "[link default]\nlatency = 20ms\njitter = 10ms\ndistribution = normal\ncorrelation = 30%\nloss = 10%\n"
    "reorder = 20%\nreorder_by = 2p\nreorder_wait = 300ms\nduplicate = 20%\ncorrupt = 10%\n"
    "[link radio]\nup.rate = 20kbit\ndown.rate = 50kbit\nqueue = 5p\npacket_time = 2ms\noverhead = 10\n"
    "loss_at = exit\nloss = 20%\nloss_run = 3\nwake_after = 500ms\ndown.wake_delay = next-up\nup.wake_delay "
    "= 10ms-1s\n"
    "[link traced]\ntrace = @LONG\norder = free\njitter = 5ms\ndistribution = file @TABLE\nmtu = 600B\nqueue "
    "= 300B\n"
    "[rule group]\ndo = permute 3 1 2\n"
    "[rule lose]\nprobability = 20%\ndo = drop\n",
    /* 1: the same names, other shapes */
    "[device a]\naddress = 192.0.2.0/24\nidentity = two\nlink = traced\n"
    "[link default]\nlatency = 5ms\njitter = 5ms\ndistribution = pareto\norder = free\nup.duplicate = 50%\n"
    "gilbert_elliott = 10% 30% 90% 1%\nreorder = 50%\nreorder_by = 30ms\n"
    "[link traced]\nlike = default\ntrace = @SHORT\nqueue = 20ms\nwake_after = 200ms\nwake_delay = 50ms\n"
    "[rule group]\ndirection = either\ndo = permute 2 1\n"
    "[rule lose]\nscope = all\nnth = every 3\ndo = blackout 100ms up hold\n"
    "[rule again]\nnth = 4-\ndo = replay 1\n",
    /* 2: copies and holds */
    "[link default]\nlatency = 10ms\nrate = 100kbit\nqueue = 4p\nduplicate = 30%\nloss_at = exit\nloss = "
    "10%\n"
    "[rule again]\nnth = every 2\nlimit = 40\ndo = replay 7\ndo = replay client_hello\ndo = replay type:254\n"
    "[rule twice]\nsize = 1-40, 100-\ndo = duplicate 2 15ms\ndo = truncate 20\ndo = duplicate\n"
    "[rule bits]\nprobability = 50%\ndo = decoy 2\ndo = corrupt 3\ndo = corrupt 2 at 1\ndo = set 0 255\n"
    "[rule back]\nnth = 3, 9-11, every 7\ndo = hold 2\n[rule back2]\nnth = every 5\ndo = hold 1 either\ndo = "
    "delay 30ms\n"
    "[rule more]\ndirection = down\nlimit = 20\ndo = inject 00ff17\ndo = delay 1ms-40ms\n",
    /* 3: pack, in every place where something may wait */
    "[link default]\nwake_after = 100ms\ndown.wake_delay = next-up\nup.wake_delay = 50ms\nlatency = "
    "1ms\nloss = 5%\n"
    "loss_at = exit\nmtu = 200B\n[link other]\n"
    "[rule joint]\nprobability = 60%\ndo = duplicate\ndo = pack 30ms 180B\n"
    "[rule dark]\nnth = every 6\ndo = blackout 40ms hold\n"
    "[rule darker]\nnth = every 11\ndo = blackout 10ms-60ms down drop\n"
    "[rule free]\nnth = every 5\ndo = bypass\n"
    "[rule over]\nnth = every 9\ndo = link other\n[rule home]\nnth = every 10\ndo = link default\ndo = "
    "rebind address\n",
    /* 4: conditions */
    "[device a]\naddress = 192.0.2.1\n[device b]\n"
    "[rule hello]\ndtls = client_hello, server_hello, type:22\ndo = note\n"
    "[rule tries]\nattempt = 2-3\nmessage_seq = 0-2\ndo = drop\n[rule web]\ncoap = con, 2.05, block2\n"
    "coap_block = 0-9\nbytes = 0:40/c0, -1:00\nnth = 1-2 every 3\ndo = delay 2ms\n[rule enc]\ndtls = "
    "encrypted\ndtls_not = cid, unified\nepoch = "
    "1-\ndo = delay 5ms\n"
    "[rule rec]\nrecord = 0:0-3, 1:0\ndo = duplicate\n[rule bytes]\ncarried = 1KiB-2KiB\ndo = hold 3\n"
    "[rule life]\nafter = 1s\nuntil = 10s\nsession = 1, 3-5\ndevice = a, b\ndo = corrupt\n"
    "[rule plain]\ndtls = none\ndirection = up\nexpect = 1-3 each\ndo = note\n"
    "[rule after]\nsince = hello\nattempt = 1\nlimit = 3\ncarried = -500\ndo = drop\n"
    "[rule all]\nscope = all\nsince = after\nnth = 2\ndo = blackout 200ms both drop\n"
    "[rule tick]\nsince = tries\nat = 20ms\nevery = 300ms\nlimit = 4\ndo = note\n",
    /* 5: times, scope = all */
    "[device a]\naddress = 192.0.2.1\nidentity = one\n[device b]\nidentity = one\n"
    "[link default]\nlatency = 30ms\n[link slow]\nlatency = 300ms\njitter = 200ms\ndistribution = "
    "lognormal\norder = free\n"
    "[rule night]\nat = 100ms\nevery = 700ms\ndo = blackout 200ms hold\n"
    "[rule move]\nscope = all\nevery = 900ms-2s\nlimit = 5\ndo = link slow\ndo = note\n"
    "[rule dark]\nscope = all\nat = 1s-3s\ndo = blackout 1s-2s down drop\ndo = blackout 500ms up hold\n"
    "[rule tick]\nsince = dark\nscope = all\nevery = 400ms\nexpect = 1- each\ndo = link default\n"
    "[rule self]\nsince = night\nnth = 2\ndevice = a\ndo = note\n",
    /* 6: large groups that lose members, under a blackout and across both ways */
    "[link default]\nloss = 30%\nloss_at = exit\nrate = 1Mbit\n"
    "[rule ring]\ndirection = either\ndo = permute 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1\n"
    "[rule some]\nnth = every 3\nlimit = 200\ndo = drop\n[rule pairs]\ndirection = up\ndo = permute 2 1\n"
    "[rule dark]\nnth = every 13\ndo = blackout 20ms hold\n[rule tick]\nevery = 1s\ndo = blackout 50ms\ndo = "
    "rebind\n",
    /* 7: a bare link, everything held */
    "[link default]\norder = keep\njitter = 50ms\nlatency = 50ms\nreorder = 60%\nreorder_by = "
    "3p\nreorder_wait = 0\n"
    "[rule again]\ndo = replay 3\nprobability = 30%\n[rule back]\ndo = hold 2 either\nprobability = 50%\n"
    "[rule night]\nscope = all\nnth = every 20\ndo = blackout 300ms hold\n",
    /* 8: what the sessions of a device share */
    "[device a]\naddress = 192.0.2.1\nidentity = one\n"
    "[link default]\nshared = device\nrate = 1Mbit\nqueue = 20p\nloss = 20%\nloss_run = 3\nwake_after = "
    "100ms\ndown.wake_delay = next-up\nduplicate = 10%\njitter = 20ms\nlatency = 20ms\n[link cell]\nshared "
    "= all\nrate = 100kbit\nwake_after = 50ms\nwake_delay = next-up\ncorrelation = 50%\njitter = 5ms\n"
    "latency = 5ms\n"
    "[rule zone]\nscope = device\nnth = every 9\ndo = blackout 100ms hold\ndo = blackout 50ms-90ms up\n"
    "[rule over]\nscope = device\ncarried = 2KiB-\nsince = tick\nlimit = 3\ndo = link cell\ndo = note\n"
    "[rule tick]\nscope = device\nat = 100ms\nevery = 700ms\ndo = rebind\ndo = link default\n"
    "[rule back]\nscope = device\nsince = zone\nafter = 1s\nprobability = 50%\ndo = permute 3 1 2\ndo = "
    "duplicate 2\n[rule end]\nscope = device\nnth = every 25\ndo = blackout 0\n",
};

static const char *const records[] = {
    /* ClientHello of epoch 0, its retransmission, another random, ServerHello with a connection ID, Finished
       … */
    "16fefd000000000000000000360100002a000000000000002afefd00000000000000000000000000000000000000000000000000"
    "00000"
    "000000000000002c0ac0100",
    "16fefd000000000000000100360100002a000000000000002afefd00000000000000000000000000000000000000000000000000"
    "00000"
    "000000000000002c0ac0100",
    "16fefd000000000000000000360100002a000000000000002afefd11111111111111111111111111111111111111111111111111"
    "11111"
    "111111111000002c0ac0100",
    "16fefd000000000000000100390200002d000100000000002dfefd22222222222222222222222222222222222222222222222222"
    "22222"
    "22222222200c0ac00000500360001040000",
    "14fefd000000000000000300010116fefd000100000000000000180001000000000000aabbccddeeff00112233445566778899",
    "17fefd0001000000000001000400112233",
    "19fefd00010000000000020411223344000455667788",
    "15fefd00000000000005000202 28",
    "2c00010010000102030405060708090a0b0c0d0e0f",
    "fefefd000100000000000900021234",
    "4001000a",
    "",
};

/* ---- Files that texts name ---- */

static int file_with(const char *text)
{
	int file = memfd_create("fuzz", MFD_CLOEXEC);

	assert(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
	return file;
}

/* Puts the paths of the files in; the caller frees it. */
static char *text_whole(const char *text)
{
	static int files[3];
	static const char *const names[3] = {"@LONG", "@SHORT", "@TABLE"};
	char *whole = malloc(2 * strlen(text) + 1), *at = whole;

	assert(whole);
	if (!files[0]) {
		files[0] = file_with("0\n2\n2\n5\n30\n31\n100\n101\n101\n160\n161\n200\n");
		files[1] = file_with("3\n40\n");
		files[2] = file_with("-8192 -4096 0\n4096 8192\n");
	}
	while (*text) {
		size_t i = 0;

		while (i < COUNT(names) && strncmp(text, names[i], strlen(names[i])) != 0)
			i++;
		if (i == COUNT(names)) {
			*at++ = *text++;
		} else {
			at += sprintf(at, "/proc/self/fd/%d", files[i]);
			text += strlen(names[i]);
		}
	}
	*at = '\0';
	return whole;
}

/* ---- The input ---- */

struct input {
	const uint8_t *at, *end;
};

static unsigned take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

/* ---- Configurations in use ---- */

struct built {
	unsigned which; /* index in texts */
	struct ini *ini;
	struct complaints *complaints;
	struct config *config;
	struct built *next;
};

static struct names *names;                /* of all texts */
static struct built *unused[COUNT(texts)]; /* lists of those that no core has */

static struct built *built_new(unsigned which)
{
	static const struct section_kind *const kinds[] = {
	    &config_device_kind, &config_link_kind, &config_rule_kind};
	struct built *built = malloc(sizeof(*built));
	char *text = text_whole(texts[which]);

	assert(built);
	*built = (struct built){.which = which};
	built->complaints = complaints_new();
	built->ini = ini_new(kinds, COUNT(kinds), NULL, built->complaints);
	ini_read_text(built->ini, "fuzz.ini", text, strlen(text));
	free(text);
	ini_inherit(built->ini);
	built->config = config_new(built->ini, names, built->complaints);
	if (complaints_count(built->complaints, COMPLAINT_ERROR))
		complaints_print(built->complaints, stderr);
	assert(complaints_count(built->complaints, COMPLAINT_ERROR) == 0);
	return built;
}

static void built_free(struct built *built)
{
	config_free(built->config);
	ini_free(built->ini);
	complaints_free(built->complaints);
	free(built);
}

static void built_keep(struct built *built)
{
	built->next = unused[built->which];
	unused[built->which] = built;
}

/* The first call builds all, so that the numbers of names do not depend on the inputs. */
static struct built *built_take(unsigned byte)
{
	unsigned which = byte % COUNT(texts);
	struct built *built;

	if (!names) {
		names = names_new();
		for (unsigned i = 0; i < COUNT(texts); i++)
			built_keep(built_new(i));
	}
	built = unused[which];
	if (!built)
		return built_new(which);
	unused[which] = built->next;
	return built;
}

/* The core has another now, and must not read this one. */
static void built_retire(struct built *built)
{
	if (POISON_IS_ON)
		built_free(built);
	else
		built_keep(built);
}

/* ---- A core and what was handed out by it ---- */

struct fuzz {
	struct input in;
	struct core *core;
	struct built *built;
	ns_t now;
	struct datagram *pending[PENDING_MAX];
	size_t pending_count;
	struct session *ended[ENDED_MAX];
	size_t ended_count;
};

static const struct entrance entrances[] = {
    {.listener = {.family = FAMILY_IPV4, .port = 5684, .ip = {192, 0, 2, 100}}},
    {.listener = {.family = FAMILY_IPV4, .port = 5684, .ip = {192, 0, 2, 200}}}};

static struct core_limits limits_of(unsigned byte)
{
	static const uint64_t sessions[] = {1, 2, 3, 100};
	static const uint64_t queued[] = {150, 1500, UINT64_C(1) << 16, UINT64_C(64) << 20};
	static const ns_t idle[] = {500 * NS_MS, 5 * NS_S, 60 * NS_S, 2 * NS_HOUR};

	return (struct core_limits){.seed = byte,
	    .max_sessions = sessions[byte & 3],
	    .max_queued = queued[byte >> 2 & 3],
	    .idle_timeout = idle[byte >> 4 & 3]};
}

/* ---- What must hold ---- */

static void account_check(const struct account *a)
{
	assert(a->received + a->copies == a->sent + account_dropped(a) + a->queued);
}

static void way_check(const struct session_way *way)
{
	const struct account account = way_account(way);

	account_check(&account);
}

static void check(const struct fuzz *f)
{
	uint64_t queued = 0;

	for (const struct session *s = core_oldest(f->core); s; s = s->newer)
		for (int way = 0; way < WAYS; way++) {
			way_check(&s->ways[way]);
			queued += s->ways[way].tally.queued;
		}
	for (size_t i = 0; i < f->ended_count; i++)
		for (int way = 0; way < WAYS; way++) {
			way_check(&f->ended[i]->ways[way]);
			assert(f->ended[i]->ways[way].tally.queued == 0);
		}
	for (int way = 0; way < WAYS; way++)
		account_check(core_refused(f->core, (enum way)way));
	assert(queued == core_queued(f->core));
}

/* ---- Answers ---- */

static void answer(struct fuzz *f, struct datagram *datagram, unsigned how)
{
	if (how % 8) {
		core_sent(f->core, datagram, f->now > datagram->due ? f->now : datagram->due);
	} else {
		core_failed(f->core, datagram, REASON_ERROR);
		check(f);
		core_release(f->core, datagram);
	}
	check(f);
}

static void answer_pending(struct fuzz *f, size_t keep)
{
	while (f->pending_count > keep) {
		struct datagram *first = f->pending[0];

		f->pending_count--;
		memmove(f->pending, f->pending + 1, f->pending_count * sizeof(*f->pending));
		answer(f, first, take(&f->in) + 1);
	}
}

static void sent(struct fuzz *f, struct datagram *datagram, unsigned how)
{
	assert(datagram->due >= datagram->arrived);
	if (how & 0x40) { /* the network has no room now */
		answer_pending(f, PENDING_MAX - 1);
		f->pending[f->pending_count++] = datagram;
	} else {
		answer(f, datagram, how);
	}
}

static void ended(struct fuzz *f, struct session *session)
{
	if (f->ended_count == ENDED_MAX)
		core_session_release(f->core, f->ended[--f->ended_count]);
	f->ended[f->ended_count++] = session;
}

/* Takes all outcomes; those of one advance come in the order of their times. */
static void outcomes(struct fuzz *f, unsigned how)
{
	struct outcome o;
	ns_t last = INT64_MIN;

	while (core_next(f->core, &o)) {
		switch (o.kind) {
		case OUTCOME_SEND:
			assert(o.datagram->due <= o.at && o.at >= last);
			last = o.at;
			assert(o.session == o.datagram->session && !o.session->end);
			assert(o.datagram->way == WAY_DOWN || o.mapping);
			sent(f, o.datagram, how);
			break;
		case OUTCOME_UNSENT:
			assert(o.reason);
			core_release(f->core, o.datagram);
			break;
		case OUTCOME_EVENT: assert(*o.text); break;
		case OUTCOME_UPSTREAM:
		case OUTCOME_DARK: break;
		case OUTCOME_ENDED:
			assert(o.session->end);
			ended(f, o.session);
			break;
		}
		check(f);
	}
}

/* ---- Operations ---- */

static void advance(struct fuzz *f, ns_t by, unsigned how)
{
	outcomes(f, how);
	f->now += by;
	core_advance(f->core, f->now);
	check(f);
	assert(core_due(f->core) > f->now);
	outcomes(f, how);
}

struct record {
	uint8_t bytes[128];
	size_t size;
};

static const struct record *record_of(unsigned which)
{
	static struct record all[COUNT(records)];
	static bool is_read;

	for (size_t i = 0; !is_read && i < COUNT(records); i++) {
		struct record *record = &all[i];

		for (unsigned byte; sscanf(records[i] + 2 * record->size, "%2x", &byte) == 1;
		     record->size++) {
			assert(record->size < sizeof(record->bytes));
			record->bytes[record->size] = (uint8_t)byte;
		}
	}
	is_read = true;
	return &all[which % COUNT(records)];
}

/* `bytes` has room for 4 * 255, and for a record. */
static size_t bytes_make(struct fuzz *f, unsigned how, uint8_t *bytes)
{
	const struct record *record = record_of(how);
	size_t size = record->size;

	memcpy(bytes, record->bytes, size);
	if (how & 0x80) {
		size_t max = take(&f->in) * 4;

		for (; size < max; size++)
			bytes[size] = (uint8_t)size;
	}
	if (how & 0x40 && size)
		bytes[take(&f->in) % size] ^= (uint8_t)take(&f->in);
	return size;
}

static struct address device_of(unsigned who)
{
	struct address device = {
	    .family = FAMILY_IPV4, .port = (uint16_t)(40000 + who % DEVICES), .ip = {192, 0, 2}};

	if (who & 0x20)
		return (struct address){.family = FAMILY_IPV6, .port = 40001, .ip = {0x20, 1, 0xd, 0xb8}};
	device.ip[3] = (uint8_t)(1 + who % DEVICES % 3);
	return device;
}

/* To the session, or refused where there is none. */
static void judge(struct fuzz *f, struct session *session, struct arrival *arrival)
{
	struct verdict verdict;

	if (session && arrival->way == WAY_DOWN)
		arrival->mapping = take(&f->in) % (session->nat.mapping + 1);
	if (session)
		core_arrive(f->core, session, arrival, &verdict);
	else
		core_refuse(f->core, REASON_MAX_SESSIONS, arrival, &verdict);
	assert(verdict.reason < REASON_COUNT && verdict.by_count <= VERDICT_BY_MAX);
	assert(verdict.mutation_count <= VERDICT_MUTATIONS_MAX);
	check(f);
}

static void arrive(struct fuzz *f, unsigned op)
{
	static uint8_t cap[4 * 256 + 64];
	unsigned who = take(&f->in), what = take(&f->in), listener = who >> 4 & 1;
	struct address device = device_of(who);
	struct arrival arrival = {.way = who & 0x40 ? WAY_DOWN : WAY_UP, .at = f->now};
	struct session *session;
	uint8_t *exact;
	bool opened;

	if (op & 0x40) /* stamped by the kernel a little before */
		arrival.at -= (ns_t)take(&f->in) * (STEP_BACK / 256);
	arrival.size = bytes_make(f, what, cap);
	exact = malloc(arrival.size); /* exactly so many: a step past the end is seen */
	assert(exact || !arrival.size);
	if (arrival.size)
		memcpy(exact, cap, arrival.size);
	arrival.bytes = exact;
	outcomes(f, op); /* what left at once stands among them, and this one may have come earlier */
	session = core_session(f->core, listener, &entrances[listener], &device, arrival.at, &opened);
	check(f);
	if (opened)
		outcomes(f, op); /* opening one lets time come, and its stamp may be behind the last */
	judge(f, session, &arrival);
	free(exact);
	if (op & 0x80)
		advance(f, 0, op);
}

static void reload(struct fuzz *f)
{
	struct built *old = f->built;
	struct core_limits limits;

	f->built = built_take(take(&f->in));
	limits = limits_of(take(&f->in));
	core_reload(f->core, f->built->config, &limits, entrances, f->now);
	built_retire(old);
	check(f);
}

static void refuse(struct fuzz *f)
{
	struct arrival arrival = {.way = take(&f->in) & 1 ? WAY_DOWN : WAY_UP,
	    .bytes = (const uint8_t *)"x",
	    .size = 1,
	    .at = f->now};
	struct verdict verdict;

	core_refuse(f->core, REASON_NOT_ALLOWED, &arrival, &verdict);
	assert(verdict.reason == REASON_NOT_ALLOWED && verdict.session == 0);
	check(f);
}

static void operate(struct fuzz *f)
{
	static const ns_t steps[] = {
	    0, 50 * NS_US, NS_MS, 7 * NS_MS, 20 * NS_MS, 130 * NS_MS, NS_S, 8 * NS_S};
	unsigned op = take(&f->in);

	switch (op & 15) {
	case 8:
	case 9:
	case 10: advance(f, steps[op >> 4 & 7], take(&f->in)); break;
	case 11: reload(f); break;
	case 12: refuse(f); break;
	case 13: answer_pending(f, 0); break;
	case 14: outcomes(f, op); break;
	case 15:
		if (core_oldest(f->core))
			core_session_touch(f->core, core_oldest(f->core),
			    &(struct arrival){.way = op & 16 ? WAY_DOWN : WAY_UP, .at = f->now});
		break;
	default: arrive(f, op); break;
	}
	check(f);
}

/* ---- The end ---- */

/* Datagrams that may still be there: those asleep until their device sends, and those kept for replays. */
static size_t left_in(const struct session *session, uint64_t *waiting, uint64_t *bytes)
{
	size_t count = 0;

	for (int w = 0; w < WAYS; w++) {
		const struct way_extra *way = session->ways[w].extra;

		for (const struct datagram *d = way->asleep.first; d; d = d->next) {
			count++;
			if (d->flags & DATAGRAM_LOST_AT_EXIT)
				continue;
			*waiting += d->flags & DATAGRAM_JOINED ? d->plan->parts->count : 1;
			*bytes += datagram_weight(d);
		}
		assert(!way->blackout_held.first && !way->held.first && !way->pack);
		for (unsigned i = 0; way->recent && i < way->recent_cap; i++)
			count += way->recent[i] != NULL;
	}
	for (unsigned i = 0; session->firsts && i < session->first_count; i++)
		count += session->firsts[i] != NULL;
	return count;
}

static void drain(struct fuzz *f)
{
	uint64_t waiting = 0, bytes = 0;
	size_t count = 0;

	core_last_arrival(f->core);
	outcomes(f, 1);
	answer_pending(f, 0);
	while (core_due(f->core) != NS_NEVER)
		advance(f, core_due(f->core) > f->now ? core_due(f->core) - f->now : 0, 1);
	while (f->ended_count)
		core_session_release(f->core, f->ended[--f->ended_count]);
	for (const struct session *s = core_oldest(f->core); s; s = s->newer)
		count += left_in(s, &waiting, &bytes);
	assert(core_datagrams(f->core) == count);
	assert(core_queued(f->core) == waiting);
	assert(core_queued_bytes(f->core) == bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.in = {data, data + size}};
	unsigned which = take(&f.in), end;
	struct core_limits limits = limits_of(take(&f.in));
	struct each_failure failures[8];

	end = take(&f.in);
	f.built = built_take(which);
	f.core = core_new(f.built->config, names, &limits, 0);
	f.now = NS_S;
	while (f.in.at < f.in.end)
		operate(&f);
	core_each_failures(f.core, failures, COUNT(failures));
	if (end & 1) {
		drain(&f);
	} else { /* in the middle of it all */
		answer_pending(&f, 0);
		while (f.ended_count)
			core_session_release(f.core, f.ended[--f.ended_count]);
	}
	core_free(f.core);
	built_keep(f.built);
	return 0;
}
