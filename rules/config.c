/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config: config_new fills each section by its key table (see keys.c) and checks combinations of keys; then
 * it builds the indexes by address and name and the lists of rules, looks for cycles of `since`, and adds
 * notes.
 */
#include "rules/config.h"

#include <math.h>
#include <string.h>

#include "base/chance.h"
#include "base/datagram.h"
#include "base/ini.h"
#include "rules/notes.h"
#include "rules/sections.h"

#define QUEUE_NOTE (10 * NS_S) /* a note is made of a queue that holds more */
#define QUEUE_NOTE_SIZE 500    /* payload bytes of the datagrams assumed for that */
#define WORD_SIZE 32

/* ---- Links ---- */

struct link_check {
	const struct ini_section *section;
	struct complaints *complaints;
	struct link_way *figures;
	enum way way;
};

/* Handles two keys that exclude each other: a section's own key overrides an inherited one; two own or two
 * inherited ones are an error. Returns whether `other` overrides `key`. */
static bool is_overridden(const struct link_check *check, const char *key, const char *other)
{
	const struct ini_entry *a = notes_entry_for(check->section, key, check->way);
	const struct ini_entry *b = notes_entry_for(check->section, other, check->way);

	if (!a || !b)
		return false;
	if (a->inherited == b->inherited)
		ini_complain(check->section, a, check->complaints,
		    "stands in place of `%s`; only one of them may be given", b->key);
	return a->inherited && !b->inherited;
}

#define ROUNDING 1e-9 /* relative error of a share written in decimals */

static void build_loss(const struct link_check *check)
{
	struct link_way *w = check->figures;
	const struct ini_entry *run = notes_entry_for(check->section, "loss_run", check->way);
	double min;

	if (w->gilbert.given && (is_overridden(check, "gilbert_elliott", "loss") ||
	                            is_overridden(check, "gilbert_elliott", "loss_run")))
		w->gilbert = (struct gilbert){0};
	if (w->gilbert.given) {
		w->chained = true;
		return;
	}
	if (w->loss_run == 0)
		return;
	if (w->loss >= 1) {
		ini_complain(check->section, run, check->complaints, "has no meaning where loss is 100%%");
		return;
	}
	min = w->loss / (1 - w->loss);
	if (w->loss_run < min * (1 - ROUNDING)) {
		ini_complain(check->section, run, check->complaints,
		    "a loss of %.6g%% comes in runs of at least loss / (1 - loss) = %.6g in the mean",
		    w->loss * 100, min);
		return;
	}
	w->chained = true;
	w->gilbert = (struct gilbert){
	    .to_good = 1 / w->loss_run, .to_bad = fmin(min / w->loss_run, 1), .loss_bad = 1};
}

/* Returns how many seconds a full queue of small datagrams takes to drain. */
static double queue_seconds(const struct link_way *w)
{
	uint64_t overhead = w->overhead == OVERHEAD_IP ? 28 : w->overhead;
	double each = (double)w->packet_time / (double)NS_S;
	double packets = (double)w->queue.value;

	if (w->rate)
		each += (double)(8 * (QUEUE_NOTE_SIZE + overhead)) / (double)w->rate;
	if (w->queue.kind == AMOUNT_TIME)
		return each > 0 ? packets / (double)NS_S : 0;
	return (w->queue.kind == AMOUNT_BYTES ? packets / QUEUE_NOTE_SIZE : packets) * each;
}

static void check_way(const struct link_check *check)
{
	struct link_way *w = check->figures;
	const struct ini_entry *queue = notes_entry_for(check->section, "queue", check->way);
	double seconds = queue_seconds(w);

	build_loss(check);
	if (w->rate && w->trace.count) {
		if (is_overridden(check, "trace", "rate"))
			w->trace = (struct trace){0};
		else
			w->rate = 0;
	}
	if (w->dist.kind == DIST_LOGNORMAL && w->jitter) {
		if (w->latency)
			dist_lognormal(&w->dist, (double)w->latency, (double)w->jitter);
		else
			ini_complain(check->section,
			    notes_entry_for(check->section, "distribution", check->way), check->complaints,
			    "lognormal needs a latency above 0, which is its mean");
	}
	if (seconds * (double)NS_S > (double)QUEUE_NOTE)
		ini_note(check->section, queue, check->complaints,
		    "the queue%s holds up to %.0f s of 500-byte datagrams; a shorter one (`queue = 20p`) is "
		    "nearer to real networks",
		    queue ? "" : " (1000p by default)", seconds);
	w->clean = !w->latency && !w->jitter && w->loss <= 0 && !w->chained && w->reorder <= 0 &&
	           w->duplicate <= 0 && w->corrupt <= 0 && !w->rate && !w->packet_time && !w->trace.count &&
	           !w->mtu && !w->wake_after;
}

static void build_link(struct config *config, const struct ini_section *section, struct reading *reading,
    struct complaints *complaints)
{
	struct link *link = arena_grow(config->arena, config->links, config->link_count, sizeof(*link));
	char title[WORD_SIZE + 64];

	config->links = link;
	link += config->link_count++;
	keys_set_defaults(&config_link_kind, link, reading);
	keys_fill(&config_link_kind, section, link, reading, complaints);
	link->name = section ? section->name : "clean";
	config->shares_by_device |= link->shared == SHARED_DEVICE;
	link->id = names_add(reading->names, "link:", link->name);
	snprintf(title, sizeof(title), "link:%s", link->name);
	link->draw_key = chance_hash(0, title, strlen(title));
	for (int way = 0; way < WAYS; way++) {
		struct link_check check = {section, complaints, &link->ways[way], (enum way)way};

		if (section)
			check_way(&check);
		else
			link->ways[way].clean = true;
	}
}

/* ---- Devices ---- */

static void build_device(struct config *config, const struct ini_section *section, struct reading *reading,
    struct complaints *complaints)
{
	struct device *device = arena_grow(
	    config->arena, config->devices, config->device_count, sizeof(*device));
	config->devices = device;
	device += config->device_count++;
	keys_set_defaults(&config_device_kind, device, reading);
	device->link = config->default_link;
	keys_fill(&config_device_kind, section, device, reading, complaints);
	device->name = section->name;
	config->any_follow |= device->follow_cid;
	device->id = names_add(reading->names, "dev=", section->name);
}

static void index_devices(struct config *config, const struct ini *ini, struct complaints *complaints)
{
	config->sections = sections_new(config->arena, config->devices, config->device_count);
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device *device = &config->devices[i];
		const struct device *earlier = sections_shadow(config->sections, device);

		if (earlier)
			ini_note(ini_find(ini, "device", device->name), NULL, complaints,
			    "is never reached: [device %s] stands before it and takes all of its sessions",
			    earlier->name);
	}
}

const struct device *config_device(
    const struct config *config, const struct address *device, const struct entrance *entrance)
{
	return sections_find(config->sections, device, entrance);
}

/* ---- Rules ---- */

static unsigned tested_conditions(const struct rule *rule, const struct ini_section *section)
{
	static const struct {
		const char *key;
		enum looks looks;
	} conditions[] = {{"since", LOOKS_SINCE}, {"attempt", LOOKS_ATTEMPT}, {"message_seq", LOOKS_SEQUENCE},
	    {"after", LOOKS_AGE}, {"until", LOOKS_AGE}, {"size", LOOKS_SIZE}, {"dtls", LOOKS_DTLS},
	    {"dtls_not", LOOKS_DTLS}, {"epoch", LOOKS_RECORDS}, {"record", LOOKS_RECORDS},
	    {"carried", LOOKS_CARRIED}, {"bytes", LOOKS_BYTES}, {"coap", LOOKS_COAP},
	    {"coap_block", LOOKS_COAP_BLOCK}};
	unsigned looks = rule->way == RULE_UP     ? LOOKS_UP
	                 : rule->way == RULE_DOWN ? LOOKS_DOWN
	                                          : LOOKS_UP | LOOKS_DOWN;

	if (rule->timed)
		return 0;
	for (size_t i = 0; i < sizeof(conditions) / sizeof(*conditions); i++)
		if (ini_entry(section, conditions[i].key))
			looks |= conditions[i].looks;
	return looks;
}

/* A rule with `attempt` counts attempts even if its other conditions fail, so only its direction is tested
 * first. */
static struct rule_gate gate_of(const struct rule *rule)
{
	struct rule_gate gate = {.size_high = UINT64_MAX};

	if (rule->looks & LOOKS_ATTEMPT)
		return gate;
	for (size_t i = 0; i < rule->sizes.count; i++) {
		const struct span *span = &rule->sizes.all[i];

		gate.size_low = !i || span->low < gate.size_low ? span->low : gate.size_low;
		gate.size_high = !i || span->high > gate.size_high ? span->high : gate.size_high;
	}
	if (!rule->dtls.any_types)
		gate.kinds = rule->dtls.kinds;
	if (rule->scope == SCOPE_SESSION && !(rule->looks & LOOKS_SINCE))
		gate.age = rule->after;
	return gate;
}

static void check_timed(
    const struct rule *rule, const struct ini_section *section, struct complaints *complaints)
{
	static const char *const datagram_keys[] = {"direction", "dtls", "dtls_not", "epoch", "record",
	    "attempt", "message_seq", "bytes", "coap", "coap_block", "carried", "size", "nth", "probability",
	    "after", "until"};

	for (size_t i = 0; i < sizeof(datagram_keys) / sizeof(*datagram_keys); i++) {
		const struct ini_entry *entry = ini_entry(section, datagram_keys[i]);

		if (entry)
			ini_complain(section, entry, complaints,
			    "looks at a datagram, and a rule with `at` or `every` has none; beside them "
			    "stand device, session, since, limit, expect and scope");
	}
	if (rule->first)
		ini_complain(section, ini_entry(section, "scope"), complaints,
		    "is first, which looks at datagrams, and a rule with `at` or `every` has none");
	for (size_t i = 0, k = 0; i < section->entry_count; i++) {
		if (strcmp(section->entries[i].key, "do") != 0 || k >= rule->actions.count)
			continue;
		if (!action_table[rule->actions.all[k].act].timed)
			ini_complain(section, &section->entries[i], complaints,
			    "`%s` needs a datagram; a rule with `at` or `every` can do blackout, rebind, "
			    "link, upstream and note",
			    action_table[rule->actions.all[k].act].word);
		k++;
	}
	if (rule->every_given && rule->every.low < RULE_EVERY_MIN)
		ini_complain(section, ini_entry(section, "every"), complaints,
		    "is below 1ms; `every` takes times of at least 1ms");
}

/* Registers what a replay action needs: the first datagram of a kind, or the number of recent ones to keep.
 */
static void register_replay(struct config *config, struct action *action)
{
	if (!action->by_kind) {
		if (action->count > config->recent)
			config->recent = action->count;
		return;
	}
	for (action->kept = 0; action->kept < config->first_count; action->kept++)
		if (kinds_equal(&config->firsts[action->kept], &action->kinds))
			return;
	config->firsts = arena_grow(
	    config->arena, config->firsts, config->first_count, sizeof(*config->firsts));
	config->firsts[config->first_count++] = action->kinds;
}

static void build_rule(struct config *config, const struct ini_section *section, struct reading *reading,
    struct complaints *complaints)
{
	struct rule *rule = arena_grow(config->arena, config->rules, config->rule_count, sizeof(*rule));
	char title[WORD_SIZE + 64];

	config->rules = rule;
	rule += config->rule_count;
	keys_set_defaults(&config_rule_kind, rule, reading);
	rule->name = section->name;
	rule->index = (unsigned)config->rule_count++;
	rule->limit = rule->epoch.high = rule->attempt.high = rule->message_seq.high = rule->carried.high =
	    rule->coap_block.high = UNITS_NO_LIMIT;
	keys_fill(&config_rule_kind, section, rule, reading, complaints);
	rule->id = names_add(reading->names, "rule:", section->name);
	snprintf(title, sizeof(title), "rule:%s", section->name);
	rule->draw_key = chance_hash(0, title, strlen(title));
	rule->at_given = ini_entry(section, "at");
	rule->every_given = ini_entry(section, "every");
	rule->timed = rule->at_given || rule->every_given;
	rule->looks = tested_conditions(rule, section);
	rule->gate = gate_of(rule);
	config->any_attempt |= (rule->looks & LOOKS_ATTEMPT) != 0;
	if (!ini_entry(section, "do"))
		ini_complain(section, NULL, complaints, "does nothing: it lacks `do = …`");
	for (size_t i = 0; i < rule->actions.count; i++)
		if (rule->actions.all[i].act == ACT_REPLAY)
			register_replay(config, &rule->actions.all[i]);
	if (rule->timed)
		check_timed(rule, section, complaints);
	notes_rule(config, rule, section, complaints);
}

/* Finds cycles of `since`: a rule that waits for itself, directly or through others, can never match. Each
 * rule waits for at most one other, so a walk along `since` that returns to a rule it has visited has found a
 * cycle. */
static void check_cycles(const struct config *config, const struct ini *ini, struct complaints *complaints)
{
	unsigned *visited_by = arena_get(config->arena,
	    (config->rule_count + 1) * sizeof(*visited_by)); /* number of the walk that visited each rule */

	for (size_t i = 0; i < config->rule_count; i++) {
		unsigned walk = (unsigned)i + 1;
		size_t at = i, first;

		while (!visited_by[at] && config->rules[at].since) {
			visited_by[at] = walk;
			at = config->rules[at].since - 1;
		}
		if (visited_by[at] != walk)
			continue;
		first = at;
		do {
			const struct ini_section *section = ini_find(ini, "rule", config->rules[at].name);

			if (config->rules[at].since - 1 == at)
				ini_complain(section, ini_entry(section, "since"), complaints,
				    "the rule would wait for itself; name another rule");
			else
				ini_note(section, ini_entry(section, "since"), complaints,
				    "the rule can never match: it sleeps until it has fired itself");
			at = config->rules[at].since - 1;
		} while (at != first);
	}
}

static void append_rule(struct config *config, struct indexes *list, size_t rule)
{
	list->all = arena_grow(config->arena, list->all, list->count, sizeof(unsigned));
	list->all[list->count++] = (unsigned)rule;
}

static void build_watchers(struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		struct indexes *watchers;

		if (!config->rules[i].since)
			continue;
		watchers = &config->rules[config->rules[i].since - 1].watchers;
		append_rule(config, watchers, i);
	}
}

/* Builds the lists of rules by scope and by device section. */
static void index_rules(struct config *config)
{
	config->own_rules = arena_get(config->arena, (config->device_count + 1) * sizeof(*config->own_rules));
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct indexes *devices = &config->rules[i].devices;

		if (config->rules[i].scope == SCOPE_ALL)
			append_rule(config, &config->wide_rules, i);
		if (config->rules[i].scope == SCOPE_DEVICE) {
			config->rules[i].station_index = (unsigned)config->station_rules.count;
			append_rule(config, &config->station_rules, i);
		}
		for (size_t k = 0; k < devices->count || k == 0; k++) {
			struct indexes *list = devices->count ? &config->own_rules[devices->all[k]]
			                                      : &config->shared_rules;

			if (!list->count || list->all[list->count - 1] != i) /* unless it is named twice */
				append_rule(config, list, i);
		}
	}
}

static void index_names(struct config *config)
{
	struct dictionary *names = &config->names;

	for (size_t i = 0; i < config->link_count; i++)
		dictionary_put(names, &config_link_kind, config->links[i].name, &config->links[i]);
	for (size_t i = 0; i < config->link_count; i++) { /* a link of a profile also goes by its own name */
		const char *colon = strchr(config->links[i].name, ':');

		if (colon && !dictionary_get(names, &config_link_kind, colon + 1))
			dictionary_put(names, &config_link_kind, colon + 1, &config->links[i]);
	}
	for (size_t i = 0; i < config->device_count; i++)
		dictionary_put(names, &config_device_kind, config->devices[i].name, &config->devices[i]);
	for (size_t i = 0; i < config->rule_count; i++)
		dictionary_put(names, &config_rule_kind, config->rules[i].name, &config->rules[i]);
}

const struct link *config_link(const struct config *config, const char *name)
{
	return dictionary_get(&config->names, &config_link_kind, name);
}

const struct device *config_section(const struct config *config, const char *name)
{
	return dictionary_get(&config->names, &config_device_kind, name);
}

const struct rule *config_rule(const struct config *config, const char *name)
{
	return dictionary_get(&config->names, &config_rule_kind, name);
}

/* ---- */

struct config *config_new(const struct ini *ini, struct names *names, struct complaints *complaints)
{
	struct arena *arena = arena_new();
	struct config *config = arena_get(arena, sizeof(*config));
	struct reading reading = {.arena = arena, .ini = ini, .names = names};
	const struct ini_section *fallback = ini_find(ini, "link", "default");

	config->arena = arena;
	if (fallback)
		config->default_link = (unsigned)ini_index(ini, fallback) + 1;
	build_link(config, NULL, &reading, complaints);
	for (size_t i = 0; i < ini_count(ini); i++) {
		const struct ini_section *section = ini_section(ini, i);

		if (section->kind == &config_device_kind)
			build_device(config, section, &reading, complaints);
		else if (section->kind == &config_link_kind)
			build_link(config, section, &reading, complaints);
		else if (section->kind == &config_rule_kind)
			build_rule(config, section, &reading, complaints);
	}
	index_devices(config, ini, complaints);
	index_names(config);
	index_rules(config);
	build_watchers(config);
	check_cycles(config, ini, complaints);
	if (!complaints_count(complaints, COMPLAINT_ERROR)) /* the notes assume valid values */
		notes_links(config, ini, complaints);
	return config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	dictionary_free(&config->names);
	arena_free(config->arena);
}
