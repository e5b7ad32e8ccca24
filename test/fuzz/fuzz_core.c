/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_core: makes the core's calls in any order, in time that steps back a little now and then. After each
 * call the accounts of every session balance; nothing leaves before it is due or out of order; at the end
 * nothing is left.
 *
 * An input is three bytes that choose a configuration, limits and an end, and then operations of a byte and
 * what they take. Configurations are built once and reused; but under AddressSanitizer one is freed when the
 * core gets another, so that a read of the old one is caught. `@LONG`, `@SHORT` and `@TABLE` in the texts
 * stand for files that the fuzzer makes.
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
#include "test/fuzz/core_texts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define PENDING_MAX 64
#define ENDED_MAX 64
#define DEVICES 6
#define STEP_BACK (12 * NS_MS) /* the most that a timestamp is behind the one before */

/* ---- Files that texts name ---- */

static int file_with(const char *text)
{
	int file = memfd_create("fuzz", MFD_CLOEXEC);

	assert(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
	return file;
}

/* Returns the text with the paths of the files in it; the caller frees it. */
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
static struct built *unused[COUNT(texts)]; /* lists of configurations that no core has */

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

/* Retires a configuration: the core has another now, and must not read this one. */
static void built_retire(struct built *built)
{
	if (POISON_IS_ON)
		built_free(built);
	else
		built_keep(built);
}

/* ---- A core and what it has handed out ---- */

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
	if (how & 0x40) { /* as if the network had no room now */
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

/* Passes an arrival to its session, or refuses it if there is none. */
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
	enum admission admission;

	if (op & 0x40) /* the kernel's timestamp is a little earlier */
		arrival.at -= (ns_t)take(&f->in) * (STEP_BACK / 256);
	arrival.size = bytes_make(f, what, cap);
	exact = malloc(arrival.size); /* the exact size: a read past the end is caught */
	assert(exact || !arrival.size);
	if (arrival.size)
		memcpy(exact, cap, arrival.size);
	arrival.bytes = exact;
	outcomes(f, op); /* takes what left at once, as this one may have come earlier */
	session = core_session(f->core, listener, &entrances[listener], &device, &arrival, &admission);
	check(f);
	if (admission == ADMISSION_OPENED)
		outcomes(f, op); /* opening advances the time, and the timestamp may be behind the last */
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

/* Counts the datagrams that may be left: asleep until their device sends, or kept for replays. */
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
	} else { /* with datagrams still in the core */
		answer_pending(&f, 0);
		while (f.ended_count)
			core_session_release(f.core, f.ended[--f.ended_count]);
	}
	core_free(f.core);
	built_keep(f.built);
	return 0;
}
